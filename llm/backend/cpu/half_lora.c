/*
 * half_lora.c - LoRA's products over BF16 activations.  Nothing is widened in
 * memory: rows meet floats in registers, or a panel of columns does in its
 * thread's room, and what the mask drops is dropped as it is read.
 *
 * The float operand of a product is packed into blocks [index / width][rank][width]
 * once a call: for dots that index is the summed one, for the others a token's.
 */
#include "llm/backend/cpu/half.h"

#define DOT_ROWS 32 /* rows of x in an item */
#define TILES    16 /* of rows in an item of what is added to */

typedef struct {
    const llm_cpu_t *cpu;
    const llm_lora_t *how;
    const uint16_t *x; /* activations that are read, */
    uint16_t *y;       /* or added to */
    size_t stride, columns;
    const uint8_t *mask; /* NULL: all are kept */
    const float *small;  /* the operand that is packed, as it is stored */
    size_t ld, count;    /* its indices */
    bool turned;         /* its rank runs along rows of memory, not across them */
    float *blocks;       /* it, packed */
    size_t rank;         /* of a block, with zeros behind how->rank */
    const float *h;      /* of what is added */
    float *to;           /* h or dh; da or db */
    bool to_turned;      /* db: its rank runs along rows */
    float scale;
    size_t row_items;
} job_t;

static size_t mask_stride(const llm_lora_t *how)
{
    return llm_lora_mask_bytes(1, how->in);
}

/* Block item of the small operand: [rank][width] of width indices. */
static void pack_block(void *argument, size_t item, size_t thread)
{
    (void)thread;
    const job_t *job = argument;
    const llm_cpu_kernels_t *kernels = job->cpu->kernels;
    size_t width = kernels->width, rank = job->how->rank, first = item * width;
    size_t columns = llm_cpu_min(width, job->count - first);
    float *to = job->blocks + item * job->rank * width;
    if (job->turned)
        kernels->pack_transposed(to, job->small + first * job->ld, job->ld, rank, columns);
    else
        kernels->pack_copy(to, job->small + first, job->ld, rank, columns);
    for (size_t i = rank * width; i < job->rank * width; i++)
        to[i] = 0;
}

/* False, and said by synchronize(), when there is no memory. */
static bool pack(llm_cpu_t *cpu, job_t *job)
{
    size_t items = llm_cpu_pieces(job->count, cpu->kernels->width);
    job->blocks = llm_half_wide(cpu, items * job->rank * cpu->kernels->width);
    if (job->blocks)
        llm_pool_run(cpu->pool, items, pack_block, job);
    return job->blocks != NULL;
}

static void dots_item(void *argument, size_t item, size_t thread)
{
    (void)thread;
    const job_t *job = argument;
    size_t first = item * DOT_ROWS;
    llm_cpu_dots_t d = {.x = job->x + first * job->stride, .x_stride = job->stride};
    d.mask_stride = mask_stride(job->how);
    d.mask = job->mask ? job->mask + first * d.mask_stride : NULL;
    d.a = job->blocks;
    d.a_block = job->rank * job->cpu->kernels->width;
    d.rows = llm_cpu_min(DOT_ROWS, job->how->M - first);
    d.width = job->columns;
    d.rank = job->how->rank;
    d.scale = job->scale;
    job->cpu->half->dots(job->to + first * d.rank, &d);
}

/* to[M][rank] = scale x[M][columns] times small. */
static void run_dots(llm_cpu_t *cpu, job_t *job)
{
    size_t half = cpu->kernels->lanes / 2;
    job->cpu = cpu;
    job->rank = llm_cpu_pieces(job->how->rank, half) * half;
    if (pack(cpu, job))
        llm_pool_run(cpu->pool, llm_cpu_pieces(job->how->M, DOT_ROWS), dots_item, job);
}

