/*
 * linear.c - products with frozen weights.  A few rows, as decoding has them,
 * are a matter of reading the weight once: few.cu does that, from codes as they
 * are; all else is multiply.c's.
 */
#include "llm/backend/cuda/matrix.h"
#include "llm/backend/cuda/multiply.h"

/* y[M][count] and x[M][in], or dx[M][in] and dy[M][count]. */
typedef struct {
    const llm_matrix_t *w;
    size_t first, count; /* outputs that take part */
    size_t M;
    const void *from;
    size_t from_stride;
    void *to;
    size_t to_stride;
} job_t;

/* Outputs of w as few.cu reads them. */
static llm_cuda_few_t few_of(const job_t *job)
{
    const llm_matrix_t *w = job->w;
    llm_cuda_few_t few = {.in = w->in, .out = job->count, .input_major = w->input_major};
    few.stride = w->stride;
    if (w->elements) {
        size_t skip = w->input_major ? job->first : job->first * w->stride;
        few.elements = (const uint16_t *)w->elements + skip;
        return few;
    }
    few.codes = w->codes;
    few.codes.codes += job->first * llm_cuda_code_bytes(&w->codes);
    few.codes.scales += job->first * llm_cuda_code_groups(&w->codes);
    return few;
}

static void forward_job(llm_cuda_t *self, const job_t *job, const float *bias)
{
    const llm_matrix_t *w = job->w;
    const llm_cuda_few_t few = few_of(job);
    llm_cuda_weight_t weight;
    if (!job->M || !job->count)
        return;
    if (self->queue.bf16 && llm_cuda_few_takes(&few, job->M)) {
        llm_cuda_few_forward(&self->queue, job->to, job->to_stride, job->from, job->from_stride,
                             &few, bias, job->M);
        return;
    }
    if (llm_cuda_matrix_elements(self, w, job->first, job->count, &weight) < 0)
        return;
    const llm_cuda_factors_t factors = {job->to, job->from, weight.at, bias};
    const llm_cuda_product_t what = {.M = job->M,
                                     .N = job->count,
                                     .K = w->in,
                                     .transpose_b = !weight.input_major,
                                     .lda = job->from_stride,
                                     .ldb = weight.stride,
                                     .ldc = job->to_stride,
                                     .bf16 = self->queue.bf16,
                                     .bf16_c = self->queue.bf16,
                                     .alpha = 1.0f};
    llm_cuda_multiply(self, &factors, &what);
}

static void backward_job(llm_cuda_t *self, const job_t *job, bool add)
{
    const llm_matrix_t *w = job->w;
    llm_cuda_weight_t weight;
    if (!job->M || llm_cuda_matrix_elements(self, w, job->first, job->count, &weight) < 0)
        return;
    const llm_cuda_factors_t factors = {job->to, job->from, weight.at, NULL};
    const llm_cuda_product_t what = {.M = job->M,
                                     .N = w->in,
                                     .K = job->count,
                                     .transpose_b = weight.input_major,
                                     .lda = job->from_stride,
                                     .ldb = weight.stride,
                                     .ldc = job->to_stride,
                                     .bf16 = self->queue.bf16,
                                     .bf16_c = self->queue.bf16,
                                     .alpha = 1.0f,
                                     .add = add};
    llm_cuda_multiply(self, &factors, &what);
}

static void forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                    size_t x_stride, const llm_matrix_t *w, const float *bias, size_t M)
{
    const job_t job = {w, 0, w->out, M, x, x_stride, y, y_stride};
    forward_job(llm_cuda_enter(be), &job, bias);
}

static void forward_rows(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                         size_t x_stride, const llm_matrix_t *w, size_t first, size_t count,
                         size_t M)
{
    const job_t job = {w, first, count, M, x, x_stride, y, y_stride};
    forward_job(llm_cuda_enter(be), &job, NULL);
}

static void backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                     size_t dy_stride, const llm_matrix_t *w, size_t M, bool add)
{
    const job_t job = {w, 0, w->out, M, dy, dy_stride, dx, dx_stride};
    backward_job(llm_cuda_enter(be), &job, add);
}

static void backward_rows(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                          size_t dy_stride, const llm_matrix_t *w, size_t first, size_t count,
                          size_t M, bool add)
{
    const job_t job = {w, first, count, M, dy, dy_stride, dx, dx_stride};
    backward_job(llm_cuda_enter(be), &job, add);
}

void llm_cuda_linear_ops(llm_ops_t *ops)
{
    ops->linear_forward = forward;
    ops->linear_forward_rows = forward_rows;
    ops->linear_backward = backward;
    ops->linear_backward_rows = backward_rows;
}
