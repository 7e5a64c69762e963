/*
 * gemm.c - dense products over memory as the caller stores it.
 *
 * An operand is packed per call only where it pays: a thin product (a LoRA
 * factor on one side) reads its long operand in place, since copying that would
 * cost as much as the product.  C = A' B with A transposed and few columns is
 * computed as C' = B' A, so that the long operand is read along its rows.
 */
#include "llm/backend/cpu/cpu.h"

#define THIN_COLUMNS 64 /* up to so many columns of C, A is read in place */
#define THIN_ROWS    32 /* up to so many rows of C, B is read in place */
#define DIRECT_DEPTH 64 /* k of a tile whose B is read in place: it stays on few pages */
#define ITEM_PANELS  4
#define ITEM_TILES   8 /* of rows in an item */
#define THIN_TILES   2 /* the same where one item holds all the columns */

typedef struct {
    const float *data;
    size_t ld;
    bool across; /* k runs across rows of memory, not along them */
} operand_t;

typedef struct {
    const llm_cpu_kernels_t *kernels;
    operand_t a, b;
    float *packed_a, *packed_b; /* NULL: read in place */
    size_t a_block, b_block;    /* floats between packed blocks */
    float *c;
    size_t ldc;
    bool transposed; /* c is stored transposed */
    float alpha;
    bool add;
    size_t m, M, n, N, k, K; /* the piece at work, and its extents */
    size_t rows, row_items;  /* rows in an item, items over the rows */
} job_t;

static const float *at(const operand_t *operand, size_t index, size_t k)
{
    return operand->data + (operand->across ? k * operand->ld + index : index * operand->ld + k);
}

/* A's block item: [M][width] along k. */
static void pack_a(void *argument, size_t item, size_t thread)
{
    (void)thread;
    const job_t *job = argument;
    size_t width = job->kernels->width;
    size_t k = item * width;
    size_t columns = llm_cpu_min(width, job->K - k);
    float *to = job->packed_a + item * job->a_block;
    const float *from = at(&job->a, job->m, job->k + k);
    if (job->a.across)
        job->kernels->pack_transposed(to, from, job->a.ld, job->M, columns);
    else
        job->kernels->pack_copy(to, from, job->a.ld, job->M, columns);
}

/* B's panel item: [K][width] along n. */
static void pack_b(void *argument, size_t item, size_t thread)
{
    (void)thread;
    const job_t *job = argument;
    size_t width = job->kernels->width;
    size_t n = item * width;
    size_t columns = llm_cpu_min(width, job->N - n);
    float *to = job->packed_b + item * job->b_block;
    const float *from = at(&job->b, job->n + n, job->k);
    if (job->b.across)
        job->kernels->pack_copy(to, from, job->b.ld, job->K, columns);
    else
        job->kernels->pack_transposed(to, from, job->b.ld, job->K, columns);
}

static void store(const job_t *job, const float *acc, size_t row, size_t n,
                  const llm_cpu_store_t *how)
{
    if (job->transposed)
        job->kernels->store_transposed(job->c + (job->n + n) * job->ldc + job->m + row, job->ldc,
                                       acc, how);
    else
        job->kernels->store(job->c + (job->m + row) * job->ldc + job->n + n, job->ldc, acc, how);
}

/* Tiles row .. end of one panel, over depth values of k. */
static void panel_tiles(const job_t *job, size_t row, size_t end, size_t n, size_t k, size_t depth)
{
    size_t width = job->kernels->width;
    float acc[LLM_CPU_ROWS_MAX * LLM_CPU_WIDTH_MAX];
    float edge[DIRECT_DEPTH * LLM_CPU_WIDTH_MAX];
    llm_cpu_tile_t tile = {.direct = !job->packed_a, .K = depth};
    tile.columns = llm_cpu_min(width, job->N - n);
    tile.a_stride = job->packed_a ? job->a_block : job->a.ld;
    tile.b_row = job->packed_b ? width : job->b.ld;
    tile.b = job->packed_b ? job->packed_b + n / width * job->b_block + k * width
                           : at(&job->b, job->n + n, job->k + k);
    if (!job->packed_b && tile.columns < width) { /* a tile reads whole vectors */
        job->kernels->pack_copy(edge, tile.b, job->b.ld, depth, tile.columns);
        tile.b = edge;
        tile.b_row = width;
    }
    llm_cpu_store_t how = {.last = tile.columns, .alpha = job->alpha, .add = job->add || k > 0};
    for (; row < end; row += tile.rows) {
        how.rows = tile.rows = llm_cpu_min(job->kernels->tile_rows, end - row);
        tile.a = job->packed_a ? job->packed_a + k / width * job->a_block + row * width
                               : at(&job->a, job->m + row, job->k + k);
        job->kernels->tile(acc, &tile);
        store(job, acc, row, n, &how);
    }
}

