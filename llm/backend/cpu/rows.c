/*
 * rows.c - ops over rows: norms, embeddings, biases, rotary positions, losses.
 *
 * Rows are shared out among the threads; sums over rows are shared out by
 * columns, each added up in the order of the rows.
 */
#include "llm/backend/cpu/cpu.h"

#include <string.h>

#define COLUMNS 64 /* summed by an item */

typedef struct {
    float *out, *stats_out;
    const float *x, *dout, *stats, *weight, *bias;
    const int32_t *ids;
    size_t T, C, stats_row;
    float value;
    size_t stride, to_stride;
    const llm_rope_t *rope;
    bool flag;
    int32_t *best;
    double *sums;
    const llm_cross_entropy_t *how;
} job_t;

/* Either norm, here and below: LayerNorm where a row of stats has two values. */
static void norm_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t t = first; t < first + count; t++) {
        float *out = job->out + t * job->C, *stats = job->stats_out + t * job->stats_row;
        const float *x = job->x + t * job->C;
        if (job->stats_row == 2)
            kernels->layernorm(out, stats, x, job->weight, job->bias, job->C, job->value);
        else
            kernels->rmsnorm(out, stats, x, job->weight, job->C, job->value);
    }
}

static void norm_forward(llm_backend_t *be, job_t *job, llm_act_t *out, const llm_act_t *x)
{
    job->out = llm_cpu_floats_out(out);
    job->x = llm_cpu_floats(x);
    llm_cpu_run_pieces(llm_cpu(be), job->T, llm_cpu_rows_in_piece(job->C), norm_piece, job);
}

static void layernorm_forward(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                              const float *weight, const float *bias, size_t T, size_t C, float eps)
{
    job_t job = {.stats_out = stats, .weight = weight, .bias = bias, .T = T, .C = C};
    job.stats_row = 2;
    job.value = eps;
    norm_forward(be, &job, out, x);
}

static void rmsnorm_forward(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                            const float *weight, size_t T, size_t C, float eps)
{
    job_t job = {.stats_out = stats, .weight = weight, .T = T, .C = C, .stats_row = 1};
    job.value = eps;
    norm_forward(be, &job, out, x);
}

/* Kernels add to dx; where there is nothing to add to, the row begins as zero. */
static void begin_row(const job_t *job, size_t t)
{
    if (!job->flag)
        memset(job->out + t * job->C, 0, job->C * sizeof(float));
}

static void norm_dx_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    const job_t *job = argument;
    for (size_t t = first; t < first + count; t++) {
        float *dx = job->out + t * job->C;
        const float *dout = job->dout + t * job->C, *x = job->x + t * job->C;
        const float *stats = job->stats + t * job->stats_row;
        begin_row(job, t);
        if (job->stats_row == 2)
            kernels->layernorm_dx(dx, dout, x, stats, job->weight, job->C);
        else
            kernels->rmsnorm_dx(dx, dout, x, stats, job->weight, job->C);
    }
}

static void dweight_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    const job_t *job = argument;
    kernels->norm_dweight(job->out + first, job->dout + first, job->x + first, job->stats,
                          job->stats_row, job->T, job->C, count);
}

static void column_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                         size_t count)
{
    const job_t *job = argument;
    kernels->column_sum(job->out + first, job->dout + first, job->T, job->C, count);
}

static void bias_backward(llm_backend_t *be, float *dbias, const llm_act_t *dy, size_t dy_stride,
                          size_t M, size_t N)
{
    job_t job = {.out = dbias, .dout = llm_cpu_floats(dy), .T = M, .C = dy_stride};
    llm_cpu_run_pieces(llm_cpu(be), N, COLUMNS, column_piece, &job);
}

static void norm_backward(llm_backend_t *be, job_t *job, llm_act_t *dx, float *dweight)
{
    llm_cpu_t *cpu = llm_cpu(be);
    job->out = llm_cpu_floats_out(dx);
    llm_cpu_run_pieces(cpu, job->T, llm_cpu_rows_in_piece(job->C), norm_dx_piece, job);
    job->out = dweight;
    if (dweight)
        llm_cpu_run_pieces(cpu, job->C, COLUMNS, dweight_piece, job);
}

