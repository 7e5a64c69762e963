/*
 * elements.c - ops on vectors: activations, dropout, optimizers, sums.
 *
 * Vectors are cut into pieces of fixed size.  Sums are kept per piece and
 * added up in order, so they are the same for every number of threads.
 */
#include "llm/backend/cpu/cpu.h"

#include <string.h>

#define PIECE      16384 /* elements of an item; a multiple of 64 */
#define SUMS_BATCH 256   /* pieces summed between two additions to the total */

typedef struct {
    float *out, *second, *third, *fourth;
    const float *x, *y, *z;
    float value;
    bool flag;
    llm_activation_t kind;
    const void *how;
    double sums[SUMS_BATCH];
} job_t;

static void add_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    kernels->add(job->out + first, job->x + first, count);
}

static void add(llm_backend_t *be, float *y, const float *x, size_t n)
{
    job_t job = {.out = y, .x = x};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, add_piece, &job);
}

static void add_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, size_t n)
{
    add(be, llm_cpu_floats_out(y), llm_cpu_floats(x), n);
}

static void scale_act_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                            size_t count)
{
    const job_t *job = argument;
    if (job->out != job->x)
        memcpy(job->out + first, job->x + first, count * sizeof *job->out);
    kernels->scale(job->out + first, job->value, count);
}

static void scale_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float factor, size_t n)
{
    job_t job = {.out = llm_cpu_floats_out(y), .x = llm_cpu_floats(x), .value = factor};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, scale_act_piece, &job);
}

static void widen(llm_backend_t *be, float *to, const llm_act_t *x, size_t n, bool add_to)
{
    if (add_to)
        add(be, to, llm_cpu_floats(x), n);
    else
        be->ops->copy(be, to, x, n * sizeof *to);
}

static void narrow(llm_backend_t *be, llm_act_t *to, const float *x, size_t n, bool add_to)
{
    if (add_to)
        add(be, llm_cpu_floats_out(to), x, n);
    else
        be->ops->copy(be, to, x, n * sizeof *x);
}

static void scale_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                        size_t count)
{
    const job_t *job = argument;
    kernels->scale(job->out + first, job->value, count);
}

static void scale(llm_backend_t *be, float *x, float factor, size_t n)
{
    job_t job = {.out = x, .value = factor};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, scale_piece, &job);
}

static void sum_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    job_t *job = argument;
    job->sums[first / PIECE] = job->flag ? kernels->sum_squares(job->x + first, count)
                                         : kernels->sum(job->x + first, count);
}

static double sum_of(llm_backend_t *be, const float *x, size_t n, bool squares)
{
    double total = 0;
    job_t job = {.flag = squares};
    for (size_t first = 0; first < n; first += (size_t)SUMS_BATCH * PIECE) {
        size_t count = llm_cpu_min(n - first, (size_t)SUMS_BATCH * PIECE);
        job.x = x + first;
        llm_cpu_run_pieces(llm_cpu(be), count, PIECE, sum_piece, &job);
        for (size_t i = 0; i < llm_cpu_pieces(count, PIECE); i++)
            total += job.sums[i];
    }
    return total;
}

static double sum(llm_backend_t *be, const float *x, size_t n)
{
    return sum_of(be, x, n, false);
}

static double sum_squares(llm_backend_t *be, const float *x, size_t n)
{
    return sum_of(be, x, n, true);
}

static void activation_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                             size_t count)
{
    const job_t *job = argument;
    kernels->activation(job->out + first, job->x + first, count, job->kind);
}

static void activation_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, size_t n,
                               llm_activation_t kind)
{
    job_t job = {.out = llm_cpu_floats_out(out), .x = llm_cpu_floats(x), .kind = kind};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, activation_piece, &job);
}

static void activation_dx_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                                size_t count)
{
    const job_t *job = argument;
    kernels->activation_dx(job->out + first, job->y + first, job->x + first, count, job->kind);
}

