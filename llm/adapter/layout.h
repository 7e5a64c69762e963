/*
 * layout.h - an adapter as its pieces, for the passes and for this folder.
 * Offsets only; the vector belongs to others.
 */
#ifndef FEDMQ_LLM_ADAPTER_LAYOUT_H
#define FEDMQ_LLM_ADAPTER_LAYOUT_H

#include "llm/adapter/encoder.h"
#include "llm/adapter/piece.h"

/* What full fine-tuning of some layers writes: their tensors, HF's names. */
#define LLM_LAYERS_FILE "layers.safetensors"

/* What an adapter has at a linear module. */
typedef struct {
    bool trains;   /* anything */
    bool whole;    /* the weight itself */
    uint32_t rank; /* of what is added to it; 0: nothing */
} llm_slot_t;

/* Are the names of targets names?  FMQ_ERR_CONFIG. */
int llm_check_targets(const llm_adapter_spec_t *spec, fmq_error_t *err);

struct llm_method;
struct llm_adapter {
    llm_shape_t shape;
    llm_adapter_spec_t spec; /* targets made explicit */
    const struct llm_method *method;
    fmq_schema_t *schema; /* owned; tensors in the order of the pieces */
    llm_piece_t *pieces;  /* owned */
    size_t size, room;
    llm_slot_t *slots; /* owned, [layers][LLM_MODULES] */
    bool trains_head;  /* the head's weight itself */
    /* Where backward may stop: the lowest layer that has something to train
     * (layers: none), and the part of it; LLM_STAGES: its beginning. */
    uint32_t first_layer;
    llm_stage_t first_stage;
    llm_encoder_layout_t *virtual_tokens; /* owned; NULL: none */
};

/* Adds a piece; its ops lay it out.  What is not about its tensors is copied
 * from like. */
int llm_adapter_add(llm_adapter_t *self, const llm_piece_t *like, fmq_error_t *err);

const llm_slot_t *llm_adapter_slot(const llm_adapter_t *self, uint32_t layer, llm_module_t module);

/* Virtual tokens, or NULL. */
const llm_encoder_layout_t *llm_adapter_virtual(const llm_adapter_t *self);

/* Does it change the embedding or the head of a tied model, and not the other? */
bool llm_adapter_unties(const llm_adapter_t *self);

/* Is a vector of zeros without effect? */
bool llm_adapter_silent_at_zero(const llm_adapter_t *self);

#endif
