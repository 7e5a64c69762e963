/*
 * multiply.h - products as ops ask for them: rows of any stride, sums without a
 * term, biases of floats.  What lies below is product.h.
 */
#ifndef LLM_BACKEND_CUDA_MULTIPLY_H
#define LLM_BACKEND_CUDA_MULTIPLY_H

#include "llm/backend/cuda/cuda.h"
#include "llm/backend/cuda/product.h"

/* What a product is stored to and made of. */
typedef struct {
    void *c;
    const void *a, *b;
    const float *bias; /* [N], NULL: none */
} llm_cuda_factors_t;

/* Computes what's product with these.  epilogue, bias and aux of `what` are set
 * here; where K is 0 the sum is. */
void llm_cuda_multiply(llm_cuda_t *self, const llm_cuda_factors_t *factors,
                       const llm_cuda_product_t *what);

#endif