static void activation_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                                const llm_act_t *x, size_t n, llm_activation_t kind)
{
    job_t job = {.out = llm_cpu_floats_out(dx), .y = llm_cpu_floats(dout), .kind = kind};
    job.x = llm_cpu_floats(x);
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, activation_dx_piece, &job);
}

static void glu_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    kernels->glu(job->out + first, job->x + first, job->y + first, count, job->kind);
}

static void glu_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *gate,
                        const llm_act_t *up, size_t n, llm_activation_t kind)
{
    job_t job = {.out = llm_cpu_floats_out(out), .x = llm_cpu_floats(gate), .kind = kind};
    job.y = llm_cpu_floats(up);
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, glu_piece, &job);
}

static void glu_dx_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                         size_t count)
{
    const job_t *job = argument;
    llm_cpu_glu_t from = {job->z + first, job->x + first, job->y + first};
    kernels->glu_dx(job->out + first, job->second + first, &from, count, job->kind);
}

static void glu_backward(llm_backend_t *be, llm_act_t *dgate, llm_act_t *dup, const llm_act_t *dout,
                         const llm_act_t *gate, const llm_act_t *up, size_t n,
                         llm_activation_t kind)
{
    job_t job = {.out = llm_cpu_floats_out(dgate), .second = llm_cpu_floats_out(dup)};
    job.z = llm_cpu_floats(dout);
    job.x = llm_cpu_floats(gate);
    job.y = llm_cpu_floats(up);
    job.kind = kind;
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, glu_dx_piece, &job);
}

static void softcap_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                          size_t count)
{
    const job_t *job = argument;
    kernels->softcap(job->out + first, job->x + first, job->value, count);
}

static void softcap_forward(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float cap,
                            size_t n)
{
    job_t job = {.out = llm_cpu_floats_out(y), .x = llm_cpu_floats(x), .value = cap};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, softcap_piece, &job);
}

static void softcap_dx_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first,
                             size_t count)
{
    const job_t *job = argument;
    kernels->softcap_dx(job->out + first, job->x + first, job->value, count);
}

static void softcap_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *y, float cap,
                             size_t n)
{
    job_t job = {.out = llm_cpu_floats_out(dx), .x = llm_cpu_floats(y), .value = cap};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, softcap_dx_piece, &job);
}

static void adam_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    kernels->adam(job->out + first, job->second + first, job->third + first,
                  job->fourth ? job->fourth + first : NULL, job->x + first, count, job->how);
}

static void adam_step(llm_backend_t *be, float *params, float *m, float *v, float *greatest,
                      const float *grads, size_t n, const llm_adam_t *how)
{
    llm_adam_scalars_t scalars = llm_adam_scalars(how);
    job_t job = {
        .out = params, .second = m, .third = v, .fourth = greatest, .x = grads, .how = &scalars};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, adam_piece, &job);
}

static void sgd_piece(const llm_cpu_kernels_t *kernels, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    kernels->sgd(job->out + first, job->second ? job->second + first : NULL, job->x + first, count,
                 job->how);
}

static void sgd_step(llm_backend_t *be, float *params, float *momentum, const float *grads,
                     size_t n, const llm_sgd_t *how)
{
    job_t job = {.out = params, .second = momentum, .x = grads, .how = how};
    llm_cpu_run_pieces(llm_cpu(be), n, PIECE, sgd_piece, &job);
}

void llm_cpu_elements(llm_ops_t *ops)
{
    ops->add = add;
    ops->add_act = add_act;
    ops->scale_act = scale_act;
    ops->widen = widen;
    ops->narrow = narrow;
    ops->scale = scale;
    ops->sum = sum;
    ops->sum_squares = sum_squares;
    ops->activation_forward = activation_forward;
    ops->activation_backward = activation_backward;
    ops->glu_forward = glu_forward;
    ops->glu_backward = glu_backward;
    ops->softcap_forward = softcap_forward;
    ops->softcap_backward = softcap_backward;
    ops->adam_step = adam_step;
    ops->sgd_step = sgd_step;
}
