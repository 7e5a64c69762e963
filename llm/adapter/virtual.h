/*
 * virtual.h - virtual tokens in PEFT's files: functions of llm_method_t.
 *
 * PEFT saves the rows that come out of an encoder, `prompt_embeddings`, and not
 * the encoder: a directory of its own can be computed with, not trained on.  So
 * can those that are written here; the encoder's tensors lie beside, in a file
 * that PEFT does not look at, for who goes on training.
 */
#ifndef FEDMQ_LLM_ADAPTER_VIRTUAL_H
#define FEDMQ_LLM_ADAPTER_VIRTUAL_H

#include "llm/adapter/method.h"

#define LLM_ENCODER_FILE "prompt_encoder.safetensors"

int llm_virtual_check(const llm_adapter_spec_t *spec, fmq_error_t *err);
void llm_virtual_say(const llm_adapter_t *self, llm_line_t *line);
/* With the encoder that the configuration speaks of. */
void llm_virtual_read(llm_json_reader_t *reader, llm_adapter_spec_t *spec,
                      llm_adapter_storage_t *storage);
json_t *llm_virtual_write(const llm_adapter_t *self, const char *base);
int llm_virtual_load(const llm_adapter_t *self, const char *directory, float *vector,
                     fmq_error_t *err);
int llm_virtual_save(const llm_adapter_t *self, const float *vector, fmq_dtype_t dtype,
                     const char *directory, fmq_error_t *err);

#endif
