/*
 * layout.c - adds pieces to an adapter, and notes what the passes ask of it.
 * Which pieces is said by others.
 */
#include "llm/adapter/layout.h"

#include <stdlib.h>
#include <string.h>

/* Is a stage nearer to its layer's beginning?  LLM_STAGES is that itself. */
static bool is_lower(llm_stage_t a, llm_stage_t b)
{
    return b != LLM_STAGES && (a == LLM_STAGES || a < b);
}

/* What the passes ask of the place of a piece. */
static void note_place(llm_adapter_t *self, const llm_piece_t *piece)
{
    uint32_t layer = 0;
    llm_stage_t stage = LLM_STAGES;
    llm_piece_reach(piece, &self->shape, &layer, &stage);
    if (layer < self->first_layer) {
        self->first_layer = layer;
        self->first_stage = stage;
    } else if (layer == self->first_layer && is_lower(stage, self->first_stage)) {
        self->first_stage = stage;
    }
    bool weight = piece->ops == &llm_piece_dense && !piece->place.bias;
    if (piece->place.role == LLM_ROLE_HEAD ||
        (piece->place.role == LLM_ROLE_TOKENS && self->shape.tied))
        self->trains_head = self->trains_head || weight;
    if (piece->place.role != LLM_ROLE_MODULE)
        return;
    llm_slot_t *slot = &self->slots[(size_t)piece->place.layer * LLM_MODULES + piece->place.module];
    slot->trains = true;
    slot->whole = slot->whole || weight;
    slot->rank += piece->rank;
}

int llm_adapter_add(llm_adapter_t *self, const llm_piece_t *like, fmq_error_t *err)
{
    if (self->size == self->room) {
        size_t room = self->room ? 2 * self->room : 32;
        llm_piece_t *pieces = realloc(self->pieces, room * sizeof *pieces);
        if (!pieces)
            return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an adapter");
        self->pieces = pieces;
        self->room = room;
    }
    llm_piece_t *piece = &self->pieces[self->size];
    *piece = *like;
    piece->first = fmq_schema_size(self->schema);
    if (piece->ops->lay_out(piece, self, err) < 0)
        return -1;
    piece->tensors = fmq_schema_size(self->schema) - piece->first;
    self->size++;
    note_place(self, piece);
    return 0;
}

const llm_slot_t *llm_adapter_slot(const llm_adapter_t *self, uint32_t layer, llm_module_t module)
{
    return &self->slots[(size_t)layer * LLM_MODULES + module];
}

bool llm_adapter_unties(const llm_adapter_t *self)
{
    for (size_t i = 0; self->shape.tied && i < self->size; i++) {
        const llm_piece_t *piece = &self->pieces[i];
        bool whole = piece->ops == &llm_piece_dense && piece->called == LLM_DENSE_HF;
        if (piece->place.role == LLM_ROLE_HEAD ||
            (piece->place.role == LLM_ROLE_TOKENS && !whole &&
             (piece->ops == &llm_piece_dense || piece->ops == &llm_piece_lookup)))
            return true;
    }
    return false;
}

bool llm_adapter_silent_at_zero(const llm_adapter_t *self)
{
    for (size_t i = 0; i < self->size; i++)
        if (!self->pieces[i].ops->silent_at_zero)
            return false;
    return true;
}

const llm_encoder_layout_t *llm_adapter_virtual(const llm_adapter_t *self)
{
    return self->virtual_tokens;
}

uint32_t llm_adapter_reach(const llm_adapter_t *self)
{
    uint32_t reach = llm_shape_reach(&self->shape);
    return self->virtual_tokens ? reach - (uint32_t)self->virtual_tokens->count : reach;
}

int llm_check_targets(const llm_adapter_spec_t *spec, fmq_error_t *err)
{
    if (spec->targets > LLM_TARGETS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%u target modules are named; %d are the limit",
                             spec->targets, LLM_TARGETS_MAX);
    for (uint32_t t = 0; t < spec->targets; t++) {
        if (!memchr(spec->target[t], '\0', sizeof spec->target[t]) || !spec->target[t][0])
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "target module number %u is empty or longer than %zu bytes", t,
                                 sizeof spec->target[t] - 1);
    }
    return 0;
}
