/*
 * row_ops.c - the table's rows by index, rotary positions, and sums of columns.
 */
#include "llm/backend/cuda/cuda.h"

#include <stdlib.h>

static void embed_forward(llm_backend_t *be, llm_act_t *out, const float *table, const int32_t *ids,
                          size_t T, size_t C)
{
    llm_cuda_embed_forward(&llm_cuda_enter(be)->queue, out, table, ids, T, C);
}

static void embed_backward(llm_backend_t *be, float *dtable, const llm_act_t *dout,
                           const int32_t *ids, size_t T, size_t C)
{
    llm_cuda_embed_backward(&llm_cuda_enter(be)->queue, dtable, dout, ids, T, C);
}

static void gather_rows(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, const int32_t *rows,
                        size_t n, size_t C)
{
    llm_cuda_gather_rows(&llm_cuda_enter(be)->queue, out, x, rows, n, C);
}

static void scatter_rows(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                         const int32_t *rows, size_t n, size_t C)
{
    llm_cuda_scatter_rows(&llm_cuda_enter(be)->queue, dx, dout, rows, n, C);
}

static void rope(llm_backend_t *be, llm_act_t *x, const int32_t *positions, const float *table,
                 const llm_rope_t *how, bool inverse)
{
    llm_cuda_rope_t heads = {.q = x,
                             .q_stride = how->stride,
                             .H = how->heads,
                             .D = how->D,
                             .rotary = how->rotary,
                             .interleaved = how->interleaved};
    llm_cuda_rope(&llm_cuda_enter(be)->queue, &heads, positions, table, how->T, inverse);
}

static void bias_backward(llm_backend_t *be, float *dbias, const llm_act_t *dy, size_t dy_stride,
                          size_t M, size_t N)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    float *scratch = llm_cuda_sums(self, llm_cuda_columns_scratch(M, N));
    if (scratch)
        llm_cuda_bias_backward(&self->queue, dbias, dy, dy_stride, M, N, scratch);
}

/* The kernel adds to zeros, since the host's sums are the host's. */
static void column_sum_squares(llm_backend_t *be, double *sums, const llm_act_t *x, size_t M,
                               size_t N)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    size_t bytes = N * sizeof *sums;
    float *scratch = llm_cuda_sums(self, llm_cuda_columns_scratch(M, N));
    double *result = llm_cuda_room(self, LLM_CUDA_ROOM_RESULT, bytes);
    double *host = malloc(bytes);
    if (scratch && result && host) {
        llm_cuda_zero(&self->queue, result, bytes);
        llm_cuda_column_sum_squares(&self->queue, result, x, M, N, scratch);
        llm_cuda_fetch(self, host, result, bytes);
        for (size_t n = 0; n < N; n++)
            sums[n] += host[n];
    } else if (!host) {
        llm_instance_fail(&self->instance, FMQ_ERR_NOMEM, "out of memory for sums of columns");
    }
    free(host);
}

void llm_cuda_rows_ops(llm_ops_t *ops)
{
    ops->embed_forward = embed_forward;
    ops->embed_backward = embed_backward;
    ops->gather_rows = gather_rows;
    ops->scatter_rows = scatter_rows;
    ops->rope = rope;
    ops->bias_backward = bias_backward;
    ops->column_sum_squares = column_sum_squares;
}
