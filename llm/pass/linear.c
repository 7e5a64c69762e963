/*
 * linear.c - a linear module, frozen with LoRA on it or lying in a vector.
 *
 * Forward:  y  = x W^T + bias + s h B^T        with h = drop(x) A^T
 * Backward: dB += s dy^T h,  dh = s dy B,  dA += dh^T drop(x),
 *           dx  = dy W + drop'(dh A),  dW += dy^T x,  dbias += sum of dy rows.
 * Without da and db LoRA is fixed: it passes dx on and has no gradient itself.
 * Decides nothing about which modules train: that is in the table it is given.
 */
#include "llm/pass/linear.h"

#define GOLDEN_RATIO_64 UINT64_C(0x9E3779B97F4A7C15)

static void product(const llm_linear_run_t *run, float *c, const float *a, const float *b,
                    llm_gemm_t shape)
{
    run->be->ops->gemm(run->be, c, a, b, &shape);
}

/* Every module draws from a stream of its own: the key moves, the counter stays. */
static fmq_rng_name_t module_stream(const llm_linear_run_t *run, const llm_bound_linear_t *self)
{
    fmq_rng_name_t name = *run->dropout;
    name.seed += GOLDEN_RATIO_64 * ((uint64_t)self->stream + 1);
    return name;
}

static bool drops(const llm_linear_run_t *run, const llm_bound_linear_t *self)
{
    return run->dropout && self->dropout > 0.0f;
}

/* drop(x), the same in forward and backward. */
static const float *lora_input(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                               const float *x)
{
    if (!drops(run, self))
        return x;
    fmq_rng_name_t stream = module_stream(run, self);
    run->be->ops->dropout(run->be, run->dropped, x, run->rows * self->in, self->dropout, &stream,
                          false);
    return run->dropped;
}

static void plain_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self, float *y,
                          size_t y_stride, const float *x)
{
    product(run, y, x, self->weight,
            (llm_gemm_t){.transpose_b = !self->input_major,
                         .M = run->rows,
                         .N = self->out,
                         .K = self->in,
                         .alpha = 1.0f,
                         .lda = self->in,
                         .ldb = self->weight_stride,
                         .ldc = y_stride});
    if (!self->bias)
        return;
    if (y_stride == self->out)
        run->be->ops->bias_forward(run->be, y, self->bias, run->rows, self->out);
    else
        product(run, y, run->ones, self->bias,
                (llm_gemm_t){.M = run->rows,
                             .N = self->out,
                             .K = 1,
                             .alpha = 1.0f,
                             .beta = 1.0f,
                             .lda = 1,
                             .ldb = self->out,
                             .ldc = y_stride});
}

void llm_linear_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self, float *y,
                        size_t y_stride, const float *x, float *h)
{
    if (self->frozen)
        run->be->ops->linear_forward(run->be, y, y_stride, x, self->in, self->frozen, self->bias,
                                     run->rows);
    else
        plain_forward(run, self, y, y_stride, x);
    if (!self->rank)
        return;
    product(run, h, lora_input(run, self, x), self->a,
            (llm_gemm_t){.transpose_b = true,
                         .M = run->rows,
                         .N = self->rank,
                         .K = self->in,
                         .alpha = 1.0f,
                         .lda = self->in,
                         .ldb = self->a_stride,
                         .ldc = self->rank});
    product(run, y, h, self->b,
            (llm_gemm_t){.transpose_b = true,
                         .M = run->rows,
                         .N = self->out,
                         .K = self->rank,
                         .alpha = self->scaling,
                         .beta = 1.0f,
                         .lda = self->rank,
                         .ldb = self->rank,
                         .ldc = y_stride});
}

