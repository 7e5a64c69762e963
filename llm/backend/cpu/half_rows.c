/*
 * half_rows.c - ops over rows of BF16: norms, embeddings, moved rows, rotary
 * positions, sums over rows.
 *
 * Rows are shared out among the threads; sums over rows are shared out by
 * columns, SUMMED_ROWS of them widened at a time and added up in order.
 */
#include "llm/backend/cpu/half.h"

#include <string.h>

#define COLUMNS     64 /* summed by an item */
#define SUMMED_ROWS 64

typedef struct {
    uint16_t *out;
    float *wide_out, *stats_out;
    double *sums;
    const uint16_t *x, *dout;
    const float *stats, *weight, *bias;
    const int32_t *ids;
    const uint8_t *mask;
    size_t T, C, stats_row, stride, to_stride;
    const llm_rope_t *rope;
    float value;
    bool flag;
} job_t;

/* Either norm, here and below: LayerNorm where a row of stats has two values. */
static void norm_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    float *row = hand->room;
    size_t C = job->C;
    for (size_t t = first; t < first + count; t++) {
        float *stats = job->stats_out + t * job->stats_row;
        hand->half->widen(row, job->x + t * C, C);
        if (job->stats_row == 2)
            hand->kernels->layernorm(row, stats, row, job->weight, job->bias, C, job->value);
        else
            hand->kernels->rmsnorm(row, stats, row, job->weight, C, job->value);
        hand->half->narrow(job->out + t * C, row, C);
    }
}

static void norm_forward(llm_backend_t *be, job_t *job, llm_act_t *out, const llm_act_t *x)
{
    job->out = llm_half_write(out);
    job->x = llm_half_read(x);
    llm_half_run_pieces(llm_cpu(be), job->T, llm_cpu_rows_in_piece(job->C), job->C, norm_piece,
                        job);
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

static void norm_dx_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    size_t C = job->C;
    float *dx = hand->room, *dout = dx + C, *x = dout + C;
    for (size_t t = first; t < first + count; t++) {
        hand->half->widen(dout, job->dout + t * C, C);
        hand->half->widen(x, job->x + t * C, C);
        if (job->flag)
            hand->half->widen(dx, job->out + t * C, C);
        else
            memset(dx, 0, C * sizeof *dx);
        if (job->stats_row == 2)
            hand->kernels->layernorm_dx(dx, dout, x, job->stats + 2 * t, job->weight, C);
        else
            hand->kernels->rmsnorm_dx(dx, dout, x, job->stats + t, job->weight, C);
        hand->half->narrow(job->out + t * C, dx, C);
    }
}

/* rows x columns of memory, stride apart, as floats COLUMNS apart. */
static const float *block_of(const llm_half_hand_t *hand, float *room, const uint16_t *from,
                             size_t stride, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++)
        hand->half->widen(room + r * COLUMNS, from + r * stride, columns);
    return room;
}

static void dweight_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t t = 0; t < job->T; t += SUMMED_ROWS) {
        size_t rows = llm_cpu_min(SUMMED_ROWS, job->T - t), at = t * job->C + first;
        const float *dout = block_of(hand, hand->room, job->dout + at, job->C, rows, count);
        const float *x =
            block_of(hand, hand->room + SUMMED_ROWS * COLUMNS, job->x + at, job->C, rows, count);
        hand->kernels->norm_dweight(job->wide_out + first, dout, x, job->stats + t * job->stats_row,
                                    job->stats_row, rows, COLUMNS, count);
    }
}

static void column_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t t = 0; t < job->T; t += SUMMED_ROWS) {
        size_t rows = llm_cpu_min(SUMMED_ROWS, job->T - t);
        const float *dy = block_of(hand, hand->room, job->dout + t * job->stride + first,
                                   job->stride, rows, count);
        hand->kernels->column_sum(job->wide_out + first, dy, rows, COLUMNS, count);
    }
}

