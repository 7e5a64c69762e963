/*
 * tensors.h - a vector's tensors under their names in a safetensors file.
 *
 * Private to the engine.  Which file that is, and what else may lie in it, is said by
 * load.c, save.c and virtual_files.c.
 */
#ifndef FEDMQ_LLM_ADAPTER_TENSORS_H
#define FEDMQ_LLM_ADAPTER_TENSORS_H

#include "llm/adapter/layout.h"

/* Every tensor of the schema has to be in weights. */
int llm_tensors_read(const llm_adapter_t *self, const llm_weights_t *weights, float *vector,
                     fmq_error_t *err);
int llm_tensors_save(const llm_adapter_t *self, const float *vector, fmq_dtype_t dtype,
                     const char *path, fmq_error_t *err);

#endif
