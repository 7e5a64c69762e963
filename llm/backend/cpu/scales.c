/*
 * scales.c - what adapters need beside products: factors of columns, lengths of
 * rows, columns by index.
 *
 * One source for activations of floats and of BF16, and no kernels of an
 * instruction set: beside the products that surround them these are small.
 * An item is some rows, or some columns of all rows; sums are doubles in the
 * order of rows, so that their bytes are everywhere the same.
 */
#include "base/half.h"
#include "llm/backend/cpu/cpu.h"

#include <math.h>

#define ROWS    8  /* of an item */
#define COLUMNS 64 /* of an item */

typedef struct {
    bool half; /* activations are BF16 */
    llm_act_t *y;
    const llm_act_t *x, *z;
    size_t y_stride, x_stride, z_stride, M, N;
    const float *factors, *bias;
    float *sums;
    bool add;
    const int32_t *ids;
    const float *from;
    const llm_lengths_t *lengths;
    float *inverse;
} job_t;

static inline float get(bool half, const llm_act_t *x, size_t i)
{
    return half ? fmq_float_of_bf16(((const uint16_t *)(const void *)x)[i])
                : ((const float *)(const void *)x)[i];
}

static inline void put(bool half, llm_act_t *x, size_t i, float value)
{
    if (half)
        ((uint16_t *)(void *)x)[i] = fmq_bf16_of_float(value);
    else
        ((float *)(void *)x)[i] = value;
}

static job_t job_of(const llm_backend_t *be, size_t M, size_t N)
{
    return (job_t){.half = be->ops->act == FMQ_BF16, .M = M, .N = N};
}

static void run(llm_backend_t *be, size_t n, size_t piece, llm_cpu_piece_t item, job_t *job)
{
    llm_cpu_run_pieces(llm_cpu(be), n, piece, item, job);
}

static void gather_columns(llm_backend_t *be, float *h, const float *a, const int32_t *ids,
                           size_t T, size_t rank, size_t V)
{
    (void)be;
    for (size_t t = 0; t < T; t++)
        for (size_t r = 0; r < rank; r++)
            h[t * rank + r] = a[r * V + (size_t)ids[t]];
}

static void scatter_ranks(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    const job_t *job = argument; /* M tokens, N the vocabulary, x_stride the rank */
    (void)kernels;
    for (size_t r = first; r < first + count; r++)
        for (size_t t = 0; t < job->M; t++)
            job->sums[r * job->N + (size_t)job->ids[t]] += job->from[t * job->x_stride + r];
}

static void scatter_columns(llm_backend_t *be, float *da, const float *dh, const int32_t *ids,
                            size_t T, size_t rank, size_t V)
{
    job_t job = job_of(be, T, V);
    job.sums = da;
    job.from = dh;
    job.ids = ids;
    job.x_stride = rank;
    run(be, rank, 1, scatter_ranks, &job);
}

static double length_square(const llm_lengths_t *how, bool half, size_t o)
{
    const float *b = how->b + o * how->rank;
    double s = (double)how->scaling, square = (double)how->squares[o];
    for (size_t r = 0; r < how->rank; r++) {
        double row = 2.0 * (double)get(half, how->products, r * how->out + o);
        for (size_t q = 0; q < how->rank; q++)
            row += s * (double)how->gram[r * how->rank + q] * (double)b[q];
        square += s * (double)b[r] * row;
    }
    return square;
}

static void lengths_of(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    (void)kernels;
    for (size_t o = first; o < first + count; o++) {
        double square = length_square(job->lengths, job->half, o);
        double one_by = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
        job->inverse[o] = (float)one_by;
        job->sums[o] = (float)((double)job->lengths->magnitude[o] * one_by);
    }
}

static void lora_lengths(llm_backend_t *be, float *factors, float *inverse,
                         const llm_lengths_t *how)
{
    job_t job = job_of(be, 0, how->out);
    job.sums = factors;
    job.inverse = inverse;
    job.lengths = how;
    run(be, how->out, COLUMNS, lengths_of, &job);
}

