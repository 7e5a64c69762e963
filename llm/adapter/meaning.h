/*
 * meaning.h - whether the tensors of a PEFT directory mean what an adapter's do.
 *
 * Private to the engine; the text form of a meaning is in fedmq/llm/adapter.h.
 */
#ifndef FEDMQ_LLM_ADAPTER_MEANING_H
#define FEDMQ_LLM_ADAPTER_MEANING_H

#include "fedmq/llm/adapter.h"

/* What adapter_config.json says of how weights are stored, which a spec leaves
 * to the model. */
typedef struct {
    bool given, input_major; /* fan_in_fan_out */
    bool argument;           /* in: what is read is a user's wish, not what was saved */
    /* What PEFT took of the model for virtual tokens; 0: nothing is said. */
    uint32_t token_dim, num_attention_heads, num_layers;
} llm_adapter_storage_t;

/* llm_adapter_spec_load(), and storage (may be NULL). */
int llm_adapter_settings_read(const char *directory, llm_adapter_spec_t *spec,
                              llm_adapter_storage_t *storage, fmq_error_t *err);

/* Refuses a directory whose settings give its tensors another meaning than
 * self's: FMQ_ERR_MISMATCH with the key and both values.  A directory of
 * whole weights has no settings that could differ. */
int llm_adapter_check_directory(const llm_adapter_t *self, const char *directory, fmq_error_t *err);

#endif
