/*
 * generate.c - prefill with the packed passes, then one token at a time against
 * cached keys and values.
 */
#include "fedmq/llm/generate.h"

#include <stdlib.h>

#include "fedmq/base/rng.h"
#include "llm/generate/sample.h"
#include "llm/pass/batch.h"
#include "llm/pass/fixed.h"
#include "llm/pass/pass.h"
#include "llm/pass/spread.h"

struct llm_generator {
    llm_pass_t pass;
    llm_backend_t *be;     /* borrowed */
    size_t context;        /* of real tokens */
    size_t virtual_tokens; /* in front of them */
    size_t rows;           /* of both */
    uint64_t elements;
    float *params; /* owned, on the backend */
    llm_fixed_t fixed;
    llm_act_t *cache;      /* owned, on the backend: [layers][2][rows][kv width] */
    float *decode_scratch; /* owned, on the backend: [heads * rows] */
    float *logits_host;    /* owned, [vocab] */
    llm_candidate_t *work; /* owned, [vocab] */
    int32_t *positions;    /* owned, [rows]: 0, 1, 2, ... */
    llm_spread_t spread;
};

static size_t cache_width(const llm_shape_t *shape)
{
    return (size_t)shape->kv_heads * shape->head_width;
}

static llm_act_t *cache_of(const llm_generator_t *self, uint32_t layer, bool values)
{
    size_t part = self->rows * cache_width(self->pass.decoder.shape);
    return llm_act_at(self->be, self->cache, (2 * (size_t)layer + values) * part);
}

static int memory_new(llm_generator_t *self, const llm_shape_t *shape, fmq_error_t *err)
{
    llm_backend_t *be = self->be;
    size_t cache = llm_act_bytes(be, 2 * (size_t)shape->layers * self->rows * cache_width(shape));
    self->cache = be->ops->alloc(be, cache);
    self->decode_scratch = be->ops->alloc(be, shape->heads * self->rows * sizeof(float));
    self->logits_host = malloc(shape->vocab * sizeof *self->logits_host);
    self->work = malloc(shape->vocab * sizeof *self->work);
    self->positions = malloc(self->rows * sizeof *self->positions);
    if (!self->cache || !self->decode_scratch || !self->logits_host || !self->work ||
        !self->positions)
        return fmq_error_set(
            err, FMQ_ERR_NOMEM,
            "out of memory for a generator of %zu tokens (its cache has %zu bytes)", self->context,
            cache);
    for (size_t i = 0; i < self->rows; i++)
        self->positions[i] = (int32_t)i;
    return llm_spread_init(&self->spread, self->virtual_tokens, self->rows, err);
}

static int params_new(llm_generator_t *self, fmq_error_t *err)
{
    size_t bytes = (size_t)self->elements * sizeof(float);
    if (!bytes)
        return 0;
    self->params = self->be->ops->alloc(self->be, bytes);
    if (!self->params)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a generator's parameters");
    self->be->ops->zero(self->be, self->params, bytes);
    return 0;
}

llm_generator_t *llm_generator_new_stack(const llm_stack_t *stack, size_t context,
                                         llm_backend_t *be, fmq_error_t *err)
{
    const llm_shape_t *shape = llm_model_shape(stack->model);
    uint32_t reach = llm_adapter_reach(stack->adapter);
    if (context < 1 || context > reach) {
        fmq_error_set(err, FMQ_ERR_LIMIT,
                      "a generator for %zu tokens is asked for; the model's context is %u%s",
                      context, reach,
                      reach < llm_shape_reach(shape) ? " behind the adapter's virtual tokens" : "");
        return NULL;
    }
    llm_generator_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a generator");
        return NULL;
    }
    self->be = be;
    self->context = context;
    self->elements = fmq_schema_elements(llm_adapter_schema(stack->adapter));
    if (llm_virtual_init(&self->pass.virtual_tokens, stack->adapter, be, false, err) < 0)
        goto fail;
    self->virtual_tokens = llm_virtual_count(&self->pass.virtual_tokens);
    self->rows = context + self->virtual_tokens;
    llm_limits_t limits = {.tokens_max = self->rows, .supervised_max = 1};
    if (llm_decoder_init(&self->pass.decoder, stack, be, err) < 0 || params_new(self, err) < 0 ||
        llm_fixed_init(&self->fixed, stack->fixed, be, err) < 0)
        goto fail;
    llm_vectors_t vectors = {.params = self->params, .fixed = self->fixed.vector};
    llm_decoder_bind(&self->pass.decoder, stack, &vectors);
    llm_virtual_bind(&self->pass.virtual_tokens, self->params, NULL);
    llm_virtual_begin(&self->pass.virtual_tokens, NULL);
    if (llm_plan_init(&self->pass.plan, &self->pass.decoder, &limits, err) < 0 ||
        llm_pass_prepare(&self->pass, err) < 0 || memory_new(self, shape, err) < 0)
        goto fail;
    return self;
