/*
 * half_products.c - products over BF16 activations.  Those with frozen weights
 * multiply pairs as they lie where the machine can (pair_linear.c); the others
 * go by way of the products of floats: operands are widened into the instance's
 * room, results are narrowed from it.
 */
#include "llm/backend/cpu/half.h"

#define ROWS        512 /* of a product at a time */
#define SUMMED_ROWS 768 /* of a gradient's sum; products of floats cut it at half of that */

/* Rows of memory and their floats, without gaps. */
typedef struct {
    float *wide;
    uint16_t *halves;
    const uint16_t *from;
    size_t stride, width;
} rows_t;

static llm_act_t *as_act(float *floats)
{
    return (llm_act_t *)(void *)floats;
}

static void widen_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const rows_t *rows = argument;
    for (size_t m = first; m < first + count; m++)
        hand->half->widen(rows->wide + m * rows->width, rows->from + m * rows->stride, rows->width);
}

static void narrow_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const rows_t *rows = argument;
    for (size_t m = first; m < first + count; m++)
        hand->half->narrow(rows->halves + m * rows->stride, rows->wide + m * rows->width,
                           rows->width);
}

static void move(llm_backend_t *be, size_t M, llm_half_piece_t piece, rows_t *rows)
{
    llm_half_run_pieces(llm_cpu(be), M, llm_cpu_rows_in_piece(rows->width), 1, piece, rows);
}

static void widen_rows(llm_backend_t *be, float *to, const llm_act_t *from, size_t stride, size_t M,
                       size_t width)
{
    rows_t rows = {.wide = to, .from = llm_half_read(from), .stride = stride, .width = width};
    move(be, M, widen_piece, &rows);
}

static void narrow_rows(llm_backend_t *be, llm_act_t *to, size_t stride, float *from, size_t M,
                        size_t width)
{
    rows_t rows = {.wide = from, .halves = llm_half_write(to), .stride = stride, .width = width};
    move(be, M, narrow_piece, &rows);
}

/* A product of M rows, ROWS at a time: to[M][to_width] (+)= from[M][from_width]
 * times a weight. */
typedef struct {
    llm_act_t *to;
    size_t to_stride, to_width;
    const llm_act_t *from;
    size_t from_stride, from_width;
    size_t M;
    bool add;
} product_t;

typedef void (*rows_product_t)(llm_backend_t *be, float *to, const float *from, size_t M,
                               const void *how);

static void by_rows(llm_backend_t *be, const product_t *p, rows_product_t run, const void *how)
{
    size_t rows = llm_cpu_min(ROWS, p->M);
    float *from = llm_half_wide(llm_cpu(be), rows * (p->from_width + p->to_width));
    if (!from)
        return;
    float *to = from + rows * p->from_width;
    for (size_t m = 0; m < p->M; m += rows) {
        size_t M = llm_cpu_min(rows, p->M - m);
        llm_act_t *out = llm_act_at(be, p->to, m * p->to_stride);
        widen_rows(be, from, llm_act_const_at(be, p->from, m * p->from_stride), p->from_stride, M,
                   p->from_width);
        if (p->add)
            widen_rows(be, to, out, p->to_stride, M, p->to_width);
        run(be, to, from, M, how);
        narrow_rows(be, out, p->to_stride, to, M, p->to_width);
    }
}

typedef struct {
    const llm_matrix_t *w;
    const llm_dense_t *dense;
    const float *bias;
    size_t first, count, in, out;
    bool add;
} linear_t;

static void run_forward(llm_backend_t *be, float *y, const float *x, size_t M, const void *argument)
{
    const linear_t *how = argument;
    const llm_ops_t *wide = &llm_cpu(be)->wide;
    const llm_act_t *from = (const llm_act_t *)(const void *)x;
    if (how->dense)
        wide->dense_forward(be, as_act(y), how->out, from, how->in, how->dense, how->bias, M);
    else if (how->bias)
        wide->linear_forward(be, as_act(y), how->out, from, how->in, how->w, how->bias, M);
    else
        wide->linear_forward_rows(be, as_act(y), how->count, from, how->in, how->w, how->first,
                                  how->count, M);
}

static void run_backward(llm_backend_t *be, float *dx, const float *dy, size_t M,
                         const void *argument)
{
    const linear_t *how = argument;
    const llm_ops_t *wide = &llm_cpu(be)->wide;
    const llm_act_t *from = (const llm_act_t *)(const void *)dy;
    if (how->dense)
        wide->dense_backward(be, as_act(dx), how->in, from, how->out, how->dense, M, how->add);
    else
        wide->linear_backward_rows(be, as_act(dx), how->in, from, how->count, how->w, how->first,
                                   how->count, M, how->add);
}

