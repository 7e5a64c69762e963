/*
 * lora.c - LoRA's thin products.  Where elements are dropped, the input is
 * taken in pieces that fit the instance's room, so that no dropped copy of it
 * ever exists; sums are cut at multiples of LLM_CPU_DEPTH, as gemm does itself.
 */
#include "llm/backend/cpu/cpu.h"

typedef struct {
    const llm_lora_t *how;
    fmq_rng_t stream;
    float *to;
    const float *x;
    size_t to_stride, x_stride;
    uint8_t *drawn;
    const uint8_t *mask;
    size_t mask_stride, width; /* of a piece */
    float keep;
    bool add;
} job_t;

/* A piece of drop(x): rows from .. from + M, channels first .. first + width. */
typedef struct {
    size_t from, M, first, width;
} piece_t;

static size_t mask_stride(const llm_lora_t *how)
{
    return llm_lora_mask_bytes(1, how->in);
}

static void draw_row(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        kernels->draw_mask(job->drawn + m * mask_stride(job->how),
                           (job->how->first_row + m) * job->how->in, job->how->in, job->how->p,
                           &job->stream);
}

void llm_cpu_draw_mask(llm_backend_t *be, uint8_t *mask, const llm_lora_t *how)
{
    job_t job = {.how = how, .drawn = mask};
    fmq_rng_init(&job.stream, how->stream);
    llm_cpu_run_pieces(llm_cpu(be), how->M, 4, draw_row, &job);
}

static void drop_rows(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        kernels->drop(job->to + m * job->to_stride, job->x + m * job->x_stride,
                      job->mask + m * job->mask_stride, job->width, job->keep, job->add);
}

static void run_drop(llm_backend_t *be, job_t *job, size_t rows)
{
    llm_cpu_run_pieces(llm_cpu(be), rows, 4, drop_rows, job);
}

static void drop(llm_backend_t *be, llm_act_t *out, const uint8_t *mask, const llm_act_t *x,
                 const llm_lora_t *how, bool add)
{
    job_t job = {.to = llm_cpu_floats_out(out), .to_stride = how->in, .x_stride = how->in};
    job.x = llm_cpu_floats(x);
    job.mask = mask;
    job.mask_stride = mask_stride(how);
    job.width = how->in;
    job.keep = llm_lora_keep(how);
    job.add = add;
    run_drop(be, &job, how->M);
}

/* The piece of drop(x) in the instance's room, without gaps. */
static const float *dropped(llm_backend_t *be, const llm_act_t *x, const uint8_t *mask,
                            const llm_lora_t *how, const piece_t *piece)
{
    job_t job = {.to = llm_cpu(be)->dropped, .to_stride = piece->width, .x_stride = how->in};
    job.x = llm_cpu_floats(x) + piece->from * how->in + piece->first;
    job.mask = mask + piece->from * mask_stride(how) + piece->first / 8;
    job.mask_stride = mask_stride(how);
    job.width = piece->width;
    job.keep = llm_lora_keep(how);
    run_drop(be, &job, piece->M);
    return job.to;
}

/* Moves to the next piece, channels first; false behind the last. */
static bool next_piece(piece_t *piece, const llm_lora_t *how)
{
    if (piece->M)
        piece->first += piece->width;
    if (piece->first >= how->in) {
        piece->first = 0;
        piece->from += LLM_CPU_DEPTH;
    }
    if (piece->from >= how->M)
        return false;
    piece->M = llm_cpu_min(LLM_CPU_DEPTH, how->M - piece->from);
    piece->width = llm_cpu_min(LLM_CPU_LONG_DEPTH, how->in - piece->first);
    return true;
}

/* h (+)= x A^T over channels first .. first + width. */
static void down_product(llm_backend_t *be, float *h, const float *x, const llm_lora_t *how,
                         const piece_t *piece)
{
    llm_gemm_t shape = {.transpose_b = true,
                        .M = piece->M,
                        .N = how->rank,
                        .K = piece->width,
                        .alpha = 1.0f,
                        .beta = piece->first ? 1.0f : 0.0f,
                        .lda = piece->width,
                        .ldb = how->a_stride,
                        .ldc = how->rank};
    be->ops->gemm(be, h + piece->from * how->rank, x, how->a + piece->first, &shape);
}

static void down(llm_backend_t *be, float *h, uint8_t *mask, const llm_act_t *x,
                 const llm_lora_t *how)
{
    if (how->p <= 0.0f) {
        piece_t whole = {.M = how->M, .width = how->in};
        down_product(be, h, llm_cpu_floats(x), how, &whole);
        return;
    }
    llm_cpu_draw_mask(be, mask, how);
    for (piece_t piece = {0}; next_piece(&piece, how);)
        down_product(be, h, dropped(be, x, mask, how, &piece), how, &piece);
}

