/*
 * decoder.c - binds frozen weights and the vectors.  Computes nothing.
 */
#include "llm/pass/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "llm/adapter/layout.h"
#include "llm/pass/stack.h"
#include "llm/weights/weights.h"

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

bool llm_stage_trains(const llm_bound_layer_t *layer, llm_stage_t stage)
{
    for (int m = 0; m < LLM_MODULES; m++) {
        const llm_bound_linear_t *linear = &layer->linear[m];
        if (llm_module_stage((llm_module_t)m) == stage && (linear->da || linear->dweight))
            return true;
    }
    return false;
}

/* An adapter whose vector is to be bound. */
typedef struct {
    const llm_adapter_t *adapter;
    const float *at;
    float *grads; /* or NULL */
    bool fixed;
} vector_t;

static bool covers(const llm_adapter_t *adapter, const llm_parameter_t *parameter)
{
    return adapter->spec.kind == LLM_ADAPTER_FULL && llm_adapter_covers(adapter, parameter);
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
        if (!covers(stack->adapter, parameter) &&
            !(stack->fixed && covers(stack->fixed, parameter)))
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

int llm_decoder_init(llm_decoder_t *self, const llm_stack_t *stack, llm_backend_t *be,
                     fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    if (llm_stack_check(stack, err) < 0)
        return -1;
    self->shape = &stack->model->shape;
    self->be = be;
    self->first_layer = stack->adapter->first_layer;
    self->layers = calloc(self->shape->layers, sizeof *self->layers);
    if (!self->layers)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a table of %u layers",
                             self->shape->layers);
    self->placement = place_frozen(stack, be, err);
    return self->placement ? 0 : -1;
}

void llm_decoder_release(llm_decoder_t *self)
{
    free(self->layers);
    self->layers = NULL;
}

static llm_bound_norm_t bind_norm(const llm_placed_norm_t *norm)
{
    return (llm_bound_norm_t){.weight = norm->weight, .bias = norm->bias};
}

static void bind_lora(llm_bound_linear_t *linear, const vector_t *vector,
                      const llm_lora_slot_t *slot)
{
    linear->rank = vector->adapter->spec.rank;
    linear->scaling = llm_adapter_scaling(vector->adapter);
    linear->dropout = vector->fixed ? 0.0f : vector->adapter->spec.dropout;
    linear->a = vector->at + slot->a;
    linear->b = vector->at + slot->b;
    linear->da = vector->grads ? vector->grads + slot->a : NULL;
    linear->db = vector->grads ? vector->grads + slot->b : NULL;
}

static void bind_layer(llm_decoder_t *self, uint32_t layer, const llm_model_t *model)
{
    const llm_placed_layer_t *from = &self->placement->layers[layer];
    llm_shape_t shape = *self->shape;
    shape.ffn = model->parts[layer].ffn;
    llm_bound_layer_t *to = &self->layers[layer];
    to->norm_attention = bind_norm(&from->norm_attention);
    to->norm_mlp = bind_norm(&from->norm_mlp);
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
        linear->stream = layer * LLM_MODULES + (uint32_t)m;
    }
}

static void bind_adapted(llm_decoder_t *self, const vector_t *vector)
{
    for (uint32_t l = 0; l < self->shape->layers; l++) {
        for (int m = 0; m < LLM_MODULES; m++) {
            const llm_lora_slot_t *slot = llm_adapter_lora(vector->adapter, l, (llm_module_t)m);
            if (slot)
                bind_lora(&self->layers[l].linear[m], vector, slot);
        }
    }
}

llm_stage_t llm_adapter_stage(const llm_adapter_t *adapter)
{
    llm_stage_t lowest = LLM_STAGES;
    for (int m = 0; m < LLM_MODULES && adapter->first_layer < adapter->shape.layers; m++) {
        llm_stage_t stage = llm_module_stage((llm_module_t)m);
        if (llm_adapter_lora(adapter, adapter->first_layer, (llm_module_t)m) && stage < lowest)
            lowest = stage;
    }
    return lowest;
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

/* The tied head's weight is the embedding: both uses add to one gradient. */
static void use_tokens(llm_decoder_t *self, const float *at, float *grad)
{
    self->tokens = NULL;
    self->token_table = at;
    self->dtoken_table = grad;
    if (self->shape->tied)
        use_linear(&self->head, false, at, grad);
}

static void use_parameter(llm_decoder_t *self, const llm_parameter_t *parameter, const float *at,
                          float *grad)
{
    llm_bound_layer_t *layer = &self->layers[parameter->layer];
    switch (parameter->role) {
    case LLM_ROLE_TOKENS:
        use_tokens(self, at, grad);
        break;
    case LLM_ROLE_POSITIONS:
        self->positions = at;
        self->dpositions = grad;
        break;
    case LLM_ROLE_NORM_ATTENTION:
        use_norm(&layer->norm_attention, parameter->bias, at, grad);
        break;
    case LLM_ROLE_NORM_MLP:
        use_norm(&layer->norm_mlp, parameter->bias, at, grad);
        break;
    case LLM_ROLE_NORM_FINAL:
        use_norm(&self->norm_final, parameter->bias, at, grad);
        break;
    case LLM_ROLE_MODULE:
        use_linear(&layer->linear[parameter->module], parameter->bias, at, grad);
        break;
    case LLM_ROLE_HEAD:
        use_linear(&self->head, false, at, grad);
        break;
    }
}

static void bind_full(llm_decoder_t *self, const llm_model_t *model, const vector_t *vector)
{
    size_t index = 0;
    for (size_t i = 0; i < model->parameters.size; i++) {
        const llm_parameter_t *parameter = &model->parameters.items[i];
        if (!llm_adapter_covers(vector->adapter, parameter))
            continue;
        uint64_t offset = fmq_schema_at(vector->adapter->schema, index++)->offset;
        use_parameter(self, parameter, vector->at + offset,
                      vector->grads ? vector->grads + offset : NULL);
    }
}

static void bind_vector(llm_decoder_t *self, const llm_model_t *model, const vector_t *vector)
{
    if (vector->adapter->spec.kind == LLM_ADAPTER_LORA)
        bind_adapted(self, vector);
    else if (vector->adapter->spec.kind == LLM_ADAPTER_FULL)
        bind_full(self, model, vector);
}

void llm_decoder_bind(llm_decoder_t *self, const llm_stack_t *stack, const llm_vectors_t *vectors)
{
    const llm_model_t *model = stack->model;
    const llm_placed_stem_t *stem = &self->placement->stem;
    self->tokens = stem->tokens;
    self->positions = stem->positions;
    self->norm_final = bind_norm(&stem->norm_final);
    self->head = (llm_bound_linear_t){.out = self->shape->vocab,
                                      .in = self->shape->width,
                                      .weight_stride = self->shape->width,
                                      .frozen = stem->head ? stem->head : stem->tokens};
    for (uint32_t l = 0; l < self->shape->layers; l++)
        bind_layer(self, l, model);

    self->first_stage = llm_adapter_stage(stack->adapter);
    vector_t trained = {.adapter = stack->adapter, .at = vectors->params, .grads = vectors->grads};
    bind_vector(self, model, &trained);
    if (!stack->fixed)
        return;
    vector_t fixed = {.adapter = stack->fixed, .at = vectors->fixed, .fixed = true};
    bind_vector(self, model, &fixed);
}
