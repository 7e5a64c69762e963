/*
 * dense.c - a tensor of the model that is trained itself: full fine-tuning is
 * nothing but these.
 */
#include <string.h>

#include "llm/adapter/layout.h"
#include "llm/backend/fill.h"

static int lay_out(llm_piece_t *self, llm_adapter_t *adapter, fmq_error_t *err)
{
    static const char *const tails[][2] = {
        [LLM_DENSE_PEFT] = {".weight", ".bias"},
        [LLM_DENSE_BASE_LAYER] = {".base_layer.weight", ".base_layer.bias"}};
    char name[2 * FMQ_SCHEMA_NAME_MAX];
    if (self->called == LLM_DENSE_HF)
        llm_parameter_name(&adapter->shape, &self->place, name);
    else
        llm_piece_name(self, &adapter->shape, tails[self->called][self->place.bias], name);
    return fmq_schema_add(adapter->schema, name, self->place.rank, self->place.shape, err);
}

/* The model's own weights; the head of a tied model is its embedding. */
static int init(const llm_piece_t *self, const llm_adapter_t *adapter,
                const llm_piece_start_t *start, float *vector, fmq_error_t *err)
{
    char name[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_t place = self->place;
    if (place.role == LLM_ROLE_HEAD && adapter->shape.tied)
        place.role = LLM_ROLE_TOKENS;
    llm_parameter_name(&adapter->shape, &place, name);
    return llm_model_read(start->model, name, vector + llm_piece_offset(self, adapter, 0), err);
}

/* Norms whose weights are stored less one compute with whole ones: those are
 * its floats, and behind them as many ones.  Gradients are the same. */
static size_t own_floats(const llm_piece_t *self, const llm_adapter_t *adapter)
{
    bool less_one = adapter->shape.arch->norm_less_one;
    return less_one && llm_parameter_is_norm_weight(&self->place) ? 2 * (size_t)self->place.count
                                                                  : 0;
}

static void prepare(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                    float *own)
{
    llm_backend_t *be = decoder->be;
    size_t count = (size_t)self->place.count;
    if (!own)
        return;
    be->ops->copy(be, own, own + count, count * sizeof *own);
    be->ops->add(be, own, vector->at + llm_piece_offset(self, vector->adapter, 0), count);
}

static void use_norm(llm_bound_norm_t *norm, bool bias, const float *at, float *grad)
{
    if (bias) {
        norm->bias = at;
        norm->dbias = grad;
    } else {
        norm->weight = at;
        norm->dweight = grad;
    }
}

static void use_linear(llm_bound_linear_t *linear, bool bias, const float *at, float *grad)
{
    if (bias) {
        linear->bias = at;
        linear->dbias = grad;
    } else {
        linear->frozen = NULL;
        linear->weight = at;
        linear->dweight = grad;
    }
}

/* The tied head's weight is the embedding: both uses add to one gradient,
 * unless the embedding is trained apart. */
static void use_tokens(llm_decoder_t *decoder, bool apart, const float *at, float *grad)
{
    decoder->tokens = NULL;
    decoder->token_table = at;
    decoder->dtoken_table = grad;
    if (decoder->shape->tied && !apart)
        use_linear(&decoder->head, false, at, grad);
}

/* The rows of a table of positions before the first position's are skipped. */
static const float *first_position(const llm_decoder_t *decoder, const float *table)
{
    return table + (size_t)decoder->shape->arch->position_offset * decoder->shape->width;
}

static void bind(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                 float *own)
{
    const llm_parameter_t *place = &self->place;
    uint64_t offset = llm_piece_offset(self, vector->adapter, 0);
    const float *at = own ? own : vector->at + offset;
    float *grad = vector->grads ? vector->grads + offset : NULL;
    llm_bound_layer_t *layer = &decoder->layers[place->layer];
    if (own)
        llm_backend_fill(decoder->be, own + place->count, (size_t)place->count, 1.0f);
    switch (place->role) {
    case LLM_ROLE_TOKENS:
        use_tokens(decoder, self->called != LLM_DENSE_HF, at, grad);
        break;
    case LLM_ROLE_POSITIONS:
        decoder->positions = first_position(decoder, at);
        decoder->dpositions = grad ? grad + (decoder->positions - at) : NULL;
        break;
    case LLM_ROLE_NORM:
        use_norm(&layer->norms[place->norm], place->bias, at, grad);
        break;
    case LLM_ROLE_NORM_EMBEDDING:
        use_norm(&decoder->norm_embedding, place->bias, at, grad);
        break;
    case LLM_ROLE_NORM_FINAL:
        use_norm(&decoder->norm_final, place->bias, at, grad);
        break;
    case LLM_ROLE_MODULE:
        use_linear(&layer->linear[place->module], place->bias, at, grad);
        break;
    case LLM_ROLE_HEAD:
        use_linear(&decoder->head, place->bias, at, grad);
        break;
    }
}

static void merge(const llm_piece_t *self, const llm_adapter_t *adapter, const float *vector,
                  const llm_parameter_t *parameter, float *weight)
{
    if (!llm_parameter_same(parameter, &self->place))
        return;
    const fmq_tensor_t *tensor = fmq_schema_at(adapter->schema, self->first);
    memcpy(weight, vector + tensor->offset, (size_t)tensor->count * sizeof *weight);
}

const llm_piece_ops_t llm_piece_dense = {
    .name = "dense",
    .replaces = true,
    .lay_out = lay_out,
    .init = init,
    .bind = bind,
    .merge = merge,
    .own = own_floats,
    .prepare = prepare,
};
