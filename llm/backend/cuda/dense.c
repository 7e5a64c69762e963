/*
 * dense.c - products with weights that lie in vectors, and of floats alone.
 *
 * Where activations are bf16 the weight is rounded to bf16 for the product; its
 * gradient is summed in float, onto floats.
 */
#include "llm/backend/cuda/multiply.h"

/* The weight in the type of activations, its rows as far apart.  NULL: no memory. */
static const void *operand(llm_cuda_t *self, const llm_dense_t *w)
{
    size_t rows = w->input_major ? w->in : w->out, columns = w->input_major ? w->out : w->in;
    if (!self->queue.bf16 || !rows)
        return w->at;
    size_t n = (rows - 1) * w->stride + columns;
    void *to = llm_cuda_room(self, LLM_CUDA_ROOM_WEIGHT, n * sizeof(uint16_t));
    if (to)
        llm_cuda_narrow(&self->queue, to, w->at, n, false);
    return to;
}

static void forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                    size_t x_stride, const llm_dense_t *w, const float *bias, size_t M)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    const llm_cuda_factors_t factors = {y, x, operand(self, w), bias};
    const llm_cuda_product_t what = {.M = M,
                                     .N = w->out,
                                     .K = w->in,
                                     .transpose_b = !w->input_major,
                                     .lda = x_stride,
                                     .ldb = w->stride,
                                     .ldc = y_stride,
                                     .bf16 = self->queue.bf16,
                                     .bf16_c = self->queue.bf16,
                                     .alpha = 1.0f};
    if (factors.b)
        llm_cuda_multiply(self, &factors, &what);
}

static void backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                     size_t dy_stride, const llm_dense_t *w, size_t M, bool add)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    const llm_cuda_factors_t factors = {dx, dy, operand(self, w), NULL};
    const llm_cuda_product_t what = {.M = M,
                                     .N = w->in,
                                     .K = w->out,
                                     .transpose_b = w->input_major,
                                     .lda = dy_stride,
                                     .ldb = w->stride,
                                     .ldc = dx_stride,
                                     .bf16 = self->queue.bf16,
                                     .bf16_c = self->queue.bf16,
                                     .alpha = 1.0f,
                                     .add = add};
    if (factors.b)
        llm_cuda_multiply(self, &factors, &what);
}

static void gradients(llm_backend_t *be, float *dweight, const llm_act_t *dy, size_t dy_stride,
                      const llm_act_t *x, size_t x_stride, const llm_dense_t *w, size_t M)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    bool major = w->input_major;
    const llm_cuda_factors_t factors = {dweight, major ? x : dy, major ? dy : x, NULL};
    const llm_cuda_product_t what = {.M = major ? w->in : w->out,
                                     .N = major ? w->out : w->in,
                                     .K = M,
                                     .transpose_a = true,
                                     .lda = major ? x_stride : dy_stride,
                                     .ldb = major ? dy_stride : x_stride,
                                     .ldc = w->stride,
                                     .bf16 = self->queue.bf16,
                                     .alpha = 1.0f,
                                     .add = true};
    llm_cuda_multiply(self, &factors, &what);
}

static void gemm(llm_backend_t *be, float *c, const float *a, const float *b,
                 const llm_gemm_t *shape)
{
    const llm_cuda_factors_t factors = {c, a, b, NULL};
    const llm_cuda_product_t what = {.M = shape->M,
                                     .N = shape->N,
                                     .K = shape->K,
                                     .transpose_a = shape->transpose_a,
                                     .transpose_b = shape->transpose_b,
                                     .lda = shape->lda,
                                     .ldb = shape->ldb,
                                     .ldc = shape->ldc,
                                     .alpha = shape->alpha,
                                     .add = shape->beta != 0.0f};
    llm_cuda_multiply(llm_cuda_enter(be), &factors, &what);
}

void llm_cuda_dense_ops(llm_ops_t *ops)
{
    ops->dense_forward = forward;
    ops->dense_backward = backward;
    ops->dense_gradients = gradients;
    ops->gemm = gemm;
}