fail:
    llm_generator_destroy(&self);
    return NULL;
}

llm_generator_t *llm_generator_new(const llm_model_t *model, const llm_adapter_t *adapter,
                                   size_t context, llm_backend_t *be, fmq_error_t *err)
{
    llm_stack_t stack = {.model = model, .adapter = adapter};
    return llm_generator_new_stack(&stack, context, be, err);
}

void llm_generator_destroy(llm_generator_t **self_p)
{
    llm_generator_t *self = *self_p;
    if (!self)
        return;
    llm_pass_release(&self->pass);
    llm_fixed_release(&self->fixed);
    void *const owned[] = {self->params, self->cache, self->decode_scratch};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        if (owned[i])
            self->be->ops->release(self->be, owned[i]);
    }
    free(self->logits_host);
    free(self->work);
    free(self->positions);
    llm_spread_release(&self->spread);
    free(self);
    *self_p = NULL;
}

int llm_generator_set_params(llm_generator_t *self, const float *host, fmq_error_t *err)
{
    if (!self->elements)
        return 0;
    if (!host)
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "no vector is given for %llu elements",
                             (unsigned long long)self->elements);
    self->be->ops->upload(self->be, self->params, host, (size_t)self->elements * sizeof *host);
    llm_virtual_begin(&self->pass.virtual_tokens, NULL);
    return 0;
}

int llm_generator_set_fixed(llm_generator_t *self, const float *host, fmq_error_t *err)
{
    return llm_fixed_set(&self->fixed, host, err);
}

/* Copies the keys and values of a pass's rows behind those cached before. */
static void remember(const llm_generator_t *self, uint32_t layer, size_t first, size_t rows)
{
    const llm_shape_t *shape = self->pass.decoder.shape;
    size_t width = cache_width(shape);
    llm_backend_t *be = self->be;
    llm_qkv_t from =
        llm_plan_qkv(&self->pass.plan, &self->pass.decoder, self->pass.plan.layers[layer].qkv);
    be->ops->copy_rows(be, llm_act_at(be, cache_of(self, layer, false), first * width), width,
                       from.k, from.kv_stride, rows, width);
    be->ops->copy_rows(be, llm_act_at(be, cache_of(self, layer, true), first * width), width,
                       from.v, from.kv_stride, rows, width);
}

static void attend_to_cache(const llm_generator_t *self, uint32_t layer, size_t length)
{
    const llm_shape_t *shape = self->pass.decoder.shape;
    const llm_activations_t *at = &self->pass.plan.layers[layer];
    const llm_decode_t how = {.length = length,
                              .H = shape->heads,
                              .KV = shape->kv_heads,
                              .D = shape->head_width,
                              .scale = llm_shape_attention_scale(shape),
                              .window = llm_shape_window(shape, layer)};
    self->be->ops->attention_decode(self->be, at->att, at->qkv, cache_of(self, layer, false),
                                    cache_of(self, layer, true), &how, self->decode_scratch);
}

/* Runs count rows behind the first that are cached, one sequence; leaves the
 * logits of the last one in the plan. */