static void layernorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight, float *dbias,
                               const llm_act_t *dout, const llm_act_t *x, const float *stats,
                               const float *weight, size_t T, size_t C, bool add)
{
    job_t job = {.stats = stats, .weight = weight, .T = T, .C = C, .stats_row = 2, .flag = add};
    job.dout = llm_cpu_floats(dout);
    job.x = llm_cpu_floats(x);
    norm_backward(be, &job, dx, dweight);
    if (dbias)
        bias_backward(be, dbias, dout, C, T, C);
}

static void rmsnorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight,
                             const llm_act_t *dout, const llm_act_t *x, const float *stats,
                             const float *weight, size_t T, size_t C, bool add)
{
    job_t job = {.stats = stats, .weight = weight, .T = T, .C = C, .stats_row = 1, .flag = add};
    job.dout = llm_cpu_floats(dout);
    job.x = llm_cpu_floats(x);
    norm_backward(be, &job, dx, dweight);
}

static void copy_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    (void)kernels;
    const job_t *job = argument;
    for (size_t t = first; t < first + count; t++)
        memcpy(job->out + t * job->C, job->x + (size_t)job->ids[t] * job->C,
               job->C * sizeof(float));
}

static void embed_forward(llm_backend_t *be, llm_act_t *out, const float *table, const int32_t *ids,
                          size_t T, size_t C)
{
    job_t job = {.out = llm_cpu_floats_out(out), .x = table, .ids = ids, .C = C};
    llm_cpu_run_pieces(llm_cpu(be), T, llm_cpu_rows_in_piece(C), copy_piece, &job);
}

static void gather_rows(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, const int32_t *rows,
                        size_t n, size_t C)
{
    embed_forward(be, out, llm_cpu_floats(x), rows, n, C);
}

static void copy_rows_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                            size_t count)
{
    (void)kernels;
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        memcpy(job->out + m * job->to_stride, job->x + m * job->stride, job->C * sizeof(float));
}

static void copy_rows(llm_backend_t *be, llm_act_t *to, size_t to_stride, const llm_act_t *from,
                      size_t from_stride, size_t M, size_t width)
{
    job_t job = {.out = llm_cpu_floats_out(to), .x = llm_cpu_floats(from), .C = width};
    job.to_stride = to_stride;
    job.stride = from_stride;
    llm_cpu_run_pieces(llm_cpu(be), M, llm_cpu_rows_in_piece(width), copy_rows_piece, &job);
}

/* Ids may repeat, so tokens are taken in order and columns are shared out. */
static void embed_columns(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    const job_t *job = argument;
    for (size_t t = 0; t < job->T; t++)
        kernels->add(job->out + (size_t)job->ids[t] * job->C + first,
                     job->dout + t * job->C + first, count);
}

static void embed_backward(llm_backend_t *be, float *dtable, const llm_act_t *dout,
                           const int32_t *ids, size_t T, size_t C)
{
    job_t job = {.out = dtable, .dout = llm_cpu_floats(dout), .ids = ids, .T = T, .C = C};
    llm_cpu_run_pieces(llm_cpu(be), C, COLUMNS, embed_columns, &job);
}

static void scatter_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    const job_t *job = argument;
    for (size_t t = first; t < first + count; t++)
        kernels->add(job->out + (size_t)job->ids[t] * job->C, job->dout + t * job->C, job->C);
}

static void scatter_rows(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                         const int32_t *rows, size_t n, size_t C)
{
    job_t job = {.out = llm_cpu_floats_out(dx), .dout = llm_cpu_floats(dout), .ids = rows, .C = C};
    llm_cpu_run_pieces(llm_cpu(be), n, llm_cpu_rows_in_piece(C), scatter_piece, &job);
}

static void rope_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t t = first; t < first + count; t++)
        for (size_t h = 0; h < job->rope->heads; h++)
            kernels->rope(job->out + t * job->rope->stride + h * job->rope->D,
                          job->x + (size_t)job->ids[t] * job->rope->rotary, job->rope, job->flag);
}

