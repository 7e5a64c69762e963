/*
 * vector_ops.c - the table's loops over vectors of floats: scaling, sums, and
 * the steps of optimizers, their scalars derived as the CPU's backends do.
 */
#include "llm/backend/cuda/cuda.h"

#include "llm/backend/constants.h"

static void add(llm_backend_t *be, float *y, const float *x, size_t n)
{
    llm_cuda_add_floats(&llm_cuda_enter(be)->queue, y, x, n);
}

static void scale(llm_backend_t *be, float *x, float factor, size_t n)
{
    llm_cuda_scale(&llm_cuda_enter(be)->queue, x, factor, n);
}

/* 0 when there is no memory, which synchronize() says. */
static double sum_of(llm_backend_t *be, const float *x, size_t n, bool squares)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    double total = 0;
    double *scratch =
        llm_cuda_room(self, LLM_CUDA_ROOM_SUMS, LLM_CUDA_SUM_SCRATCH * sizeof *scratch);
    double *result = llm_cuda_room(self, LLM_CUDA_ROOM_RESULT, sizeof *result);
    if (!scratch || !result)
        return 0;
    llm_cuda_sum(&self->queue, result, x, n, squares, scratch);
    llm_cuda_fetch(self, &total, result, sizeof total);
    return total;
}

static double sum_squares(llm_backend_t *be, const float *x, size_t n)
{
    return sum_of(be, x, n, true);
}

static double sum(llm_backend_t *be, const float *x, size_t n)
{
    return sum_of(be, x, n, false);
}

static llm_cuda_adam_t scalars_of(const llm_adam_t *how)
{
    llm_adam_scalars_t s = llm_adam_scalars(how);
    return (llm_cuda_adam_t){
        .beta1 = s.beta1,
        .one_minus_beta1 = s.one_minus_beta1,
        .beta2 = s.beta2,
        .one_minus_beta2 = s.one_minus_beta2,
        .step_size = s.step_size,
        .sqrt_bias2 = s.sqrt_bias2,
        .eps = s.eps,
        .l2 = s.l2,
        .keep = s.keep,
    };
}

static void adam_step(llm_backend_t *be, float *params, float *m, float *v, float *greatest,
                      const float *grads, size_t n, const llm_adam_t *how)
{
    llm_cuda_adam_t step = scalars_of(how);
    llm_cuda_adam_step(&llm_cuda_enter(be)->queue, params, m, v, greatest, grads, n, &step);
}

static void sgd_step(llm_backend_t *be, float *params, float *momentum, const float *grads,
                     size_t n, const llm_sgd_t *how)
{
    llm_cuda_sgd_t step = {
        .lr = how->lr,
        .momentum = how->momentum,
        .share = (float)(1.0 - llm_decimal(how->dampening)),
        .weight_decay = how->weight_decay,
        .nesterov = how->nesterov,
        .first = how->first,
    };
    llm_cuda_sgd_step(&llm_cuda_enter(be)->queue, params, momentum, grads, n, &step);
}

static void adagrad_step(llm_backend_t *be, float *params, float *sums, const float *grads,
                         size_t n, const llm_adagrad_t *how)
{
    llm_cuda_adagrad_step(&llm_cuda_enter(be)->queue, params, sums, grads, n, how);
}

static void rmsprop_step(llm_backend_t *be, float *params, const llm_rmsprop_state_t *state,
                         const float *grads, size_t n, const llm_rmsprop_t *how)
{
    llm_cuda_rmsprop_step(&llm_cuda_enter(be)->queue, params, state, grads, n, how);
}

static void adam_coded_step(llm_backend_t *be, float *params, const llm_coded_moments_t *moments,
                            const float *grads, size_t n, const llm_adam_t *how)
{
    llm_cuda_adam_t step = scalars_of(how);
    llm_dynamic_map_t maps[2];
    llm_dynamic_map(&maps[0], true);
    llm_dynamic_map(&maps[1], false);
    llm_cuda_adam_coded_step(&llm_cuda_enter(be)->queue, params, moments, grads, n, &step, maps);
}

static void square_means(llm_backend_t *be, float *rows, float *columns, const float *x, size_t M,
                         size_t N, const llm_square_means_t *how)
{
    llm_cuda_square_means(&llm_cuda_enter(be)->queue, rows, columns, x, M, N, how);
}

static void factored_step(llm_backend_t *be, float *update, const float *rows, const float *columns,
                          const float *x, size_t M, size_t N, const llm_factored_t *how)
{
    llm_cuda_factored_step(&llm_cuda_enter(be)->queue, update, rows, columns, x, M, N, how);
}

void llm_cuda_vectors_ops(llm_ops_t *ops)
{
    ops->add = add;
    ops->scale = scale;
    ops->sum_squares = sum_squares;
    ops->sum = sum;
    ops->adam_step = adam_step;
    ops->sgd_step = sgd_step;
    ops->adagrad_step = adagrad_step;
    ops->rmsprop_step = rmsprop_step;
    ops->adam_coded_step = adam_coded_step;
    ops->square_means = square_means;
    ops->factored_step = factored_step;
}