static inline void scale_row(const job_t *job, bool half, size_t m)
{
    for (size_t n = 0; n < job->N; n++) {
        float value = get(half, job->x, m * job->x_stride + n) * job->factors[n];
        put(half, job->y, m * job->y_stride + n, job->bias ? value + job->bias[n] : value);
    }
}

static inline void add_scaled_row(const job_t *job, bool half, size_t m)
{
    for (size_t n = 0; n < job->N; n++) {
        size_t i = m * job->y_stride + n;
        float value = get(half, job->x, m * job->x_stride + n) * job->factors[n];
        put(half, job->y, i, get(half, job->y, i) + value);
    }
}

static void scale_rows(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    (void)kernels;
    for (size_t m = first; m < first + count; m++) {
        if (job->add)
            job->half ? add_scaled_row(job, true, m) : add_scaled_row(job, false, m);
        else
            job->half ? scale_row(job, true, m) : scale_row(job, false, m);
    }
}

static void scale_columns(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                          size_t x_stride, const float *factors, const float *bias, size_t M,
                          size_t N)
{
    job_t job = job_of(be, M, N);
    job.y = y;
    job.y_stride = y_stride;
    job.x = x;
    job.x_stride = x_stride;
    job.factors = factors;
    job.bias = bias;
    run(be, M, ROWS, scale_rows, &job);
}

/* sums[n] += sum over rows of x z. */
static inline void sum_columns(const job_t *job, bool half, size_t first, size_t count)
{
    double sums[COLUMNS] = {0};
    for (size_t m = 0; m < job->M; m++)
        for (size_t n = 0; n < count; n++)
            sums[n] += (double)get(half, job->x, m * job->x_stride + first + n) *
                       (double)get(half, job->z, m * job->z_stride + first + n);
    for (size_t n = 0; n < count; n++)
        job->sums[first + n] = (float)((double)job->sums[first + n] + sums[n]);
}

static void sum_some_columns(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                             size_t count)
{
    const job_t *job = argument;
    (void)kernels;
    job->half ? sum_columns(job, true, first, count) : sum_columns(job, false, first, count);
}

/* y = f x:  df = sum of dy x,  dx = f dy. */
static void scale_columns_backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride,
                                   float *dfactors, const llm_act_t *dy, size_t dy_stride,
                                   const llm_act_t *x, size_t x_stride, const float *factors,
                                   size_t M, size_t N, bool add)
{
    job_t job = job_of(be, M, N);
    job.x = dy;
    job.x_stride = dy_stride;
    job.z = x;
    job.z_stride = x_stride;
    job.sums = dfactors;
    if (dfactors)
        run(be, N, COLUMNS, sum_some_columns, &job);
    job.y = dx;
    job.y_stride = dx_stride;
    job.factors = factors;
    job.add = add;
    if (dx)
        run(be, M, ROWS, scale_rows, &job);
}

static void square_rows(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                        size_t count)
{
    const job_t *job = argument;
    (void)kernels;
    for (size_t m = first; m < first + count; m++) {
        double sum = 0;
        for (size_t n = 0; n < job->N; n++) {
            double value = (double)get(job->half, job->x, m * job->N + n);
            sum += value * value;
        }
        job->sums[m] = (float)sum;
    }
}

static void row_squares(llm_backend_t *be, float *squares, const llm_act_t *x, size_t M, size_t N)
{
    job_t job = job_of(be, M, N);
    job.x = x;
    job.sums = squares;
    run(be, M, ROWS, square_rows, &job);
}

static void add_product(llm_backend_t *be, float *y, const float *a, const float *b, size_t n)
{
    (void)be;
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)y[i] + (double)a[i] * (double)b[i]);
}

void llm_cpu_scales(llm_ops_t *ops)
{
    ops->gather_columns = gather_columns;
    ops->scatter_columns = scatter_columns;
    ops->lora_lengths = lora_lengths;
    ops->scale_columns = scale_columns;
    ops->scale_columns_backward = scale_columns_backward;
    ops->row_squares = row_squares;
    ops->add_product = add_product;
}
