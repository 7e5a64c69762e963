/*
 * adapter.c - an adapter as a list of pieces over a shape, and its first values.
 * Neither reads nor writes files; which pieces there are is the methods' affair.
 */
#include "fedmq/llm/adapter.h"

#include <stdlib.h>

#include "llm/adapter/method.h"

/* Every layer of the set must exist: PEFT passes over those that do not, and
 * so hides an index that counts from one. */
static int check_layers(const llm_shape_t *shape, const llm_layer_set_t *layers, fmq_error_t *err)
{
    if (!layers->some)
        return 0;
    bool any = false;
    for (uint32_t layer = 0; layer < LLM_LAYERS_MAX; layer++) {
        bool has = llm_layer_set_has(layers, layer);
        if (has && layer >= shape->layers)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "the adapter is to transform layer %u; the model has layers 0 to "
                                 "%u",
                                 layer, shape->layers - 1);
        any = any || has;
    }
    if (!any)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the adapter is to transform no layer; the model has layers 0 to %u",
                             shape->layers - 1);
    return 0;
}

static llm_adapter_t *adapter_over(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                                   const llm_method_t *method)
{
    llm_adapter_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->shape = *shape;
    self->spec = *spec;
    self->method = method;
    self->first_layer = shape->layers;
    self->first_stage = LLM_STAGES;
    self->schema = fmq_schema_new(FMQ_F32);
    self->slots = calloc((size_t)shape->layers * LLM_MODULES + 1, sizeof *self->slots);
    if (!self->schema || !self->slots)
        llm_adapter_destroy(&self);
    return self;
}

llm_adapter_t *llm_adapter_new(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                               fmq_error_t *err)
{
    const llm_method_t *method = llm_method_of(spec->kind);
    if (!method) {
        fmq_error_set(err, FMQ_ERR_CONFIG, "an adapter of kind %d is asked for: there is none",
                      (int)spec->kind);
        return NULL;
    }
    if (method->check && method->check(spec, err) < 0)
        return NULL;
    if (spec->kind != LLM_ADAPTER_NONE && check_layers(shape, &spec->layers, err) < 0)
        return NULL;
    llm_adapter_t *self = adapter_over(shape, spec, method);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an adapter");
        return NULL;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < FMQ_SCHEMA_CODECS_MAX && spec->codecs[i]; i++)
        rc = fmq_schema_add_codec(self->schema, spec->codecs[i], err);
    if (rc < 0 || method->lay_out(self, err) < 0)
        llm_adapter_destroy(&self);
    else
        (void)fmq_schema_digest(self->schema); /* from here on it is immutable */
    return self;
}

void llm_adapter_destroy(llm_adapter_t **self_p)
{
    llm_adapter_t *self = *self_p;
    if (!self)
        return;
    fmq_schema_destroy(&self->schema);
    free(self->pieces);
    free(self->slots);
    free(self->virtual_tokens);
    free(self);
    *self_p = NULL;
}

const llm_adapter_spec_t *llm_adapter_spec(const llm_adapter_t *self)
{
    return &self->spec;
}

const llm_shape_t *llm_adapter_shape(const llm_adapter_t *self)
{
    return &self->shape;
}

const fmq_schema_t *llm_adapter_schema(const llm_adapter_t *self)
{
    return self->schema;
}

uint32_t llm_adapter_first_layer(const llm_adapter_t *self)
{
    return self->first_layer;
}

int llm_adapter_init(const llm_adapter_t *self, const llm_model_t *model, uint64_t seed,
                     float *vector, fmq_error_t *err)
{
    const llm_piece_start_t start = {.model = model, .seed = seed};
    for (size_t i = 0; i < self->size; i++) {
        const llm_piece_t *piece = &self->pieces[i];
        if (piece->ops->init(piece, self, &start, vector, err) < 0)
            return -1;
    }
    return 0;
}
