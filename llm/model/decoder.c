/*
 * decoder.c - binds frozen weights and the trainable vector.  Computes nothing.
 */
#include "llm/model/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "llm/adapter/layout.h"
#include "llm/model/weights.h"

llm_stage_t llm_module_stage(llm_module_t module)
{
    switch (module) {
    case LLM_O:
        return LLM_STAGE_O;
    case LLM_GATE:
    case LLM_UP:
        return LLM_STAGE_UP;
    case LLM_DOWN:
        return LLM_STAGE_DOWN;
    default:
        return LLM_STAGE_QKV;
    }
}

static bool same_shape(const llm_shape_t *a, const llm_shape_t *b)
{
    return a->arch == b->arch && a->layers == b->layers && a->width == b->width &&
           a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_width == b->head_width &&
           a->ffn == b->ffn && a->vocab == b->vocab && a->context == b->context &&
           a->attention_bias == b->attention_bias && a->mlp_bias == b->mlp_bias &&
           a->tied == b->tied;
}

int llm_decoder_init(llm_decoder_t *self, const llm_model_t *model, const llm_adapter_t *adapter,
                     llm_backend_t *be, fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    if (!same_shape(llm_model_shape(model), llm_adapter_shape(adapter)))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the adapter was made for a model of another shape");
    self->shape = &model->shape;
    self->be = be;
    self->full = adapter->spec.kind == LLM_ADAPTER_FULL;
    self->first_layer = adapter->first_layer;
    self->layers = calloc(self->shape->layers, sizeof *self->layers);
    if (!self->layers)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a table of %u layers",
                             self->shape->layers);
    return 0;
}

void llm_decoder_release(llm_decoder_t *self)
{
    free(self->layers);
    self->layers = NULL;
}

static llm_bound_norm_t bind_norm(const llm_model_norm_t *norm)
{
    return (llm_bound_norm_t){.weight = norm->weight, .bias = norm->bias};
}

static void bind_lora(llm_bound_linear_t *linear, const llm_adapter_t *adapter,
                      const llm_lora_slot_t *slot, const float *params, float *grads)
{
    linear->rank = adapter->spec.rank;
    linear->scaling = llm_adapter_scaling(adapter);
    linear->dropout = adapter->spec.dropout;
    linear->a = params + slot->a;
    linear->b = params + slot->b;
    linear->da = grads ? grads + slot->a : NULL;
    linear->db = grads ? grads + slot->b : NULL;
}

static void bind_layer(llm_decoder_t *self, uint32_t layer, const llm_model_layer_t *from)
{
    llm_bound_layer_t *to = &self->layers[layer];
    to->norm_attention = bind_norm(&from->norm_attention);
    to->norm_mlp = bind_norm(&from->norm_mlp);
    for (int m = 0; m < LLM_MODULES; m++) {
        llm_bound_linear_t *linear = &to->linear[m];
        memset(linear, 0, sizeof *linear);
        if (!self->shape->arch->modules[m])
            continue;
        llm_shape_module(self->shape, (llm_module_t)m, &linear->out, &linear->in);
        linear->frozen = from->linear[m].weight;
        linear->bias = from->linear[m].bias;
        linear->input_major = self->shape->arch->input_major;
        linear->stream = layer * LLM_MODULES + (uint32_t)m;
    }
}

static void bind_adapted(llm_decoder_t *self, const llm_adapter_t *adapter, const float *params,
                         float *grads)
{
    self->first_stage = LLM_STAGES;
    for (uint32_t l = 0; l < self->shape->layers; l++) {
        for (int m = 0; m < LLM_MODULES; m++) {
            const llm_lora_slot_t *slot = llm_adapter_lora(adapter, l, (llm_module_t)m);
            if (!slot)
                continue;
            bind_lora(&self->layers[l].linear[m], adapter, slot, params, grads);
            llm_stage_t stage = llm_module_stage((llm_module_t)m);
            if (l == self->first_layer && stage < self->first_stage)
                self->first_stage = stage;
        }
    }
}

static void train_norm(llm_bound_norm_t *norm, bool bias, const float *at, float *grad)
{
    if (bias) {
        norm->bias = at;
        norm->dbias = grad;
    } else {
        norm->weight = at;
        norm->dweight = grad;
    }
}

static void train_linear(llm_bound_linear_t *linear, bool bias, const float *at, float *grad)
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

/* The tied head's weight is the embedding: both uses add to one gradient. */
static void train_tokens(llm_decoder_t *self, const float *at, float *grad)
{
    self->tokens = NULL;
    self->token_table = at;
    self->dtoken_table = grad;
    if (self->shape->tied)
        train_linear(&self->head, false, at, grad);
}

static void train_parameter(llm_decoder_t *self, const llm_parameter_t *parameter, const float *at,
                            float *grad)
{
    llm_bound_layer_t *layer = &self->layers[parameter->layer];
    switch (parameter->role) {
    case LLM_ROLE_TOKENS:
        train_tokens(self, at, grad);
        break;
    case LLM_ROLE_POSITIONS:
        self->positions = at;
        self->dpositions = grad;
        break;
    case LLM_ROLE_NORM_ATTENTION:
        train_norm(&layer->norm_attention, parameter->bias, at, grad);
        break;
    case LLM_ROLE_NORM_MLP:
        train_norm(&layer->norm_mlp, parameter->bias, at, grad);
        break;
    case LLM_ROLE_NORM_FINAL:
        train_norm(&self->norm_final, parameter->bias, at, grad);
        break;
    case LLM_ROLE_MODULE:
        train_linear(&layer->linear[parameter->module], parameter->bias, at, grad);
        break;
    case LLM_ROLE_HEAD:
        train_linear(&self->head, false, at, grad);
        break;
    }
}

void llm_decoder_bind(llm_decoder_t *self, const llm_model_t *model, const llm_adapter_t *adapter,
                      const float *params, float *grads)
{
    self->tokens = model->tokens;
    self->positions = model->positions;
    self->norm_final = bind_norm(&model->norm_final);
    self->head = (llm_bound_linear_t){.out = self->shape->vocab,
                                      .in = self->shape->width,
                                      .frozen = model->head ? model->head : model->tokens};
    for (uint32_t l = 0; l < self->shape->layers; l++)
        bind_layer(self, l, &model->layers[l]);

    if (adapter->spec.kind == LLM_ADAPTER_LORA)
        bind_adapted(self, adapter, params, grads);
    if (!self->full)
        return;
    for (size_t i = 0; i < model->parameters.size; i++) {
        uint64_t offset = fmq_schema_at(adapter->schema, i)->offset;
        train_parameter(self, &model->parameters.items[i], params + offset,
                        grads ? grads + offset : NULL);
    }
}