static void bias_backward(llm_backend_t *be, float *dbias, const llm_act_t *dy, size_t dy_stride,
                          size_t M, size_t N)
{
    job_t job = {.wide_out = dbias, .dout = llm_half_read(dy), .T = M, .stride = dy_stride};
    llm_half_run_pieces(llm_cpu(be), N, COLUMNS, SUMMED_ROWS * COLUMNS, column_piece, &job);
}

static void norm_backward(llm_backend_t *be, job_t *job, float *dweight)
{
    llm_cpu_t *cpu = llm_cpu(be);
    llm_half_run_pieces(cpu, job->T, llm_cpu_rows_in_piece(job->C), 3 * job->C, norm_dx_piece, job);
    job->wide_out = dweight;
    if (dweight)
        llm_half_run_pieces(cpu, job->C, COLUMNS, 2 * SUMMED_ROWS * COLUMNS, dweight_piece, job);
}

static void layernorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight, float *dbias,
                               const llm_act_t *dout, const llm_act_t *x, const float *stats,
                               const float *weight, size_t T, size_t C, bool add)
{
    job_t job = {.stats = stats, .weight = weight, .T = T, .C = C, .stats_row = 2, .flag = add};
    job.out = llm_half_write(dx);
    job.dout = llm_half_read(dout);
    job.x = llm_half_read(x);
    norm_backward(be, &job, dweight);
    if (dbias)
        bias_backward(be, dbias, dout, C, T, C);
}

static void rmsnorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight,
                             const llm_act_t *dout, const llm_act_t *x, const float *stats,
                             const float *weight, size_t T, size_t C, bool add)
{
    job_t job = {.stats = stats, .weight = weight, .T = T, .C = C, .stats_row = 1, .flag = add};
    job.out = llm_half_write(dx);
    job.dout = llm_half_read(dout);
    job.x = llm_half_read(x);
    norm_backward(be, &job, dweight);
}

static void embed_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t t = first; t < first + count; t++)
        hand->half->narrow(job->out + t * job->C, job->weight + (size_t)job->ids[t] * job->C,
                           job->C);
}

static void embed_forward(llm_backend_t *be, llm_act_t *out, const float *table, const int32_t *ids,
                          size_t T, size_t C)
{
    job_t job = {.out = llm_half_write(out), .weight = table, .ids = ids, .C = C};
    llm_half_run_pieces(llm_cpu(be), T, llm_cpu_rows_in_piece(C), 1, embed_piece, &job);
}

/* Ids may repeat, so tokens are taken in order and columns are shared out. */
static void embed_columns(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t t = 0; t < job->T; t++) {
        hand->half->widen(hand->room, job->dout + t * job->C + first, count);
        hand->kernels->add(job->wide_out + (size_t)job->ids[t] * job->C + first, hand->room, count);
    }
}

static void embed_backward(llm_backend_t *be, float *dtable, const llm_act_t *dout,
                           const int32_t *ids, size_t T, size_t C)
{
    job_t job = {.wide_out = dtable, .dout = llm_half_read(dout), .ids = ids, .T = T, .C = C};
    llm_half_run_pieces(llm_cpu(be), C, COLUMNS, COLUMNS, embed_columns, &job);
}

static void copy_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    (void)hand;
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        memcpy(job->out + m * job->to_stride,
               job->x + (job->ids ? (size_t)job->ids[m] : m) * job->stride,
               job->C * sizeof *job->x);
}

static void gather_rows(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, const int32_t *rows,
                        size_t n, size_t C)
{
    job_t job = {.out = llm_half_write(out), .x = llm_half_read(x), .ids = rows, .C = C};
    job.stride = job.to_stride = C;
    llm_half_run_pieces(llm_cpu(be), n, llm_cpu_rows_in_piece(C), 1, copy_piece, &job);
}

static void copy_rows(llm_backend_t *be, llm_act_t *to, size_t to_stride, const llm_act_t *from,
                      size_t from_stride, size_t M, size_t width)
{
    job_t job = {.out = llm_half_write(to), .x = llm_half_read(from), .C = width};
    job.to_stride = to_stride;
    job.stride = from_stride;
    llm_half_run_pieces(llm_cpu(be), M, llm_cpu_rows_in_piece(width), 1, copy_piece, &job);
}

