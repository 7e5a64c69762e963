/*
 * dense.c - products with weights that lie in a vector: gemm over the memory
 * of activations, which are floats here, and biases.
 */
#include "llm/backend/cpu/cpu.h"

typedef struct {
    float *y;
    size_t stride, width;
    const float *bias;
} job_t;

static void bias_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        kernels->add(job->y + m * job->stride, job->bias, job->width);
}

static void forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                    size_t x_stride, const llm_dense_t *w, const float *bias, size_t M)
{
    llm_gemm_t shape = {.transpose_b = !w->input_major,
                        .M = M,
                        .N = w->out,
                        .K = w->in,
                        .alpha = 1.0f,
                        .lda = x_stride,
                        .ldb = w->stride,
                        .ldc = y_stride};
    be->ops->gemm(be, llm_cpu_floats_out(y), llm_cpu_floats(x), w->at, &shape);
    if (!bias)
        return;
    job_t job = {.y = llm_cpu_floats_out(y), .stride = y_stride, .width = w->out, .bias = bias};
    llm_cpu_run_pieces(llm_cpu(be), M, llm_cpu_rows_in_piece(w->out), bias_piece, &job);
}

static void backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                     size_t dy_stride, const llm_dense_t *w, size_t M, bool add)
{
    llm_gemm_t shape = {.transpose_b = w->input_major,
                        .M = M,
                        .N = w->in,
                        .K = w->out,
                        .alpha = 1.0f,
                        .beta = add ? 1.0f : 0.0f,
                        .lda = dy_stride,
                        .ldb = w->stride,
                        .ldc = dx_stride};
    be->ops->gemm(be, llm_cpu_floats_out(dx), llm_cpu_floats(dy), w->at, &shape);
}

static void gradients(llm_backend_t *be, float *dweight, const llm_act_t *dy, size_t dy_stride,
                      const llm_act_t *x, size_t x_stride, const llm_dense_t *w, size_t M)
{
    bool major = w->input_major;
    llm_gemm_t shape = {.transpose_a = true,
                        .M = major ? w->in : w->out,
                        .N = major ? w->out : w->in,
                        .K = M,
                        .alpha = 1.0f,
                        .beta = 1.0f,
                        .lda = major ? x_stride : dy_stride,
                        .ldb = major ? dy_stride : x_stride,
                        .ldc = w->stride};
    be->ops->gemm(be, dweight, llm_cpu_floats(major ? x : dy), llm_cpu_floats(major ? dy : x),
                  &shape);
}

void llm_cpu_dense(llm_ops_t *ops)
{
    ops->dense_forward = forward;
    ops->dense_backward = backward;
    ops->dense_gradients = gradients;
}
