/*
 * piece.c - what all pieces have in common.
 */
#include <stdio.h>

#include "llm/adapter/layout.h"

uint64_t llm_piece_offset(const llm_piece_t *self, const llm_adapter_t *adapter, size_t i)
{
    return fmq_schema_at(adapter->schema, self->first + i)->offset;
}

void llm_piece_name(const llm_piece_t *self, const llm_shape_t *shape, const char *tail,
                    char out[2 * FMQ_SCHEMA_NAME_MAX])
{
    char path[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_path(shape, &self->place, path);
    (void)snprintf(out, 2 * FMQ_SCHEMA_NAME_MAX, "base_model.model.%s%s", path, tail);
}

void llm_piece_extents(const llm_piece_t *self, const llm_shape_t *shape, size_t *out, size_t *in)
{
    if (self->place.role == LLM_ROLE_MODULE) {
        llm_shape_module(shape, self->place.module, out, in);
        return;
    }
    *out = shape->vocab;
    *in = shape->width;
}

llm_bound_linear_t *llm_piece_linear(const llm_piece_t *self, llm_decoder_t *decoder)
{
    if (self->place.role == LLM_ROLE_HEAD)
        return &decoder->head;
    return &decoder->layers[self->place.layer].linear[self->place.module];
}

llm_stage_t llm_module_stage(llm_module_t module)
{
    switch (module) {
    case LLM_O:
        return LLM_STAGE_O;
    case LLM_GATE:
    case LLM_GATE_UP:
    case LLM_UP:
        return LLM_STAGE_UP;
    case LLM_DOWN:
        return LLM_STAGE_DOWN;
    default:
        return LLM_STAGE_QKV;
    }
}

void llm_piece_reach(const llm_piece_t *self, const llm_shape_t *shape, uint32_t *layer,
                     llm_stage_t *stage)
{
    *stage = LLM_STAGES;
    *layer = self->place.layer;
    switch (self->place.role) {
    case LLM_ROLE_MODULE:
        *stage = llm_module_stage(self->place.module);
        break;
    case LLM_ROLE_NORM:
        /* Behind attention, whose input needs nothing then, or beside it. */
        if (self->place.norm == LLM_NORM_MLP && !shape->arch->parallel)
            *stage = LLM_STAGE_O;
        break;
    case LLM_ROLE_TOKENS:
    case LLM_ROLE_NORM_EMBEDDING:
    case LLM_ROLE_POSITIONS:
        *layer = 0;
        break;
    case LLM_ROLE_NORM_FINAL:
    case LLM_ROLE_HEAD:
        *layer = shape->layers;
        break;
    }
}
