/*
 * linear.c - the table's large products.
 */
#include "llm/backend/cuda/cuda.h"

int llm_cuda_product_open(llm_cuda_t *self, fmq_error_t *err)
{
    (void)self;
    (void)err;
    return 0;
}

void llm_cuda_product_close(llm_cuda_t *self)
{
    (void)self;
}

void llm_cuda_product_ops(llm_ops_t *ops)
{
    (void)ops;
}