/* Whether the machine multiplied pairs of BF16 as they lie. */
static bool by_pairs(llm_backend_t *be, const linear_t *how, const product_t *p, bool forward)
{
    llm_cpu_t *cpu = llm_cpu(be);
    if (!cpu->pairs)
        return false;
    double start = llm_instance_now();
    llm_cpu_product_t product = {
        .to = {.write = p->to, .stride = p->to_stride, .narrow = true},
        .from = {.read = p->from, .stride = p->from_stride, .narrow = true},
        .first = how->first,
        .count = how->count,
        .M = p->M,
        .bias = how->bias,
        .add = p->add};
    if (forward)
        llm_cpu_pairs_forward(cpu, how->w, &product);
    else
        llm_cpu_pairs_backward(cpu, how->w, &product);
    cpu->instance.gemm_seconds += llm_instance_now() - start;
    return true;
}

static void linear_forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                           size_t x_stride, const llm_matrix_t *w, const float *bias, size_t M)
{
    linear_t how = {.w = w, .bias = bias, .count = w->out, .in = w->in, .out = w->out};
    product_t product = {y, y_stride, w->out, x, x_stride, w->in, M, false};
    if (w->out && !by_pairs(be, &how, &product, true))
        by_rows(be, &product, run_forward, &how);
}

static void linear_forward_rows(llm_backend_t *be, llm_act_t *y, size_t y_stride,
                                const llm_act_t *x, size_t x_stride, const llm_matrix_t *w,
                                size_t first, size_t count, size_t M)
{
    linear_t how = {.w = w, .first = first, .count = count, .in = w->in, .out = w->out};
    product_t product = {y, y_stride, count, x, x_stride, w->in, M, false};
    if (count && !by_pairs(be, &how, &product, true))
        by_rows(be, &product, run_forward, &how);
}

static void linear_backward_rows(llm_backend_t *be, llm_act_t *dx, size_t dx_stride,
                                 const llm_act_t *dy, size_t dy_stride, const llm_matrix_t *w,
                                 size_t first, size_t count, size_t M, bool add)
{
    linear_t how = {.w = w, .first = first, .count = count, .in = w->in, .out = w->out, .add = add};
    product_t product = {dx, dx_stride, w->in, dy, dy_stride, count, M, add};
    if (!count || !by_pairs(be, &how, &product, false))
        by_rows(be, &product, run_backward, &how);
}

static void linear_backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                            size_t dy_stride, const llm_matrix_t *w, size_t M, bool add)
{
    linear_backward_rows(be, dx, dx_stride, dy, dy_stride, w, 0, w->out, M, add);
}

static void dense_forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                          size_t x_stride, const llm_dense_t *w, const float *bias, size_t M)
{
    linear_t how = {.dense = w, .bias = bias, .in = w->in, .out = w->out};
    product_t product = {y, y_stride, w->out, x, x_stride, w->in, M, false};
    by_rows(be, &product, run_forward, &how);
}

static void dense_backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                           size_t dy_stride, const llm_dense_t *w, size_t M, bool add)
{
    linear_t how = {.dense = w, .in = w->in, .out = w->out, .add = add};
    product_t product = {dx, dx_stride, w->in, dy, dy_stride, w->out, M, add};
    by_rows(be, &product, run_backward, &how);
}

static void dense_gradients(llm_backend_t *be, float *dweight, const llm_act_t *dy,
                            size_t dy_stride, const llm_act_t *x, size_t x_stride,
                            const llm_dense_t *w, size_t M)
{
    size_t rows = llm_cpu_min(SUMMED_ROWS, M);
    float *wide_dy = llm_half_wide(llm_cpu(be), rows * (w->out + w->in));
    if (!wide_dy)
        return;
    float *wide_x = wide_dy + rows * w->out;
    for (size_t m = 0; m < M; m += rows) {
        size_t count = llm_cpu_min(rows, M - m);
        widen_rows(be, wide_dy, llm_act_const_at(be, dy, m * dy_stride), dy_stride, count, w->out);
        widen_rows(be, wide_x, llm_act_const_at(be, x, m * x_stride), x_stride, count, w->in);
        llm_cpu(be)->wide.dense_gradients(be, dweight, as_act(wide_dy), w->out, as_act(wide_x),
                                          w->in, w, count);
    }
}

static void matrix_gather(llm_backend_t *be, llm_act_t *out, const llm_matrix_t *w,
                          const int32_t *ids, size_t T)
{
    size_t rows = llm_cpu_min(ROWS, T);
    float *wide = llm_half_wide(llm_cpu(be), rows * w->in);
    for (size_t t = 0; wide && t < T; t += rows) {
        size_t count = llm_cpu_min(rows, T - t);
        llm_cpu(be)->wide.matrix_gather(be, as_act(wide), w, ids + t, count);
        narrow_rows(be, llm_act_at(be, out, t * w->in), w->in, wide, count, w->in);
    }
}

void llm_cpu_half_products(llm_ops_t *ops)
{
    ops->linear_forward = linear_forward;
    ops->linear_forward_rows = linear_forward_rows;
    ops->linear_backward = linear_backward;
    ops->linear_backward_rows = linear_backward_rows;
    ops->matrix_gather = matrix_gather;
    ops->dense_forward = dense_forward;
    ops->dense_backward = dense_backward;
    ops->dense_gradients = dense_gradients;
}
