/*
 * source.h - where the bytes of a model's tensor come from: a file of the
 * model, a part file, another model that lends it, or the random numbers of a
 * made-up model.
 *
 * Private to this folder.  A source is a view; what it points to lives as long
 * as the model.
 */
#ifndef FEDMQ_LLM_WEIGHTS_SOURCE_H
#define FEDMQ_LLM_WEIGHTS_SOURCE_H

#include "llm/weights/weights.h"

/* How a tensor is stored; only a module's weight may be other than dense
 * (fedmq/llm/parts.h). */
typedef enum { LLM_DENSE, LLM_QUANTIZED, LLM_SPARSE } llm_form_t;

/* One tensor of a file; the bytes may be unaligned. */
typedef struct {
    const void *data;
    uint64_t bytes;
    fmq_dtype_t dtype;
} llm_stored_t;

typedef struct {
    llm_form_t form;
    llm_stored_t main; /* the elements, the codes, or the mask */
    llm_stored_t more; /* the scales, or the values; no bytes when dense */
    uint64_t rows, columns, count;
    uint32_t bits;  /* of a code */
    uint64_t group; /* codes of a row that share a scale: a power of two */
    bool mapped;    /* what is not in the buffer lies in a mapped file */
    void *buffer;   /* owned, or NULL when everything lies in files */
} llm_source_t;

/* The tensor number index of the model's list, and how it is stored. */
int llm_source_open(llm_source_t *source, const llm_model_t *model, size_t index, fmq_error_t *err);
/* Also gives back the memory behind what lies in a file: a model that has been
 * opened takes one copy of its weights, not two. */
void llm_source_close(llm_source_t *source);

/* The bytes it has in files, without reading them. */
int llm_source_bytes(const llm_model_t *model, size_t index, uint64_t *bytes, fmq_error_t *err);

/* Moves the bytes of a dense source into a buffer where they are not aligned. */
int llm_source_align(llm_source_t *source, fmq_error_t *err);

/* Copies its elements as F32, in the order [rows][columns]. */
void llm_source_read(const llm_source_t *source, float *out);

#endif
