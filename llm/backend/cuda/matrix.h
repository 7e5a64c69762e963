/*
 * matrix.h - a frozen weight on a device, and how products come by its elements.
 *
 * Elements lie as they were stored, [out][in] or [in][out], rows a multiple of
 * 16 bytes apart; products take either.  Codes stay packed, and are widened
 * where they are used.
 */
#ifndef LLM_BACKEND_CUDA_MATRIX_H
#define LLM_BACKEND_CUDA_MATRIX_H

#include "llm/backend/cuda/cuda.h"
#include "llm/backend/cuda/product.h"

struct llm_matrix {
    size_t out, in;
    bool input_major;
    size_t rows, columns; /* as stored */
    void *elements;       /* owned, on the device; NULL when there are codes */
    bool bf16;            /* they are, else float */
    size_t stride;        /* elements between rows */
    llm_cuda_quantized_t codes;
    uint8_t *packed; /* owned, on the device: what codes points to ... */
    float *scales;   /* ... likewise */
    size_t bytes;
};

/* Bytes of a row of codes, and scales of one. */
static inline size_t llm_cuda_code_bytes(const llm_cuda_quantized_t *codes)
{
    size_t bits = codes->form == LLM_CUDA_INT8 ? 8 : 4;
    return (codes->columns * bits + 7) / 8;
}

static inline size_t llm_cuda_code_groups(const llm_cuda_quantized_t *codes)
{
    return (codes->columns + codes->group - 1) / codes->group;
}

/* Outputs first .. first + count of a weight, in the type of activations. */
typedef struct {
    const void *at; /* element (first, 0), or (0, first) where it is input_major */
    size_t stride;
    bool input_major;
} llm_cuda_weight_t;

/* In place, or widened into the room for weights.  -1 when there is no memory,
 * which synchronize() will say. */
int llm_cuda_matrix_elements(llm_cuda_t *self, const llm_matrix_t *w, size_t first, size_t count,
                             llm_cuda_weight_t *out);

#endif
