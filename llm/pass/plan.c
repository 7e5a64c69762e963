/*
 * plan.c - sizes, lifetimes and addresses of a pass's buffers.  The layout runs
 * twice: once to measure, once with the arena's address.
 */
#include "llm/pass/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REGION_ALIGNMENT 64 /* bytes: one cache line */
#define PLAN_TOKENS_MAX  (1 << 24)
#define PLAN_BYTES_MAX   (SIZE_MAX / 8)

const char *llm_recompute_name(llm_recompute_t recompute)
{
    static const char *const names[] = {"auto", "none", "norms", "layers"};
    return names[recompute];
}

/* A cursor over the arena; base NULL while measuring. */
typedef struct {
    char *base;
    size_t used;     /* bytes */
    size_t act_size; /* bytes of an activation */
    bool overflow;
} cursor_t;

/* [rows][width] elements of so many bytes. */
static void *take_of(cursor_t *cursor, size_t rows, size_t width, size_t size)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(rows, width, &bytes) ||
        __builtin_mul_overflow(bytes, size, &bytes) || bytes > PLAN_BYTES_MAX - cursor->used) {
        cursor->overflow = true;
        return NULL;
    }
    char *at = cursor->base ? cursor->base + cursor->used : NULL;
    cursor->used += (bytes + REGION_ALIGNMENT - 1) / REGION_ALIGNMENT * REGION_ALIGNMENT;
    return at;
}

/* Activations; floats; and 32-bit integers. */
static llm_act_t *take(cursor_t *cursor, size_t rows, size_t width)
{
    return take_of(cursor, rows, width, cursor->act_size);
}

static float *take_floats(cursor_t *cursor, size_t rows, size_t width)
{
    return take_of(cursor, rows, width, sizeof(float));
}

