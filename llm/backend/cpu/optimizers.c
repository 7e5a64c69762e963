/*
 * optimizers.c - the steps of further optimizers, shared out in pieces: Adagrad,
 * RMSprop, Adam with moments of 8 bits, and what Adafactor is made of.  Formulas are in
 * reference/moments.c.
 *
 * A sum over a row is one thread's, and so is one over a column, in the order of rows.
 */
#include "llm/backend/cpu/cpu.h"

#define PIECE   16384 /* elements of an item; whole blocks of codes */
#define COLUMNS 64    /* summed by an item */

_Static_assert(PIECE % LLM_CODED_BLOCK == 0, "a block of codes lies in two pieces");

typedef struct {
    float *params, *rows, *columns;
    const float *x;
    size_t M, N;
    llm_rmsprop_state_t rmsprop;
    llm_coded_moments_t coded;
    const llm_adam_scalars_t *scalars;
    const llm_dynamic_map_t *maps; /* of m and of v */
    const void *how;
} job_t;

static void adagrad_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    const job_t *job = argument;
    kernels->adagrad(job->params + first, job->rows + first, job->x + first, count, job->how);
}

static void adagrad_step(llm_backend_t *be, float *params, float *sums, const float *grads,
                         size_t n, const llm_adagrad_t *how)
{
    job_t job = {.params = params, .rows = sums, .x = grads, .how = how};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, adagrad_piece, &job);
}

static void rmsprop_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    const job_t *job = argument;
    const llm_rmsprop_state_t *all = &job->rmsprop;
    llm_rmsprop_state_t state = {.squares = all->squares + first,
                                 .means = all->means ? all->means + first : NULL,
                                 .momentum = all->momentum ? all->momentum + first : NULL};
    kernels->rmsprop(job->params + first, &state, job->x + first, count, job->how);
}

static void rmsprop_step(llm_backend_t *be, float *params, const llm_rmsprop_state_t *state,
                         const float *grads, size_t n, const llm_rmsprop_t *how)
{
    job_t job = {.params = params, .rmsprop = *state, .x = grads, .how = how};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, rmsprop_piece, &job);
}

static void coded_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                        size_t count)
{
    const job_t *job = argument;
    for (size_t at = first; at < first + count; at += LLM_CODED_BLOCK) {
        size_t block = at / LLM_CODED_BLOCK;
        llm_coded_moments_t moments = {.m = job->coded.m + at,
                                       .v = job->coded.v + at,
                                       .m_scales = job->coded.m_scales + block,
                                       .v_scales = job->coded.v_scales + block};
        kernels->adam_coded(job->params + at, &moments, job->x + at,
                            llm_cpu_min(first + count - at, LLM_CODED_BLOCK), job->scalars,
                            job->maps);
    }
}

static void adam_coded_step(llm_backend_t *be, float *params, const llm_coded_moments_t *moments,
                            const float *grads, size_t n, const llm_adam_t *how)
{
    llm_adam_scalars_t scalars = llm_adam_scalars(how);
    llm_dynamic_map_t maps[2];
    llm_dynamic_map(&maps[0], true);
    llm_dynamic_map(&maps[1], false);
    job_t job = {
        .params = params, .coded = *moments, .x = grads, .scalars = &scalars, .maps = maps};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, coded_piece, &job);
}

static void follow(float *mean, double value, const llm_square_means_t *how)
{
    *mean = how->keep * *mean + how->share * (float)(value + (double)how->eps);
}

static void each_square(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                        size_t count)
{
    const job_t *job = argument;
    (void)kernels;
    for (size_t i = first; i < first + count; i++)
        follow(&job->rows[i], (double)job->x[i] * (double)job->x[i], job->how);
}

static void rows_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        follow(&job->rows[m], kernels->sum_squares(job->x + m * job->N, job->N) / (double)job->N,
               job->how);
}

static void columns_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    const job_t *job = argument;
    double sums[COLUMNS] = {0};
    kernels->column_squares(sums, job->x + first, job->M, job->N, count);
    for (size_t i = 0; i < count; i++)
        follow(&job->columns[first + i], sums[i] / (double)job->M, job->how);
}

static void square_means(llm_backend_t *be, float *rows, float *columns, const float *x, size_t M,
                         size_t N, const llm_square_means_t *how)
{
    job_t job = {.rows = rows, .columns = columns, .x = x, .M = M, .N = N, .how = how};
    if (!columns) {
        llm_cpu_run_pieces(llm_cpu(be), M * N, PIECE, each_square, &job);
        return;
    }
    llm_cpu_run_pieces(llm_cpu(be), M, llm_cpu_rows_in_piece(N), rows_piece, &job);
    llm_cpu_run_pieces(llm_cpu(be), N, COLUMNS, columns_piece, &job);
}

static void factored_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                           size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++)
        kernels->factored(job->params + m * job->N, job->rows[m], job->columns, job->x + m * job->N,
                          job->N, job->how);
}

static void roots_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                        size_t count)
{
    const job_t *job = argument;
    kernels->over_roots(job->params + first, job->rows + first, job->x + first, count, job->how);
}

static void factored_step(llm_backend_t *be, float *update, const float *rows, const float *columns,
                          const float *x, size_t M, size_t N, const llm_factored_t *how)
{
    job_t job = {.params = update, .x = x, .M = M, .N = N, .how = how};
    job.rows = (float *)(uintptr_t)rows;
    job.columns = (float *)(uintptr_t)columns;
    if (columns)
        llm_cpu_run_pieces(llm_cpu(be), M, llm_cpu_rows_in_piece(N), factored_piece, &job);
    else
        llm_cpu_run_pieces(llm_cpu(be), M * N, PIECE, roots_piece, &job);
}

void llm_cpu_optimizers(llm_ops_t *ops)
{
    ops->adagrad_step = adagrad_step;
    ops->rmsprop_step = rmsprop_step;
    ops->adam_coded_step = adam_coded_step;
    ops->square_means = square_means;
    ops->factored_step = factored_step;
}