static void up(llm_backend_t *be, llm_act_t *y, size_t y_stride, const float *h,
               const llm_lora_t *how)
{
    llm_gemm_t shape = {.transpose_b = true,
                        .M = how->M,
                        .N = how->out,
                        .K = how->rank,
                        .alpha = how->scaling,
                        .beta = 1.0f,
                        .lda = how->rank,
                        .ldb = how->rank,
                        .ldc = y_stride};
    be->ops->gemm(be, llm_cpu_floats_out(y), h, how->b, &shape);
}

/* dA += dh^T drop(x) of a piece. */
static void a_product(llm_backend_t *be, float *da, const float *dh, const float *x,
                      const llm_lora_t *how, const piece_t *piece)
{
    llm_gemm_t shape = {.transpose_a = true,
                        .M = how->rank,
                        .N = piece->width,
                        .K = piece->M,
                        .alpha = 1.0f,
                        .beta = 1.0f,
                        .lda = how->rank,
                        .ldb = piece->width,
                        .ldc = how->a_stride};
    be->ops->gemm(be, da + piece->first, dh + piece->from * how->rank, x, &shape);
}

static void a_gradient(llm_backend_t *be, float *da, const float *dh, const llm_act_t *x,
                       const uint8_t *mask, const llm_lora_t *how)
{
    if (how->p <= 0.0f) {
        piece_t whole = {.M = how->M, .width = how->in};
        a_product(be, da, dh, llm_cpu_floats(x), how, &whole);
        return;
    }
    for (piece_t piece = {0}; next_piece(&piece, how);)
        a_product(be, da, dh, dropped(be, x, mask, how, &piece), how, &piece);
}

static void b_gradient(llm_backend_t *be, float *db, const float *dy, size_t dy_stride,
                       const float *h, const llm_lora_t *how)
{
    llm_gemm_t shape = {.transpose_a = true,
                        .M = how->out,
                        .N = how->rank,
                        .K = how->M,
                        .alpha = how->scaling,
                        .beta = 1.0f,
                        .lda = dy_stride,
                        .ldb = how->rank,
                        .ldc = how->rank};
    be->ops->gemm(be, db, dy, h, &shape);
}

static void gradients(llm_backend_t *be, float *dh, float *da, float *db, const llm_act_t *dy,
                      size_t dy_stride, const llm_act_t *x, const float *h, const uint8_t *mask,
                      const llm_lora_t *how)
{
    llm_gemm_t shape = {.M = how->M,
                        .N = how->rank,
                        .K = how->out,
                        .alpha = how->scaling,
                        .lda = dy_stride,
                        .ldb = how->rank,
                        .ldc = how->rank};
    be->ops->gemm(be, dh, llm_cpu_floats(dy), how->b, &shape);
    if (!da)
        return;
    b_gradient(be, db, llm_cpu_floats(dy), dy_stride, h, how);
    a_gradient(be, da, dh, x, mask, how);
}

/* dx (+)= dh A over the piece's channels; stored without gaps when dropped. */
static void input_product(llm_backend_t *be, float *dx, size_t dx_stride, const float *dh,
                          const llm_lora_t *how, const piece_t *piece, bool add)
{
    llm_gemm_t shape = {.M = piece->M,
                        .N = piece->width,
                        .K = how->rank,
                        .alpha = 1.0f,
                        .beta = add ? 1.0f : 0.0f,
                        .lda = how->rank,
                        .ldb = how->a_stride,
                        .ldc = dx_stride};
    be->ops->gemm(be, dx, dh + piece->from * how->rank, how->a + piece->first, &shape);
}

static void input_gradient(llm_backend_t *be, llm_act_t *dx, const float *dh, const uint8_t *mask,
                           const llm_lora_t *how)
{
    if (how->p <= 0.0f) {
        piece_t whole = {.M = how->M, .width = how->in};
        input_product(be, llm_cpu_floats_out(dx), how->in, dh, how, &whole, true);
        return;
    }
    for (piece_t piece = {0}; next_piece(&piece, how);) {
        job_t job = {.x = llm_cpu(be)->dropped, .x_stride = piece.width, .width = piece.width};
        input_product(be, llm_cpu(be)->dropped, piece.width, dh, how, &piece, false);
        job.to = llm_cpu_floats_out(dx) + piece.from * how->in + piece.first;
        job.to_stride = how->in;
        job.mask = mask + piece.from * mask_stride(how) + piece.first / 8;
        job.mask_stride = mask_stride(how);
        job.keep = llm_lora_keep(how);
        job.add = true;
        run_drop(be, &job, piece.M);
    }
}

void llm_cpu_lora(llm_ops_t *ops)
{
    ops->lora_down = down;
    ops->lora_up = up;
    ops->lora_gradients = gradients;
    ops->lora_input_gradient = input_gradient;
    ops->drop = drop;
}