static void *take_integers(cursor_t *cursor, size_t count)
{
    return take_of(cursor, count, 1, sizeof(int32_t));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t llm_plan_query_width(const llm_shape_t *shape)
{
    return (size_t)shape->heads * shape->head_width;
}

size_t llm_plan_qkv_width(const llm_shape_t *shape)
{
    return ((size_t)shape->heads + 2 * (size_t)shape->kv_heads) * shape->head_width;
}

bool llm_plan_shares_norm(const llm_shape_t *shape)
{
    return shape->arch->parallel && !shape->arch->norms[LLM_NORM_MLP];
}

/* Planes begin on cache lines. */
static size_t plane(const llm_plan_t *self, size_t width)
{
    size_t elements = self->tokens_max * width;
    return (elements + REGION_ALIGNMENT - 1) / REGION_ALIGNMENT * REGION_ALIGNMENT;
}

/* Queries and keys that a norm follows are computed apart from it; those that a
 * fused projection mixes are taken apart. */
static bool in_planes(const llm_shape_t *shape)
{
    return shape->arch->norms[LLM_NORM_Q] || shape->arch->qkv_layout != LLM_QKV_BLOCKS;
}

static size_t key_width(const llm_shape_t *shape)
{
    return (size_t)shape->kv_heads * shape->head_width;
}

static size_t query_stride(const llm_shape_t *shape)
{
    return in_planes(shape) ? llm_plan_query_width(shape) : llm_plan_qkv_width(shape);
}

static size_t key_stride(const llm_shape_t *shape)
{
    return in_planes(shape) ? key_width(shape) : llm_plan_qkv_width(shape);
}

/* Elements of a buffer for queries, keys and values. */
static size_t qkv_elements(const llm_plan_t *self, const llm_shape_t *shape)
{
    if (!in_planes(shape))
        return self->tokens_max * llm_plan_qkv_width(shape);
    return plane(self, llm_plan_query_width(shape)) + 2 * plane(self, key_width(shape));
}

llm_qkv_t llm_plan_qkv(const llm_plan_t *self, const llm_decoder_t *decoder, llm_act_t *buffer)
{
    const llm_shape_t *shape = decoder->shape;
    size_t queries = llm_plan_query_width(shape), keys = key_width(shape);
    bool planes = in_planes(shape);
    size_t k = planes ? plane(self, queries) : queries;
    return (llm_qkv_t){.q = buffer,
                       .k = llm_act_at(decoder->be, buffer, k),
                       .v =
                           llm_act_at(decoder->be, buffer, k + (planes ? plane(self, keys) : keys)),
                       .planes = planes,
                       .q_stride = query_stride(shape),
                       .kv_stride = key_stride(shape)};
}

static bool keeps(const llm_plan_t *self, const llm_decoder_t *decoder, uint32_t layer)
{
    return self->training && layer >= decoder->first_layer && layer < self->behind;
}

/* What the norms of a layer leave: two floats a row, and the rows before those
 * that do not stand before all of attention or of the MLP. */
static void lay_out_norms(cursor_t *cursor, const llm_plan_t *self, const llm_shape_t *shape,
                          llm_activations_t *layer)
{
    const char *const *norms = shape->arch->norms;
    size_t T = self->tokens_max, queries = llm_plan_query_width(shape), keys = key_width(shape);
    for (int n = 0; n < LLM_LAYER_NORMS; n++) {
        size_t width = n == LLM_NORM_Q ? queries : n == LLM_NORM_K ? keys : shape->width;
        size_t rows = norms[n] ? width / llm_shape_norm(shape, (llm_layer_norm_t)n) : 0;
        layer->stats[n] = rows ? take_floats(cursor, T * rows, 2) : NULL;
    }
    layer->raw_q = norms[LLM_NORM_Q] ? take(cursor, T, queries) : NULL;
    layer->raw_k = norms[LLM_NORM_K] ? take(cursor, T, keys) : NULL;
    layer->raw_attention = norms[LLM_NORM_POST_ATTENTION] ? take(cursor, T, shape->width) : NULL;
    layer->raw_mlp = norms[LLM_NORM_POST_MLP] ? take(cursor, T, shape->width) : NULL;
}

/* Buffers of a layer other than the residual stream. */
static void lay_out_layer(cursor_t *cursor, const llm_plan_t *self, const llm_shape_t *shape,
                          llm_activations_t *layer)
{
    size_t T = self->tokens_max;
    lay_out_norms(cursor, self, shape, layer);
    layer->qkv = take(cursor, qkv_elements(self, shape), 1);
    layer->att = take(cursor, T, llm_plan_query_width(shape));
    layer->lse = take_floats(cursor, T, shape->heads);
    layer->gate = shape->arch->gated ? take(cursor, T, shape->ffn) : NULL;
    layer->up = take(cursor, T, shape->ffn);
}

/* Backward reads h of modules that train; of the others it lives as long as
 * the module computes, where backward has its dh. */
static void lay_out_lora(cursor_t *cursor, const llm_plan_t *self, const llm_bound_layer_t *bound,
                         llm_activations_t *layer)
{
    for (int m = 0; m < LLM_MODULES; m++) {
        const llm_bound_linear_t *linear = &bound->linear[m];
        llm_hidden_t *hidden = &layer->lora[m];
        hidden->h = linear->da ? take_floats(cursor, self->tokens_max, linear->rank) : self->dh;
        if (linear->da && linear->dropout > 0.0f)
            hidden->mask = take_of(cursor, self->tokens_max, llm_lora_mask_bytes(1, linear->in), 1);
        hidden->z =
            linear->scale_out.grad ? take(cursor, self->tokens_max, linear->out) : self->scaled_out;
    }
}

/* Where normed inputs and act pass by when they are made again: one module
 * after the other uses them, so that one room is enough. */
static void lay_out_passing(cursor_t *cursor, llm_plan_t *self, const llm_shape_t *shape,
                            const llm_bound_layer_t *all)
{
    bool norms = llm_stage_trains(all, LLM_STAGE_QKV) || llm_stage_trains(all, LLM_STAGE_UP);
    bool act = llm_stage_trains(all, LLM_STAGE_DOWN);
    size_t width = larger(norms ? shape->width : 0, act ? shape->ffn : 0);
    llm_act_t *room = take(cursor, self->tokens_max, width);
    self->passing_norm = norms ? room : NULL;
    self->passing_act = act ? room : NULL;
}

/* What backward reads of the layers `like`, but for their output. */
static void lay_out_read(cursor_t *cursor, llm_plan_t *self, const llm_decoder_t *decoder,
                         const llm_bound_layer_t *like, llm_activations_t *layer)
{
    const llm_shape_t *shape = decoder->shape;
    size_t T = self->tokens_max, C = shape->width;
    lay_out_layer(cursor, self, shape, layer);
    layer->x_mid = take(cursor, T, C);
    if (self->recompute == LLM_RECOMPUTE_NORMS) {
        layer->n_attention = layer->n_mlp = self->passing_norm;
        layer->act = self->passing_act;
        return;
    }
    if (shape->arch->norms[LLM_NORM_ATTENTION] &&
        (llm_stage_trains(like, LLM_STAGE_QKV) ||
         (llm_plan_shares_norm(shape) && llm_stage_trains(like, LLM_STAGE_UP))))
        layer->n_attention = take(cursor, T, C);
    if (shape->arch->norms[LLM_NORM_MLP] && llm_stage_trains(like, LLM_STAGE_UP))
        layer->n_mlp = take(cursor, T, C);
    if (llm_stage_trains(like, LLM_STAGE_DOWN))
        layer->act = take(cursor, T, shape->ffn);
}

/* A layer that trains whatever one of those does whose activations are kept,
 * with the largest ranks: room for one of them is room for each. */
static llm_bound_layer_t all_in_one(const llm_plan_t *self, const llm_decoder_t *decoder)
{
    llm_bound_layer_t all = {0};
    for (uint32_t l = 0; l < decoder->shape->layers; l++) {
        for (int m = 0; m < LLM_MODULES && keeps(self, decoder, l); m++) {
            const llm_bound_linear_t *linear = &decoder->layers[l].linear[m];
            llm_bound_linear_t *one = &all.linear[m];
            one->da = one->da ? one->da : linear->da;
            one->dweight = one->dweight ? one->dweight : linear->dweight;
            one->rank = linear->rank > one->rank ? linear->rank : one->rank;
            one->in = linear->in > one->in ? linear->in : one->in;
            one->out = linear->out > one->out ? linear->out : one->out;
            one->scale_in.grad = one->scale_in.grad ? one->scale_in.grad : linear->scale_in.grad;
            one->scale_out.grad =
                one->scale_out.grad ? one->scale_out.grad : linear->scale_out.grad;
            one->dropout = fmaxf(one->dropout, linear->dropout);
        }
    }
    return all;
}

/* Activations that backward reads: they live for the whole pass, or until the
 * next layer's. */
static void lay_out_kept(cursor_t *cursor, llm_plan_t *self, const llm_decoder_t *decoder)
{
    llm_activations_t again = {0};
    llm_bound_layer_t all = all_in_one(self, decoder);
    bool whole = self->recompute == LLM_RECOMPUTE_LAYERS;
    if (self->recompute == LLM_RECOMPUTE_NORMS)
        lay_out_passing(cursor, self, decoder->shape, &all);
    if (whole) {
        lay_out_lora(cursor, self, &all, &again);
        lay_out_read(cursor, self, decoder, &all, &again);
    }
    for (uint32_t l = 0; l < decoder->shape->layers; l++) {
        llm_activations_t *layer = &self->layers[l];
        bool kept = keeps(self, decoder, l);
        if (kept && whole)
            *layer = again;
        else
            lay_out_lora(cursor, self, &decoder->layers[l], layer);
        if (kept && !whole)
            lay_out_read(cursor, self, decoder, &decoder->layers[l], layer);
        if (kept)
            layer->x_out = take(cursor, self->tokens_max, decoder->shape->width);
    }
}

/* One set of buffers for the frozen layers, and for what no layer keeps. */
static void lay_out_forward(cursor_t *cursor, llm_plan_t *self, const llm_decoder_t *decoder,
                            llm_act_t *stream)
{
    const llm_shape_t *shape = decoder->shape;
    size_t T = self->tokens_max, C = shape->width;
    llm_act_t *normed = take(cursor, T, C);
    llm_act_t *act = take(cursor, T, shape->ffn);
    llm_activations_t shared = {0};
    if (!self->training || decoder->first_layer > 0 || self->behind < shape->layers) {
        lay_out_layer(cursor, self, shape, &shared);
        shared.x_mid = take(cursor, T, C);
    }
    for (uint32_t l = 0; l < shape->layers; l++) {
        llm_activations_t *layer = &self->layers[l];
        if (!keeps(self, decoder, l)) {
            memcpy(shared.lora, layer->lora, sizeof shared.lora);
            *layer = shared;
            layer->x_out = stream;
        }
        layer->x_in = l ? self->layers[l - 1].x_out : stream;
        if (!shape->arch->norms[LLM_NORM_ATTENTION])
            layer->n_attention = layer->x_in;
        if (!layer->n_attention)
            layer->n_attention = normed;
        if (!shape->arch->norms[LLM_NORM_MLP])
            layer->n_mlp = llm_plan_shares_norm(shape) ? layer->n_attention : layer->x_mid;
        if (!layer->n_mlp)
            layer->n_mlp = normed;
        if (!layer->act)
            layer->act = act;
    }
}

static void lay_out_head(cursor_t *cursor, llm_plan_t *self, const llm_decoder_t *decoder)
{
    const llm_shape_t *shape = decoder->shape;
    const llm_bound_linear_t *head = &decoder->head;
    size_t block = self->block_rows, C = shape->width;
    self->head_x = take(cursor, block, C);
    self->head_n = take(cursor, block, C);
    self->head_stats = take_floats(cursor, block, 2);
    self->logits = take(cursor, block, shape->vocab);
    self->losses = take_floats(cursor, self->tokens_max, 1);
    self->best = take_integers(cursor, block);
    self->head_hidden.h = head->rank ? take_floats(cursor, block, head->rank) : NULL;
    self->head_hidden.mask = head->rank && head->dropout > 0.0f
                                 ? take_of(cursor, block, llm_lora_mask_bytes(1, head->in), 1)
                                 : NULL;
    self->head_dn = self->training ? take(cursor, block, C) : NULL;
    self->head_dx = self->training ? take(cursor, block, C) : NULL;
}

static void lay_out_backward(cursor_t *cursor, llm_plan_t *self, const llm_shape_t *shape)
{
    size_t T = self->tokens_max, C = shape->width;
    self->dn = take(cursor, T, C);
    self->dact = take(cursor, T, larger(shape->ffn, llm_plan_query_width(shape)));
    self->dpre = take(cursor, larger(T * shape->ffn, qkv_elements(self, shape)), 1);
}

static void lay_out_inputs(cursor_t *cursor, llm_plan_t *self, const llm_decoder_t *decoder)
{
    size_t T = self->tokens_max;
    size_t rows = larger(self->supervised_max, self->block_rows);
    self->ids = take_integers(cursor, T);
    self->positions = take_integers(cursor, T);
    self->starts = decoder->be->ops->device_starts ? take_integers(cursor, T + 1) : NULL;
    self->rows = take_integers(cursor, rows);
    self->targets = take_integers(cursor, rows);
    const llm_shape_t *shape = decoder->shape;
    bool embedded = shape->arch->norm_embedding != NULL;
    self->rope =
        self->rope_rows ? take_floats(cursor, self->rope_rows, llm_shape_rotary(shape)) : NULL;
    self->fused = shape->arch->qkv_layout != LLM_QKV_BLOCKS
                      ? take(cursor, T, llm_plan_qkv_width(shape))
                      : NULL;
    self->embedded = embedded ? take(cursor, T, shape->width) : NULL;
    self->embedded_stats = embedded ? take_floats(cursor, T, 2) : NULL;
    self->attention_scratch = take_floats(cursor, self->attention_scratch_size, 1);
}

static void lay_out_lora_scratch(cursor_t *cursor, llm_plan_t *self, const llm_decoder_t *decoder)
{
    size_t rank = 0;
    for (uint32_t l = 0; l < decoder->shape->layers; l++)
        for (int m = 0; m < LLM_MODULES; m++)
            rank = larger(rank, decoder->layers[l].linear[m].rank);
    rank = larger(larger(rank, decoder->head.rank), decoder->lookup.rank);
    self->dh = rank ? take_floats(cursor, self->tokens_max, rank) : NULL;
    self->lookup_dx = self->training && decoder->lookup.db
                          ? take_floats(cursor, self->tokens_max, decoder->shape->width)
                          : NULL;
}

static void lay_out_scaled(cursor_t *cursor, llm_plan_t *self, const llm_decoder_t *decoder)
{
    size_t in = 0, out = 0;
    for (uint32_t l = 0; l < decoder->shape->layers; l++)
        for (int m = 0; m < LLM_MODULES; m++) {
            const llm_bound_linear_t *linear = &decoder->layers[l].linear[m];
            bool drops = linear->scale_out.at && linear->dropout > 0.0f;
            in = larger(in, linear->scale_in.at || drops ? linear->in : 0);
            out = larger(out, linear->scale_out.at ? linear->out : 0);
        }
    self->scaled_in = in ? take(cursor, self->tokens_max, in) : NULL;
    self->scaled_out = out ? take(cursor, self->tokens_max, out) : NULL;
}

static void lay_out(cursor_t *cursor, llm_plan_t *self, const llm_decoder_t *decoder)
{
    const llm_shape_t *shape = decoder->shape;
    memset(self->layers, 0, shape->layers * sizeof *self->layers);
    lay_out_inputs(cursor, self, decoder);
    lay_out_lora_scratch(cursor, self, decoder);
    lay_out_scaled(cursor, self, decoder);
    llm_act_t *stream = take(cursor, self->tokens_max, shape->width);
    if (shape->arch->modules[LLM_GATE_UP])
        self->gate_up = take(cursor, self->tokens_max, 2 * (size_t)shape->ffn);
    self->dx = self->training ? take(cursor, self->tokens_max, shape->width) : NULL;
    lay_out_kept(cursor, self, decoder);

    size_t mark = cursor->used;
    lay_out_forward(cursor, self, decoder, stream);
    size_t most = cursor->used;
    cursor->used = mark;
    lay_out_head(cursor, self, decoder);
    most = larger(most, cursor->used);
    if (self->training) {
        cursor->used = mark;
        lay_out_backward(cursor, self, shape);
        most = larger(most, cursor->used);
    }
    cursor->used = most;
}

static size_t scratch_for(const llm_decoder_t *decoder, size_t T, size_t length, uint32_t *starts)
{
    const llm_shape_t *shape = decoder->shape;
    size_t sequences = 0;
    for (size_t row = 0; row < T; row += length)
        starts[sequences++] = (uint32_t)row;
    starts[sequences] = (uint32_t)T;
    llm_attention_t attention = {.T = T,
                                 .S = sequences,
                                 .starts = starts,
                                 .longest = length,
                                 .H = shape->heads,
                                 .KV = shape->kv_heads,
                                 .D = shape->head_width,
                                 .scale = 1.0f,
                                 .q_stride = query_stride(shape),
                                 .k_stride = key_stride(shape),
                                 .v_stride = key_stride(shape),
                                 .out_stride = llm_plan_query_width(shape)};
    return decoder->be->ops->attention_scratch(decoder->be, &attention);
}

/* The longest sequences and the shortest ones bound what attention may ask for. */
static int measure_attention(llm_plan_t *self, const llm_decoder_t *decoder, fmq_error_t *err)
{
    size_t T = self->tokens_max;
    uint32_t *starts = malloc((T + 1) * sizeof *starts);
    if (!starts)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a plan of %zu tokens", T);
    size_t longest = T < decoder->shape->context ? T : decoder->shape->context;
    self->attention_scratch_size =
        larger(scratch_for(decoder, T, longest, starts), scratch_for(decoder, T, 1, starts));
    free(starts);
    return 0;
}

static size_t block_rows(const llm_plan_t *self, const llm_decoder_t *decoder)
{
    const llm_backend_t *be = decoder->be;
    size_t rows = be->ops->head_bytes / llm_act_bytes(be, decoder->shape->vocab);
    rows = rows < be->ops->head_rows ? rows : be->ops->head_rows;
    rows = rows < self->supervised_max ? rows : self->supervised_max;
    return rows ? rows : 1;
}

static int choose_limits(llm_plan_t *self, const llm_decoder_t *decoder, const llm_limits_t *limits,
                         fmq_error_t *err)
{
    const llm_shape_t *shape = decoder->shape;
    if (limits->tokens_max < 1 || limits->tokens_max > PLAN_TOKENS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "a plan for %zu tokens is asked for; 1 to %d are possible",
                             limits->tokens_max, PLAN_TOKENS_MAX);
    self->tokens_max = limits->tokens_max;
    self->supervised_max = limits->supervised_max && limits->supervised_max < limits->tokens_max
                               ? limits->supervised_max
                               : limits->tokens_max;
    self->training = limits->training && decoder->trains;
    self->behind =
        limits->behind && limits->behind < shape->layers ? limits->behind : shape->layers;
    self->block_rows = block_rows(self, decoder);
    self->rope_rows = 0;
    if (shape->arch->positions == LLM_POSITIONS_ROPE)
        self->rope_rows = self->tokens_max < shape->context ? self->tokens_max : shape->context;
    return measure_attention(self, decoder, err);
}

/* Bytes of the arena; SIZE_MAX when they are beyond the address space. */
static size_t measure(llm_plan_t *self, const llm_decoder_t *decoder)
{
    cursor_t cursor = {.act_size = llm_act_bytes(decoder->be, 1)};
    lay_out(&cursor, self, decoder);
    return cursor.overflow ? SIZE_MAX : cursor.used;
}

/* What the arena should not exceed; SIZE_MAX: it may take anything. */
static size_t bytes_wanted(const llm_decoder_t *decoder, const llm_limits_t *limits)
{
    size_t wanted = limits->bytes_wanted ? limits->bytes_wanted : SIZE_MAX;
    if (!limits->sharers)
        return wanted;
    size_t there = decoder->be->ops->memory_free(decoder->be);
    size_t part = there == SIZE_MAX ? SIZE_MAX : there / 4 * 3 / limits->sharers;
    return part < wanted ? part : wanted;
}

/* Chooses what is computed again, and leaves the sizes of that. */
static void choose_recompute(llm_plan_t *self, const llm_decoder_t *decoder,
                             const llm_limits_t *limits)
{
    llm_recompute_t wish = self->training ? limits->recompute : LLM_RECOMPUTE_NONE;
    self->recompute = LLM_RECOMPUTE_NONE;
    self->bytes_kept = self->arena_bytes = measure(self, decoder);
    size_t wanted = wish == LLM_RECOMPUTE_AUTO ? bytes_wanted(decoder, limits) : 0;
    while (wish == LLM_RECOMPUTE_AUTO
               ? self->arena_bytes > wanted && self->recompute < LLM_RECOMPUTE_LAYERS
               : self->recompute < wish) {
        self->recompute++;
        self->arena_bytes = measure(self, decoder);
    }
}

int llm_plan_init(llm_plan_t *self, const llm_decoder_t *decoder, const llm_limits_t *limits,
                  fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    if (choose_limits(self, decoder, limits, err) < 0)
        return -1;
    self->layers = calloc(decoder->shape->layers, sizeof *self->layers);
    if (!self->layers)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a plan");
    choose_recompute(self, decoder, limits);
    if (self->arena_bytes == SIZE_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "a plan for %zu tokens overflows the address space", self->tokens_max);
    self->arena = decoder->be->ops->alloc(decoder->be, self->arena_bytes);
    if (!self->arena)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "out of memory for a workspace of %zu bytes for %zu tokens",
                             self->arena_bytes, self->tokens_max);
    cursor_t cursor = {.base = self->arena, .act_size = llm_act_bytes(decoder->be, 1)};
    lay_out(&cursor, self, decoder);
    return 0;
}

void llm_plan_release(llm_plan_t *self, llm_backend_t *be)
{
    if (self->arena)
        be->ops->release(be, self->arena);
    free(self->layers);
    self->arena = NULL;
    self->layers = NULL;
}