static void rope(llm_backend_t *be, llm_act_t *x, const int32_t *positions, const float *table,
                 const llm_rope_t *how, bool inverse)
{
    job_t job = {.ids = positions, .x = table, .rope = how, .flag = inverse};
    job.out = llm_cpu_floats_out(x);
    llm_cpu_run_pieces(llm_cpu(be), how->T, llm_cpu_rows_in_piece(how->heads * how->D), rope_piece,
                       &job);
}

static void loss_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        job->stats_out[m] =
            kernels->cross_entropy(job->out + m * job->C, (size_t)job->ids[m], job->C, job->how);
}

static void cross_entropy(llm_backend_t *be, float *loss, llm_act_t *logits, const int32_t *targets,
                          size_t M, size_t V, const llm_cross_entropy_t *how)
{
    job_t job = {.stats_out = loss, .ids = targets, .C = V, .how = how};
    job.out = llm_cpu_floats_out(logits);
    llm_cpu_run_pieces(llm_cpu(be), M, 1, loss_piece, &job);
}

static void kl_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        job->stats_out[m] =
            kernels->kl_divergence(job->out + m * job->C, job->x + m * job->C, job->C, job->value);
}

static void kl_divergence(llm_backend_t *be, float *loss, llm_act_t *client, const llm_act_t *full,
                          size_t M, size_t V, float scale)
{
    job_t job = {.stats_out = loss, .C = V, .value = scale};
    job.out = llm_cpu_floats_out(client);
    job.x = llm_cpu_floats(full);
    llm_cpu_run_pieces(llm_cpu(be), M, 1, kl_piece, &job);
}

static void cosine_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                         size_t count)
{
    const job_t *job = argument;
    for (size_t t = first; t < first + count; t++)
        job->stats_out[t] =
            kernels->cosine(job->out ? job->out + t * job->C : NULL, job->dout + t * job->C,
                            job->x + t * job->C, job->C, job->value);
}

/* The target lies where other rows have dout. */
static void cosine(llm_backend_t *be, float *loss, llm_act_t *dx, const llm_act_t *target,
                   const llm_act_t *x, size_t T, size_t C, float scale)
{
    job_t job = {.stats_out = loss, .C = C, .value = scale};
    job.out = llm_cpu_floats_out(dx);
    job.dout = llm_cpu_floats(target);
    job.x = llm_cpu_floats(x);
    llm_cpu_run_pieces(llm_cpu(be), T, llm_cpu_rows_in_piece(C), cosine_piece, &job);
}

static void argmax_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                         size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        job->best[m] = (int32_t)kernels->argmax(job->x + m * job->C, job->C);
}

static void argmax(llm_backend_t *be, int32_t *best, const llm_act_t *logits, size_t M, size_t V)
{
    job_t job = {.best = best, .x = llm_cpu_floats(logits), .C = V};
    llm_cpu_run_pieces(llm_cpu(be), M, 1, argmax_piece, &job);
}

static void squares_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    (void)kernels;
    const job_t *job = argument;
    for (size_t m = 0; m < job->T; m++)
        for (size_t n = first; n < first + count; n++)
            job->sums[n] += (double)job->x[m * job->C + n] * (double)job->x[m * job->C + n];
}

static void column_sum_squares(llm_backend_t *be, double *sums, const llm_act_t *x, size_t M,
                               size_t N)
{
    job_t job = {.sums = sums, .x = llm_cpu_floats(x), .T = M, .C = N};
    llm_cpu_run_pieces(llm_cpu(be), N, COLUMNS, squares_piece, &job);
}

void llm_cpu_rows(llm_ops_t *ops)
{
    ops->layernorm_forward = layernorm_forward;
    ops->layernorm_backward = layernorm_backward;
    ops->rmsnorm_forward = rmsnorm_forward;
    ops->rmsnorm_backward = rmsnorm_backward;
    ops->embed_forward = embed_forward;
    ops->embed_backward = embed_backward;
    ops->gather_rows = gather_rows;
    ops->copy_rows = copy_rows;
    ops->column_sum_squares = column_sum_squares;
    ops->scatter_rows = scatter_rows;
    ops->bias_backward = bias_backward;
    ops->rope = rope;
    ops->cross_entropy = cross_entropy;
    ops->kl_divergence = kl_divergence;
    ops->cosine = cosine;
    ops->argmax = argmax;
}