static void advance(llm_generator_t *self, const int32_t *ids, size_t first, size_t count)
{
    const llm_plan_t *plan = &self->pass.plan;
    const uint32_t starts[] = {0, (uint32_t)count};
    if (first == 0)
        llm_decoder_prepare(&self->pass.decoder);
    llm_packed_t packed = llm_pass_pack(&self->pass, 1, starts);
    packed.continues = first > 0;
    const int32_t last = (int32_t)count - 1;
    llm_backend_t *be = self->be;
    be->ops->upload(be, plan->ids, ids, count * sizeof *ids);
    be->ops->upload(be, plan->positions, self->positions + first, count * sizeof *ids);
    be->ops->upload(be, plan->rows, &last, sizeof last);
    llm_embed_forward(&self->pass, &packed);
    for (uint32_t l = 0; l < self->pass.decoder.shape->layers; l++) {
        llm_layer_project(&self->pass, l, &packed);
        remember(self, l, first, count);
        if (first)
            attend_to_cache(self, l, first + 1);
        else
            llm_layer_attend(&self->pass, l, &packed);
        llm_layer_finish(&self->pass, l, &packed);
    }
    llm_head_logits(&self->pass, &packed, 0, 1);
}

/* The next token, from the logits in the plan; number counts the new ones. */
static int choose(llm_generator_t *self, const llm_sampling_t *how, size_t number, int32_t *id,
                  fmq_error_t *err)
{
    const llm_plan_t *plan = &self->pass.plan;
    size_t vocab = self->pass.decoder.shape->vocab;
    llm_backend_t *be = self->be;
    if (how->temperature == 0.0) {
        be->ops->argmax(be, plan->best, plan->logits, 1, vocab);
        be->ops->download(be, id, plan->best, sizeof *id);
        return 0;
    }
    fmq_rng_t rng;
    fmq_rng_name_t name = {
        .seed = how->seed, .purpose = FMQ_RNG_GENERATE, .step = (uint32_t)number};
    fmq_rng_init(&rng, &name);
    llm_act_download(be, self->logits_host, plan->logits, vocab);
    return llm_sample(how, self->logits_host, vocab, fmq_rng_uniform(&rng), self->work, id, err);
}

static int check_prompt(const llm_generator_t *self, const int32_t *prompt, size_t count,
                        fmq_error_t *err)
{
    if (count < 1 || count > self->context)
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "the prompt has %zu tokens; this generator takes 1 to %zu", count,
                             self->context);
    const uint32_t starts[] = {0, (uint32_t)count};
    llm_batch_t batch = {.sequences = 1, .starts = starts, .ids = prompt};
    return llm_batch_check_tokens(&batch, self->pass.decoder.shape, self->context, err);
}

static bool is_end(const llm_sampling_t *how, int32_t id)
{
    for (size_t i = 0; i < how->ends_size; i++)
        if (how->ends[i] == id)
            return true;
    return false;
}

int llm_generator_run(llm_generator_t *self, const int32_t *prompt, size_t count,
                      const llm_sampling_t *how, llm_ids_t *out, fmq_error_t *err)
{
    if (llm_fixed_check(&self->fixed, err) < 0 || check_prompt(self, prompt, count, err) < 0 ||
        llm_sampling_check(how, err) < 0)
        return -1;
    const uint32_t starts[] = {0, (uint32_t)count};
    llm_batch_t batch = {.sequences = 1, .starts = starts, .ids = prompt}, spread;
    if (llm_spread_batch(&self->spread, &batch, llm_shape_reach(self->pass.decoder.shape), &spread,
                         err) < 0)
        return -1;
    size_t room = self->context - count, before = self->virtual_tokens + count;
    size_t most = how->new_tokens_max < room ? how->new_tokens_max : room;
    int32_t id = 0;
    for (size_t number = 0; number < most; number++) {
        if (number == 0)
            advance(self, spread.ids, 0, before);
        else
            advance(self, &id, before + number - 1, 1);
        if (choose(self, how, number, &id, err) < 0)
            return -1;
        if (is_end(how, id))
            break;
        if (llm_ids_append(out, id, err) < 0)
            return -1;
    }
    return self->be->ops->synchronize(self->be, err);
}
