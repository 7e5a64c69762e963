/*
 * decoder.c - binds frozen weights and the vectors.  Computes nothing.
 */
#include "llm/pass/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "llm/adapter/layout.h"
#include "llm/pass/stack.h"
#include "llm/weights/weights.h"

#define OWN_ALIGNMENT 16 /* floats: one cache line */

bool llm_stage_trains(const llm_bound_layer_t *layer, llm_stage_t stage)
{
    for (int m = 0; m < LLM_MODULES; m++) {
        const llm_bound_linear_t *linear = &layer->linear[m];
        if (llm_module_stage((llm_module_t)m) == stage &&
            (linear->da || linear->dweight || linear->scale_in.grad))
            return true;
    }
    return false;
}

/* An embedding that is trained apart leaves a tied head as it was. */
static bool is_needed_by_head(const llm_adapter_t *adapter, const llm_piece_t *piece)
{
    return piece->place.role == LLM_ROLE_TOKENS && adapter->shape.tied &&
           piece->called != LLM_DENSE_HF;
}

/* Does a vector take the place of it? */
static bool covers(const llm_adapter_t *adapter, const llm_parameter_t *parameter)
{
    for (size_t i = 0; adapter && i < adapter->size; i++)
        if (adapter->pieces[i].ops->replaces &&
            llm_parameter_same(&adapter->pieces[i].place, parameter) &&
            !is_needed_by_head(adapter, &adapter->pieces[i]))
            return true;
    return false;
}

/* Only what no vector takes the place of: a model that is trained whole has
 * nothing on the device but its vector. */
static const llm_placement_t *place_frozen(const llm_stack_t *stack, llm_backend_t *be,
                                           fmq_error_t *err)
{
    const llm_model_t *model = stack->model;
    bool *parts = calloc((size_t)model->shape.layers + 1, sizeof *parts);
    if (!parts) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a model's parts");
        return NULL;
    }
    for (size_t i = 0; i < model->parameters.size; i++) {
        const llm_parameter_t *parameter = &model->parameters.items[i];
        if (!covers(stack->adapter, parameter) && !covers(stack->fixed, parameter))
            parts[llm_model_part_of(model, parameter) - model->parts] = true;
    }
    const llm_placement_t *placement = llm_model_placed(model, be, parts, err);
    free(parts);
    return placement;
}

int llm_stack_place(const llm_stack_t *self, llm_backend_t *be, fmq_error_t *err)
{
    return llm_stack_check(self, err) == 0 && place_frozen(self, be, err) ? 0 : -1;
}

/* Floats of a piece, so that the next one's begin on a cache line. */
static size_t own_floats(const llm_piece_t *piece, const llm_adapter_t *adapter)
{
    size_t floats = piece->ops->own ? piece->ops->own(piece, adapter) : 0;
    return (floats + OWN_ALIGNMENT - 1) / OWN_ALIGNMENT * OWN_ALIGNMENT;
}

static size_t all_floats(const llm_adapter_t *adapter)
{
    size_t sum = 0;
    for (size_t i = 0; adapter && i < adapter->size; i++)
        sum += own_floats(&adapter->pieces[i], adapter);
    return sum;
}

static int reserve_own(llm_decoder_t *self, const llm_stack_t *stack, fmq_error_t *err)
{
    size_t trained = all_floats(stack->adapter), fixed = all_floats(stack->fixed);
    self->trained = (llm_vector_t){.adapter = stack->adapter};
    self->fixed = (llm_vector_t){.adapter = stack->fixed, .fixed = true};
    self->own_bytes = (trained + fixed) * sizeof *self->own;
    if (!self->own_bytes)
        return 0;
    self->own = self->be->ops->alloc(self->be, self->own_bytes);
    if (!self->own)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for what adapters compute");
    self->be->ops->zero(self->be, self->own, self->own_bytes);
    self->trained.own = self->own;
    self->fixed.own = self->own + trained;
    return 0;
}

int llm_decoder_init(llm_decoder_t *self, const llm_stack_t *stack, llm_backend_t *be,
                     fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    if (llm_stack_check(stack, err) < 0)
        return -1;
    self->shape = &stack->model->shape;
    self->be = be;
    self->trains = stack->adapter->size > 0;
    self->first_layer = stack->adapter->first_layer;
    self->layers = calloc(self->shape->layers, sizeof *self->layers);
    if (!self->layers)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a table of %u layers",
                             self->shape->layers);
    if (reserve_own(self, stack, err) < 0)
        return -1;
    self->placement = place_frozen(stack, be, err);
    return self->placement ? 0 : -1;
}

void llm_decoder_release(llm_decoder_t *self)
{
    if (self->own)
        self->be->ops->release(self->be, self->own);
    free(self->layers);
    self->own = NULL;
    self->layers = NULL;
}

static llm_bound_norm_t bind_norm(const llm_placed_norm_t *norm, size_t width)
{
    return (llm_bound_norm_t){.weight = norm->weight, .bias = norm->bias, .width = width};
}

/* Streams of dropout that a layer has, and which of them is a module's: a fused
 * gate and up takes that of the gate, which such a family has not. */
