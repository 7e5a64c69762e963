/*
 * moments.h - what an optimizer keeps of a range of the trained vector, and where
 * such a range may end.
 *
 * The range is seen as pieces, each of one tensor: blocks of 8-bit moments and factors
 * of Adafactor's belong to a tensor and are not cut.  Arrays lie on the backend; which
 * there are follows from the optimizer alone.
 */
#ifndef FEDMQ_LLM_TRAIN_MOMENTS_H
#define FEDMQ_LLM_TRAIN_MOMENTS_H

#include "fedmq/llm/train.h"

#define LLM_MOMENTS_ARRAYS 6

typedef struct {
    size_t at;            /* first element, of the range */
    size_t rows, columns; /* as stored; columns 0: a vector of rows elements */
    size_t count;
    bool narrow;   /* its moments are codes */
    size_t offset; /* of what the piece has in arrays that are not of the range's length */
} llm_moments_piece_t;

typedef struct {
    void *memory; /* owned, the backend's */
    size_t bytes;
} llm_moments_array_t;

typedef struct {
    llm_backend_t *be; /* borrowed */
    llm_moments_array_t arrays[LLM_MOMENTS_ARRAYS];
    llm_moments_piece_t *pieces; /* owned */
    size_t pieces_size;
    size_t longest; /* elements of a piece */
} llm_moments_t;

/* Moves bounds 1 .. ranks - 1 of the vector down to where its state may be cut: between
 * tensors (Adafactor), between blocks of a tensor (8 bits), or where they are. */
void llm_moments_cut(const llm_optimizer_t *how, const fmq_schema_t *schema, size_t *bounds,
                     unsigned ranks);

/* Takes the arrays of elements range[0] .. range[1] of the schema's vector, as they are
 * before the first step.  Release after failure too. */
int llm_moments_init(llm_moments_t *self, const llm_optimizer_t *how, llm_backend_t *be,
                     const fmq_schema_t *schema, const size_t range[2], fmq_error_t *err);
void llm_moments_release(llm_moments_t *self);

#endif