static void scatter_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    size_t C = job->C;
    for (size_t t = first; t < first + count; t++) {
        uint16_t *row = job->out + (size_t)job->ids[t] * C;
        hand->half->widen(hand->room, row, C);
        hand->half->widen(hand->room + C, job->dout + t * C, C);
        hand->kernels->add(hand->room, hand->room + C, C);
        hand->half->narrow(row, hand->room, C);
    }
}

static void scatter_rows(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                         const int32_t *rows, size_t n, size_t C)
{
    job_t job = {.out = llm_half_write(dx), .dout = llm_half_read(dout), .ids = rows, .C = C};
    llm_half_run_pieces(llm_cpu(be), n, llm_cpu_rows_in_piece(C), 2 * C, scatter_piece, &job);
}

static void rope_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    const llm_rope_t *how = job->rope;
    size_t width = how->heads * how->D;
    for (size_t t = first; t < first + count; t++) {
        uint16_t *row = job->out + t * how->stride;
        hand->half->widen(hand->room, row, width);
        for (size_t h = 0; h < how->heads; h++)
            hand->kernels->rope(hand->room + h * how->D,
                                job->weight + (size_t)job->ids[t] * how->rotary, how, job->flag);
        hand->half->narrow(row, hand->room, width);
    }
}

static void rope(llm_backend_t *be, llm_act_t *x, const int32_t *positions, const float *table,
                 const llm_rope_t *how, bool inverse)
{
    size_t width = how->heads * how->D;
    job_t job = {.ids = positions, .weight = table, .rope = how, .flag = inverse};
    job.out = llm_half_write(x);
    llm_half_run_pieces(llm_cpu(be), how->T, llm_cpu_rows_in_piece(width), width, rope_piece, &job);
}

static void drop_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    float *x = hand->room, *out = x + job->C;
    for (size_t t = first; t < first + count; t++) {
        hand->half->widen(x, job->x + t * job->C, job->C);
        if (job->flag)
            hand->half->widen(out, job->out + t * job->C, job->C);
        hand->kernels->drop(out, x, job->mask + t * job->stride, job->C, job->value, job->flag);
        hand->half->narrow(job->out + t * job->C, out, job->C);
    }
}

static void drop(llm_backend_t *be, llm_act_t *out, const uint8_t *mask, const llm_act_t *x,
                 const llm_lora_t *how, bool add)
{
    job_t job = {.out = llm_half_write(out), .x = llm_half_read(x), .mask = mask, .flag = add};
    job.C = how->in;
    job.stride = llm_lora_mask_bytes(1, how->in);
    job.value = llm_lora_keep(how);
    llm_half_run_pieces(llm_cpu(be), how->M, llm_cpu_rows_in_piece(how->in), 2 * how->in,
                        drop_piece, &job);
}

static void squares_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = 0; m < job->T; m++) {
        hand->half->widen(hand->room, job->x + m * job->C + first, count);
        for (size_t n = 0; n < count; n++)
            job->sums[first + n] += (double)hand->room[n] * (double)hand->room[n];
    }
}

static void column_sum_squares(llm_backend_t *be, double *sums, const llm_act_t *x, size_t M,
                               size_t N)
{
    job_t job = {.sums = sums, .x = llm_half_read(x), .T = M, .C = N};
    llm_half_run_pieces(llm_cpu(be), N, COLUMNS, COLUMNS, squares_piece, &job);
}

void llm_cpu_half_rows(llm_ops_t *ops)
{
    ops->layernorm_forward = layernorm_forward;
    ops->layernorm_backward = layernorm_backward;
    ops->rmsnorm_forward = rmsnorm_forward;
    ops->rmsnorm_backward = rmsnorm_backward;
    ops->embed_forward = embed_forward;
    ops->embed_backward = embed_backward;
    ops->gather_rows = gather_rows;
    ops->copy_rows = copy_rows;
    ops->scatter_rows = scatter_rows;
    ops->bias_backward = bias_backward;
    ops->rope = rope;
    ops->drop = drop;
    ops->column_sum_squares = column_sum_squares;
}