static void plain_gradients(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                            const float *dy, size_t dy_stride, const float *x)
{
    bool major = self->input_major;
    if (self->dweight)
        product(run, self->dweight, major ? x : dy, major ? dy : x,
                (llm_gemm_t){.transpose_a = true,
                             .M = major ? self->in : self->out,
                             .N = major ? self->out : self->in,
                             .K = run->rows,
                             .alpha = 1.0f,
                             .beta = 1.0f,
                             .lda = major ? self->in : dy_stride,
                             .ldb = major ? dy_stride : self->in,
                             .ldc = self->weight_stride});
    if (!self->dbias)
        return;
    if (dy_stride == self->out)
        run->be->ops->bias_backward(run->be, self->dbias, dy, run->rows, self->out);
    else
        product(run, self->dbias, run->ones, dy,
                (llm_gemm_t){.M = 1,
                             .N = self->out,
                             .K = run->rows,
                             .alpha = 1.0f,
                             .beta = 1.0f,
                             .lda = run->rows,
                             .ldb = dy_stride,
                             .ldc = self->out});
}

/* dh, for lora_gradients() and lora_input_gradient(). */
static void lora_hidden_gradient(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                                 const float *dy, size_t dy_stride)
{
    product(run, run->dh, dy, self->b,
            (llm_gemm_t){.M = run->rows,
                         .N = self->rank,
                         .K = self->out,
                         .alpha = self->scaling,
                         .lda = dy_stride,
                         .ldb = self->rank,
                         .ldc = self->rank});
}

static void lora_gradients(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                           const float *dy, size_t dy_stride, const float *x, const float *h)
{
    product(run, self->db, dy, h,
            (llm_gemm_t){.transpose_a = true,
                         .M = self->out,
                         .N = self->rank,
                         .K = run->rows,
                         .alpha = self->scaling,
                         .beta = 1.0f,
                         .lda = dy_stride,
                         .ldb = self->rank,
                         .ldc = self->rank});
    product(run, self->da, run->dh, lora_input(run, self, x),
            (llm_gemm_t){.transpose_a = true,
                         .M = self->rank,
                         .N = self->in,
                         .K = run->rows,
                         .alpha = 1.0f,
                         .beta = 1.0f,
                         .lda = self->rank,
                         .ldb = self->in,
                         .ldc = self->a_stride});
}

/* dx += drop'(dh A). */
static void lora_input_gradient(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                                float *dx)
{
    bool dropping = drops(run, self);
    product(run, dropping ? run->dropped : dx, run->dh, self->a,
            (llm_gemm_t){.M = run->rows,
                         .N = self->in,
                         .K = self->rank,
                         .alpha = 1.0f,
                         .beta = dropping ? 0.0f : 1.0f,
                         .lda = self->rank,
                         .ldb = self->a_stride,
                         .ldc = self->in});
    if (!dropping)
        return;
    fmq_rng_name_t stream = module_stream(run, self);
    run->be->ops->dropout(run->be, dx, run->dropped, run->rows * self->in, self->dropout, &stream,
                          true);
}

static void weight_input_gradient(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                                  float *dx, bool add, const float *dy, size_t dy_stride)
{
    if (self->frozen) {
        run->be->ops->linear_backward(run->be, dx, self->in, dy, dy_stride, self->frozen, run->rows,
                                      add);
        return;
    }
    product(run, dx, dy, self->weight,
            (llm_gemm_t){.transpose_b = self->input_major,
                         .M = run->rows,
                         .N = self->in,
                         .K = self->out,
                         .alpha = 1.0f,
                         .beta = add ? 1.0f : 0.0f,
                         .lda = dy_stride,
                         .ldb = self->weight_stride,
                         .ldc = self->in});
}

void llm_linear_backward(const llm_linear_run_t *run, const llm_bound_linear_t *self, float *dx,
                         bool add, const float *dy, size_t dy_stride, const float *x,
                         const float *h)
{
    plain_gradients(run, self, dy, dy_stride, x);
    if (self->rank && (self->da || dx))
        lora_hidden_gradient(run, self, dy, dy_stride);
    if (self->da)
        lora_gradients(run, self, dy, dy_stride, x, h);
    if (!dx)
        return;
    weight_input_gradient(run, self, dx, add, dy, dy_stride);
    if (self->rank)
        lora_input_gradient(run, self, dx);
}
