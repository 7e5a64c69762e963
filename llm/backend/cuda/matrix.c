/*
 * matrix.c - frozen weights on the device.
 */
#include "llm/backend/cuda/cuda.h"

void llm_cuda_matrix_ops(llm_ops_t *ops)
{
    (void)ops;
}
