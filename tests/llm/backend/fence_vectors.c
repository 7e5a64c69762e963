/*
 * fence_vectors.c - the ops over vectors of floats behind the fence, optimizers'
 * steps among them; see fence_ops.c.
 */
#include "fence.h"

static void add(llm_backend_t *be, float *y, const float *x, size_t n)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->add(inner, INSIDE(y), INSIDE(x), n);
}

static void add_product(llm_backend_t *be, float *y, const float *a, const float *b, size_t n)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->add_product(inner, INSIDE(y), INSIDE(a), INSIDE(b), n);
}

static void scale(llm_backend_t *be, float *x, float factor, size_t n)
{
    llm_backend_t *inner = fence_inner(be);
    inner->ops->scale(inner, INSIDE(x), factor, n);
}

static double sum_squares(llm_backend_t *be, const float *x, size_t n)
{
    llm_backend_t *inner = fence_inner(be);
    return inner->ops->sum_squares(inner, INSIDE(x), n);
}

static double sum(llm_backend_t *be, const float *x, size_t n)
{
    llm_backend_t *inner = fence_inner(be);
    return inner->ops->sum(inner, INSIDE(x), n);
}

static void adam_step(llm_backend_t *be, float *params, float *m, float *v, float *greatest,
                      const float *grads, size_t n, const llm_adam_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    inner->ops->adam_step(inner, INSIDE(params), INSIDE(m), INSIDE(v), INSIDE(greatest),
                          INSIDE(grads), n, how);
}

static void sgd_step(llm_backend_t *be, float *params, float *momentum, const float *grads,
                     size_t n, const llm_sgd_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    inner->ops->sgd_step(inner, INSIDE(params), INSIDE(momentum), INSIDE(grads), n, how);
}

static void adagrad_step(llm_backend_t *be, float *params, float *sums, const float *grads,
                         size_t n, const llm_adagrad_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    inner->ops->adagrad_step(inner, INSIDE(params), INSIDE(sums), INSIDE(grads), n, how);
}

static void rmsprop_step(llm_backend_t *be, float *params, const llm_rmsprop_state_t *state,
                         const float *grads, size_t n, const llm_rmsprop_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    fence_outside(state, __func__, "state");
    llm_rmsprop_state_t inside = {.squares = INSIDE(state->squares),
                                  .means = INSIDE(state->means),
                                  .momentum = INSIDE(state->momentum)};
    inner->ops->rmsprop_step(inner, INSIDE(params), &inside, INSIDE(grads), n, how);
}

static void adam_coded_step(llm_backend_t *be, float *params, const llm_coded_moments_t *moments,
                            const float *grads, size_t n, const llm_adam_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    fence_outside(moments, __func__, "moments");
    llm_coded_moments_t inside = {.m = INSIDE(moments->m),
                                  .v = INSIDE(moments->v),
                                  .m_scales = INSIDE(moments->m_scales),
                                  .v_scales = INSIDE(moments->v_scales)};
    inner->ops->adam_coded_step(inner, INSIDE(params), &inside, INSIDE(grads), n, how);
}

static void square_means(llm_backend_t *be, float *rows, float *columns, const float *x, size_t M,
                         size_t N, const llm_square_means_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    inner->ops->square_means(inner, INSIDE(rows), INSIDE(columns), INSIDE(x), M, N, how);
}

static void factored_step(llm_backend_t *be, float *update, const float *rows, const float *columns,
                          const float *x, size_t M, size_t N, const llm_factored_t *how)
{
    llm_backend_t *inner = fence_inner(be);
    fence_outside(how, __func__, "how");
    inner->ops->factored_step(inner, INSIDE(update), INSIDE(rows), INSIDE(columns), INSIDE(x), M, N,
                              how);
}

void fence_fill_vectors(llm_ops_t *ops)
{
    ops->add = add;
    ops->add_product = add_product;
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
