/*
 * layout.h - where an adapter's tensors lie in the trainable vector, for the
 * passes and for this folder.  Offsets only; the vector belongs to others.
 *
 * Full fine-tuning: the schema's tensors are the parameters of the model
 * (llm/weights/parameter.h) that llm_adapter_covers(), in their order.
 */
#ifndef FEDMQ_LLM_ADAPTER_LAYOUT_H
#define FEDMQ_LLM_ADAPTER_LAYOUT_H

#include "fedmq/llm/adapter.h"
#include "llm/weights/parameter.h"

/* What full fine-tuning of some layers writes: their tensors, HF's names. */
#define LLM_LAYERS_FILE "layers.safetensors"

/* One adapted linear module: A[r][in] and B[out][r]. */
typedef struct {
    bool trains;
    uint64_t a, b; /* first elements within the vector */
} llm_lora_slot_t;

struct llm_adapter {
    llm_shape_t shape;
    llm_adapter_spec_t spec; /* targets made explicit */
    fmq_schema_t *schema;    /* owned */
    llm_lora_slot_t *lora;   /* owned, [layers][LLM_MODULES]; NULL unless LoRA */
    uint32_t first_layer;
};

/* The LoRA of a module, or NULL when it has none. */
const llm_lora_slot_t *llm_adapter_lora(const llm_adapter_t *self, uint32_t layer,
                                        llm_module_t module);

/* Full fine-tuning: is this parameter part of the vector? */
bool llm_adapter_covers(const llm_adapter_t *self, const llm_parameter_t *parameter);

/* lora_alpha / r. */
float llm_adapter_scaling(const llm_adapter_t *self);

#endif
