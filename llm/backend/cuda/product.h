/*
 * product.h - the seam below which large matrix products are computed: by
 * cuBLASLt on a device (product_lt.c), by plain loops on the emulation
 * (product_emulated.c), which refuse what cuBLASLt would refuse.
 *
 * A product is C[M][N] = alpha op(A)[M][K] op(B)[K][N] (+ C), row-major; op
 * transposes what is stored.  Operands are bf16 or float, sums are float; with
 * float operands nothing is rounded on the way (no TF32).  Pointers are device
 * memory at multiples of an element's size; rows that begin at multiples of 16
 * bytes are fast, others several times slower.
 *
 * The same product gives the same bytes on the same device and library: which
 * algorithm computes it follows from its shape, never from a measurement, and
 * no sum is split between blocks.  Of the number of tokens (M, or K where A is
 * transposed) only the size class counts, so that batches of many lengths share
 * what was looked up.
 */
#ifndef LLM_BACKEND_CUDA_PRODUCT_H
#define LLM_BACKEND_CUDA_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

#include "llm/backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is done to op(A) op(B) before it is stored. */
typedef enum {
    LLM_CUDA_AS_IT_IS,
    LLM_CUDA_BIAS,      /* + bias[N], elements of C's type, to every row */
    LLM_CUDA_BIAS_GELU, /* + bias; aux = that; C = its GELU, tanh form; bf16 only, no `add` */
    LLM_CUDA_GELU_BACK, /* times the slope of GELU at aux; bf16 only, no `add` */
} llm_cuda_epilogue_t;

typedef struct {
    size_t M, N, K; /* at least 1, at most INT32_MAX */
    bool transpose_a, transpose_b;
    size_t lda, ldb, ldc; /* elements between stored rows */
    bool bf16;            /* A and B are; else float */
    bool bf16_c;          /* C is, which takes bf16 operands; else float */
    float alpha;
    bool add; /* C is added to */
    llm_cuda_epilogue_t epilogue;
    const void *bias; /* NULL where the epilogue has none */
    void *aux;        /* [M][N] of bf16 at a multiple of 16 bytes, or NULL */
    size_t aux_ld;    /* a multiple of 8 */
} llm_cuda_product_t;

/* The library's handle, a workspace and the algorithms found so far: one of an
 * instance, used by its thread. */
typedef struct llm_cuda_products llm_cuda_products_t;

#define LLM_CUDA_PRODUCT_WORKSPACE ((size_t)32 << 20)

/* NULL with why: out of memory, or the library is unusable.  Release with
 * llm_cuda_products_destroy(). */
llm_cuda_products_t *llm_cuda_products_new(const char **why);
void llm_cuda_products_destroy(llm_cuda_products_t **self_p);

/* Puts a product on the queue.  Returns NULL, or what went wrong as a text that
 * lives for ever; nothing is written then. */
const char *llm_cuda_product(llm_cuda_products_t *self, const llm_cuda_queue_t *queue, void *c,
                             const void *a, const void *b, const llm_cuda_product_t *what);

/* What no product may be: NULL, or what is wrong with it.  Both sides ask first. */
const char *llm_cuda_product_check(const void *c, const void *a, const void *b,
                                   const llm_cuda_product_t *what);

/* The size class of a number of tokens: the least that it may stand for, at most
 * an eighth above it. */
size_t llm_cuda_product_class(size_t tokens);

/* Elements that rows of so many take at a multiple of 16 bytes, bf16 or float. */
static inline size_t llm_cuda_padded(size_t columns)
{
    return (columns + 7) / 8 * 8;
}

#ifdef __cplusplus
}
#endif

#endif