static void product_item(void *argument, size_t item, size_t thread)
{
    (void)thread;
    const job_t *job = argument;
    size_t width = job->kernels->width;
    size_t row = item % job->row_items * job->rows;
    size_t n = item / job->row_items * ITEM_PANELS * width;
    size_t end = llm_cpu_min(n + ITEM_PANELS * width, job->N);
    size_t step = job->packed_b ? LLM_CPU_DEPTH : DIRECT_DEPTH;
    for (size_t k = 0; k < job->K; k += step)
        for (size_t j = n; j < end; j += width)
            panel_tiles(job, row, llm_cpu_min(row + job->rows, job->M), j, k,
                        llm_cpu_min(step, job->K - k));
}

/* The piece (m, n, k) of the product. */
static void piece(llm_cpu_t *cpu, job_t *job)
{
    size_t width = job->kernels->width;
    job->a_block = llm_cpu_padded(job->M, width) * width;
    if (job->packed_a)
        llm_pool_run(cpu->pool, llm_cpu_pieces(job->K, width), pack_a, job);
    size_t column_items = llm_cpu_pieces(job->N, ITEM_PANELS * width);
    job->rows = (column_items > 1 ? ITEM_TILES : THIN_TILES) * job->kernels->tile_rows;
    job->row_items = llm_cpu_pieces(job->M, job->rows);
    llm_pool_run(cpu->pool, job->row_items * column_items, product_item, job);
}

/* Pieces small enough for the packed copies.  Operands that are read in place
 * are not cut.  Sums are cut at LLM_CPU_DEPTH here, and at DIRECT_DEPTH within
 * an item where B is read in place. */
static void product(llm_cpu_t *cpu, job_t *job, size_t M, size_t N, size_t K, bool add)
{
    size_t width = job->kernels->width;
    size_t rows = job->packed_a ? LLM_CPU_ROWS : M;
    size_t columns = job->packed_b ? LLM_CPU_LONG_DEPTH : N;
    for (job->n = 0; job->n < N; job->n += columns)
        for (job->k = 0; job->k < K; job->k += LLM_CPU_DEPTH) {
            job->N = llm_cpu_min(columns, N - job->n);
            job->K = llm_cpu_min(LLM_CPU_DEPTH, K - job->k);
            job->add = add || job->k > 0;
            job->b_block = llm_cpu_padded(job->K, width) * width;
            if (job->packed_b)
                llm_pool_run(cpu->pool, llm_cpu_pieces(job->N, width), pack_b, job);
            for (job->m = 0; job->m < M; job->m += rows) {
                job->M = llm_cpu_min(rows, M - job->m);
                piece(cpu, job);
            }
        }
}

/* C = alpha A B (+ C) in the orientation that reads the long operand in place. */
static void dispatch(llm_cpu_t *cpu, float *c, const float *a, const float *b, const llm_gemm_t *s)
{
    job_t job = {.kernels = cpu->kernels, .c = c, .ldc = s->ldc, .alpha = s->alpha};
    operand_t left = {a, s->lda, s->transpose_a};
    operand_t right = {b, s->ldb, !s->transpose_b};
    size_t M = s->M;
    size_t N = s->N;
    job.transposed = s->transpose_a && N < M && N <= THIN_COLUMNS;
    job.a = job.transposed ? right : left;
    job.b = job.transposed ? left : right;
    if (job.transposed) {
        M = s->N;
        N = s->M;
    }
    job.packed_a = job.a.across || N > THIN_COLUMNS ? cpu->small : NULL;
    job.packed_b = !job.b.across || M > THIN_ROWS ? cpu->packed : NULL;
    product(cpu, &job, M, N, s->K, s->beta != 0.0f);
}

static void scale_rows(float *c, const llm_gemm_t *s)
{
    for (size_t m = 0; m < s->M; m++)
        for (size_t n = 0; n < s->N; n++)
            c[m * s->ldc + n] = s->beta != 0.0f ? c[m * s->ldc + n] : 0.0f;
}

static void gemm(llm_backend_t *be, float *c, const float *a, const float *b, const llm_gemm_t *s)
{
    double start = llm_instance_now();
    if (s->K)
        dispatch(llm_cpu(be), c, a, b, s);
    else
        scale_rows(c, s);
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

void llm_cpu_gemm(llm_ops_t *ops)
{
    ops->gemm = gemm;
}