#define STREAMS 8

static uint32_t stream_of(llm_module_t module)
{
    return module == LLM_GATE_UP ? LLM_GATE : (uint32_t)module;
}

static void bind_layer(llm_decoder_t *self, uint32_t layer, const llm_model_t *model)
{
    const llm_placed_layer_t *from = &self->placement->layers[layer];
    llm_shape_t shape = *self->shape;
    shape.ffn = model->parts[layer].ffn;
    llm_bound_layer_t *to = &self->layers[layer];
    for (int n = 0; n < LLM_LAYER_NORMS; n++) {
        bool has = shape.arch->norms[n] != NULL;
        size_t width = has ? llm_shape_norm(&shape, (llm_layer_norm_t)n) : 0;
        to->norms[n] = bind_norm(&from->norms[n], width);
    }
    for (int m = 0; m < LLM_MODULES; m++) {
        llm_bound_linear_t *linear = &to->linear[m];
        memset(linear, 0, sizeof *linear);
        if (!self->shape->arch->modules[m])
            continue;
        size_t out = 0;
        llm_shape_module(self->shape, (llm_module_t)m, &out, &linear->a_stride);
        llm_shape_module(&shape, (llm_module_t)m, &linear->out, &linear->in);
        linear->weight_stride = shape.arch->input_major ? out : linear->a_stride;
        linear->frozen = from->linear[m].weight;
        linear->bias = from->linear[m].bias;
        linear->input_major = self->shape->arch->input_major;
        linear->stream = layer * STREAMS + stream_of((llm_module_t)m);
    }
}

/* What is done with a piece; own is its floats. */
typedef void piece_fn(const llm_piece_t *piece, llm_decoder_t *decoder, const llm_vector_t *vector,
                      float *own);

static void each_piece(llm_decoder_t *self, const llm_vector_t *vector, piece_fn *visit)
{
    float *own = vector->own;
    for (size_t i = 0; vector->adapter && i < vector->adapter->size; i++) {
        const llm_piece_t *piece = &vector->adapter->pieces[i];
        size_t floats = own_floats(piece, vector->adapter);
        visit(piece, self, vector, floats ? own : NULL);
        own = floats ? own + floats : own;
    }
}

static void bind_piece(const llm_piece_t *piece, llm_decoder_t *decoder, const llm_vector_t *vector,
                       float *own)
{
    piece->ops->bind(piece, decoder, vector, own);
}

static void begin_piece(const llm_piece_t *piece, llm_decoder_t *decoder,
                        const llm_vector_t *vector, float *own)
{
    if (piece->ops->begin)
        piece->ops->begin(piece, decoder, vector, own);
}

static void prepare_piece(const llm_piece_t *piece, llm_decoder_t *decoder,
                          const llm_vector_t *vector, float *own)
{
    if (piece->ops->prepare)
        piece->ops->prepare(piece, decoder, vector, own);
}

static void collect_piece(const llm_piece_t *piece, llm_decoder_t *decoder,
                          const llm_vector_t *vector, float *own)
{
    if (piece->ops->collect && vector->grads)
        piece->ops->collect(piece, decoder, vector, own);
}

void llm_decoder_bind(llm_decoder_t *self, const llm_stack_t *stack, const llm_vectors_t *vectors)
{
    const llm_model_t *model = stack->model;
    const llm_placed_stem_t *stem = &self->placement->stem;
    self->tokens = stem->tokens;
    self->positions =
        stem->positions ? stem->positions + self->shape->arch->position_offset * self->shape->width
                        : NULL;
    self->norm_embedding = bind_norm(&stem->norm_embedding,
                                     self->shape->arch->norm_embedding ? self->shape->width : 0);
    self->norm_final = bind_norm(&stem->norm_final, self->shape->width);
    self->head = (llm_bound_linear_t){.out = self->shape->vocab,
                                      .in = self->shape->width,
                                      .weight_stride = self->shape->width,
                                      .a_stride = self->shape->width,
                                      .stream = self->shape->layers * LLM_MODULES,
                                      .frozen = stem->head ? stem->head : stem->tokens,
                                      .bias = stem->head_bias};
    self->lookup = (llm_bound_lookup_t){0};
    for (uint32_t l = 0; l < self->shape->layers; l++)
        bind_layer(self, l, model);

    self->first_stage = stack->adapter->first_stage;
    self->trained.at = vectors->params;
    self->trained.grads = vectors->grads;
    self->fixed.at = vectors->fixed;
    each_piece(self, &self->trained, bind_piece);
    each_piece(self, &self->fixed, bind_piece);
}

void llm_decoder_prepare(llm_decoder_t *self)
{
    if (!self->begun) {
        each_piece(self, &self->trained, begin_piece);
        each_piece(self, &self->fixed, begin_piece);
        self->begun = true;
    }
    each_piece(self, &self->trained, prepare_piece);
    each_piece(self, &self->fixed, prepare_piece);
}

void llm_decoder_collect(llm_decoder_t *self)
{
    each_piece(self, &self->trained, collect_piece);
}
