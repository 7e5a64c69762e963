/*
 * structure.h - which layers a client's model has and what they stand for:
 * [0, l) and [r, L) of the full model are A, [l, behind) of the client's is E.
 *
 * Numbers only; no weights and no backend.  Private to this folder.
 */
#ifndef FEDMQ_LLM_OFFSITE_STRUCTURE_H
#define FEDMQ_LLM_OFFSITE_STRUCTURE_H

#include "fedmq/llm/offsite.h"

typedef struct {
    uint32_t full;    /* L */
    uint32_t l, r;    /* emulated layers of the full model */
    uint32_t layers;  /* of the client's model */
    uint32_t behind;  /* its layers [l, behind) are E's */
    uint32_t *source; /* owned, [layers] */
} llm_structure_t;

/* Of a model of `full` layers.  FMQ_ERR_CONFIG naming the numbers when nothing
 * is left to emulate or to adapt, or when a ratio is out of its range. */
int llm_structure_init(llm_structure_t *self, uint32_t full, const llm_emulator_spec_t *spec,
                       fmq_error_t *err);

/* As somebody else describes it; everything is checked.  FMQ_ERR_MISMATCH. */
int llm_structure_copy(llm_structure_t *self, const llm_emulator_files_t *files, fmq_error_t *err);

/* The client's model's, of the full model's: each layer is of the kind of that
 * which it stands for. */
llm_shape_t llm_structure_shape(const llm_structure_t *self, const llm_shape_t *full);

void llm_structure_release(llm_structure_t *self);

/* A's layers among those of the full model and of the client's, and E's. */
llm_layer_set_t llm_structure_plugged(const llm_structure_t *self);
llm_layer_set_t llm_structure_adapter(const llm_structure_t *self);
llm_layer_set_t llm_structure_emulator(const llm_structure_t *self);

#endif
