/*
 * scale_ops.c - the table's factors of columns, lengths of rows, and other
 * small parts of adapters.
 */
#include "llm/backend/cuda/cuda.h"

#include "llm/backend/constants.h"

static void drop(llm_backend_t *be, llm_act_t *out, const uint8_t *mask, const llm_act_t *x,
                 const llm_lora_t *how, bool add)
{
    llm_cuda_drop(&llm_cuda_enter(be)->queue, out, mask, x, llm_lora_keep(how), how->M, how->in,
                  add);
}

static void gather_columns(llm_backend_t *be, float *h, const float *a, const int32_t *ids,
                           size_t T, size_t rank, size_t V)
{
    llm_cuda_lookup_forward(&llm_cuda_enter(be)->queue, h, a, ids, T, rank, V);
}

static void scatter_columns(llm_backend_t *be, float *da, const float *dh, const int32_t *ids,
                            size_t T, size_t rank, size_t V)
{
    llm_cuda_lookup_backward(&llm_cuda_enter(be)->queue, da, dh, ids, T, rank, V);
}

static void lora_lengths(llm_backend_t *be, float *factors, float *inverse,
                         const llm_lengths_t *how)
{
    llm_cuda_lora_lengths(&llm_cuda_enter(be)->queue, factors, inverse, how);
}

static void scale_columns(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                          size_t x_stride, const float *factors, const float *bias, size_t M,
                          size_t N)
{
    llm_cuda_scale_columns(&llm_cuda_enter(be)->queue, y, y_stride, x, x_stride, factors, bias, M,
                           N, false);
}

static void scale_columns_backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride,
                                   float *dfactors, const llm_act_t *dy, size_t dy_stride,
                                   const llm_act_t *x, size_t x_stride, const float *factors,
                                   size_t M, size_t N, bool add)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    float *scratch = dfactors ? llm_cuda_sums(self, llm_cuda_columns_scratch(M, N)) : NULL;
    if (scratch)
        llm_cuda_column_products(&self->queue, dfactors, dy, dy_stride, x, x_stride, M, N, scratch);
    if (dx)
        llm_cuda_scale_columns(&self->queue, dx, dx_stride, dy, dy_stride, factors, NULL, M, N,
                               add);
}

static void row_squares(llm_backend_t *be, float *squares, const llm_act_t *x, size_t M, size_t N)
{
    llm_cuda_row_squares(&llm_cuda_enter(be)->queue, squares, x, M, N);
}

static void add_product(llm_backend_t *be, float *y, const float *a, const float *b, size_t n)
{
    llm_cuda_add_product(&llm_cuda_enter(be)->queue, y, a, b, n);
}

void llm_cuda_scales_ops(llm_ops_t *ops)
{
    ops->drop = drop;
    ops->gather_columns = gather_columns;
    ops->scatter_columns = scatter_columns;
    ops->lora_lengths = lora_lengths;
    ops->scale_columns = scale_columns;
    ops->scale_columns_backward = scale_columns_backward;
    ops->row_squares = row_squares;
    ops->add_product = add_product;
}