static void down(llm_backend_t *be, float *h, uint8_t *mask, const llm_act_t *x,
                 const llm_lora_t *how)
{
    job_t job = {.how = how, .x = llm_half_read(x), .stride = how->in, .columns = how->in};
    job.small = how->a;
    job.ld = how->a_stride;
    job.count = how->in;
    job.mask = how->p > 0.0f ? mask : NULL;
    job.to = h;
    job.scale = llm_lora_keep(how);
    double start = llm_instance_now();
    if (job.mask)
        llm_cpu_draw_mask(be, mask, how);
    run_dots(llm_cpu(be), &job);
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

/* Columns of a panel += scale (h[M][rank] small) where they are kept. */
static void add_item(void *argument, size_t item, size_t thread)
{
    const job_t *job = argument;
    const llm_cpu_kernels_t *kernels = job->cpu->kernels;
    size_t width = kernels->width, panel = item / job->row_items, rank = job->how->rank;
    size_t rows = TILES * kernels->tile_rows, row = item % job->row_items * rows;
    size_t end = llm_cpu_min(row + rows, job->how->M);
    float acc[LLM_CPU_ROWS_MAX * LLM_CPU_WIDTH_MAX];
    (void)thread;
    llm_cpu_tile_t tile = {.direct = true, .a_stride = rank, .b_row = width, .K = rank};
    tile.b = job->blocks + panel * job->rank * width;
    tile.columns = llm_cpu_min(width, job->columns - panel * width);
    llm_cpu_kept_t to = {.stride = job->stride, .columns = tile.columns};
    to.mask_stride = mask_stride(job->how);
    for (; row < end; row += tile.rows) {
        to.rows = tile.rows = llm_cpu_min(kernels->tile_rows, end - row);
        tile.a = job->h + row * rank;
        to.x = job->y + row * job->stride + panel * width;
        to.mask = job->mask ? job->mask + row * to.mask_stride + panel * width / 8 : NULL;
        kernels->tile(acc, &tile);
        job->cpu->half->add_kept(&to, acc, job->scale);
    }
}

static void run_add(llm_cpu_t *cpu, job_t *job)
{
    job->cpu = cpu;
    job->rank = job->how->rank;
    job->row_items = llm_cpu_pieces(job->how->M, TILES * cpu->kernels->tile_rows);
    if (pack(cpu, job))
        llm_pool_run(cpu->pool, job->row_items * llm_cpu_pieces(job->columns, cpu->kernels->width),
                     add_item, job);
}

static void up(llm_backend_t *be, llm_act_t *y, size_t y_stride, const float *h,
               const llm_lora_t *how)
{
    job_t job = {.how = how, .y = llm_half_write(y), .stride = y_stride, .columns = how->out};
    job.small = how->b;
    job.ld = how->rank;
    job.count = how->out;
    job.turned = true;
    job.h = h;
    job.scale = how->scaling;
    double start = llm_instance_now();
    run_add(llm_cpu(be), &job);
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

static void input_gradient(llm_backend_t *be, llm_act_t *dx, const float *dh, const uint8_t *mask,
                           const llm_lora_t *how)
{
    job_t job = {.how = how, .y = llm_half_write(dx), .stride = how->in, .columns = how->in};
    job.small = how->a;
    job.ld = how->a_stride;
    job.count = how->in;
    job.mask = how->p > 0.0f ? mask : NULL;
    job.h = dh;
    job.scale = llm_lora_keep(how);
    double start = llm_instance_now();
    run_add(llm_cpu(be), &job);
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

/* A panel's columns of activations, all tokens of them, against the small
 * operand: sums [rank][columns], added to the gradient. */
static void gradient_item(void *argument, size_t item, size_t thread)
{
    const job_t *job = argument;
    const llm_cpu_kernels_t *kernels = job->cpu->kernels;
    size_t width = kernels->width, rank = job->how->rank, column = item * width;
    float *wide = job->cpu->rooms + thread * LLM_CPU_ROOM;
    float acc[LLM_CPU_ROWS_MAX * LLM_CPU_WIDTH_MAX];
    llm_cpu_kept_t from = {.stride = job->stride, .mask_stride = mask_stride(job->how)};
    from.columns = llm_cpu_min(width, job->columns - column);
    llm_cpu_tile_t tile = {.b = wide, .b_row = width, .a_stride = rank * width};
    tile.columns = from.columns;
    llm_cpu_store_t how = {.last = from.columns, .alpha = job->scale, .add = true};
    for (size_t r = 0; r < rank; r += tile.rows) {
        how.rows = tile.rows = llm_cpu_min(kernels->tile_rows, rank - r);
        for (size_t m = 0; m < job->count; m += LLM_CPU_DEPTH) {
            tile.K = from.rows = llm_cpu_min(LLM_CPU_DEPTH, job->count - m);
            from.read = job->x + m * job->stride + column;
            from.mask = job->mask ? job->mask + m * from.mask_stride + column / 8 : NULL;
            job->cpu->half->widen_kept(wide, &from);
            tile.a = job->blocks + m * rank + r * width;
            tile.add = m > 0;
            kernels->tile(acc, &tile);
        }
        if (job->to_turned)
            kernels->store_transposed(job->to + column * rank + r, rank, acc, &how);
        else
            kernels->store(job->to + r * job->how->a_stride + column, job->how->a_stride, acc,
                           &how);
    }
}

static void run_gradient(llm_cpu_t *cpu, job_t *job)
{
    job->cpu = cpu;
    job->rank = job->how->rank;
    job->ld = job->how->rank;
    job->count = job->how->M;
    job->turned = true;
    if (pack(cpu, job))
        llm_pool_run(cpu->pool, llm_cpu_pieces(job->columns, cpu->kernels->width), gradient_item,
                     job);
}

static void gradients(llm_backend_t *be, float *dh, float *da, float *db, const llm_act_t *dy,
                      size_t dy_stride, const llm_act_t *x, const float *h, const uint8_t *mask,
                      const llm_lora_t *how)
{
    job_t to_h = {.how = how, .x = llm_half_read(dy), .stride = dy_stride, .columns = how->out};
    job_t to_b = to_h, to_a = {.how = how, .stride = how->in, .columns = how->in, .to = da};
    double start = llm_instance_now();
    to_h.small = how->b;
    to_h.ld = how->rank;
    to_h.count = how->out;
    to_h.turned = true;
    to_h.to = dh;
    to_h.scale = how->scaling;
    run_dots(llm_cpu(be), &to_h);
    if (da) {
        to_b.small = h;
        to_b.to = db;
        to_b.to_turned = true;
        to_b.scale = how->scaling;
        run_gradient(llm_cpu(be), &to_b);
        to_a.x = llm_half_read(x);
        to_a.mask = how->p > 0.0f ? mask : NULL;
        to_a.small = dh;
        to_a.scale = llm_lora_keep(how);
        run_gradient(llm_cpu(be), &to_a);
    }
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

void llm_cpu_half_lora(llm_ops_t *ops)
{
    ops->lora_down = down;
    ops->lora_up = up;
    ops->lora_gradients = gradients;
    ops->lora_input_gradient = input_gradient;
}
