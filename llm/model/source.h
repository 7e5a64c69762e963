/*
 * source.h - where the bytes of a model's tensor come from: a file of the
 * model, a part file, another model that lends it, or the random numbers of a
 * made-up model.
 *
 * Private to this folder.  A source is a view; what it points to lives as long
 * as the model.
 */
#ifndef FEDMQ_LLM_MODEL_SOURCE_H
#define FEDMQ_LLM_MODEL_SOURCE_H

#include "llm/model/weights.h"

typedef struct {
    const void *data; /* aligned to its elements */
    uint64_t bytes;
    fmq_dtype_t dtype;
    void *buffer; /* owned, or NULL when data lies in a file */
} llm_source_t;

/* The tensor number index of the model's list. */
int llm_source_open(llm_source_t *source, const llm_model_t *model, size_t index, fmq_error_t *err);
void llm_source_close(llm_source_t *source);

/* Copies its elements as F32. */
void llm_source_read(const llm_source_t *source, float *out);

/* The model that has the tensor itself, and its number there. */
typedef struct {
    const llm_model_t *model;
    size_t index;
} llm_source_owner_t;
llm_source_owner_t llm_source_owner(const llm_model_t *model, size_t index);

#endif
