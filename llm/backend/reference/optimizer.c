/*
 * optimizer.c - vectors: sums of two, ways between floats and activations,
 * scaling, sums, and the steps of torch.optim.
 *
 * Order of operations and places of rounding follow torch 2.x's single-tensor
 * paths, so that a state can be compared with Python's to the last bits.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

#include "llm/backend/constants.h"

static void add(llm_backend_t *be, float *y, const float *x, size_t n)
{
    (void)be;
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void add_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        llm_reference_put(be, y, i, llm_reference_get(be, y, i) + llm_reference_get(be, x, i));
}

static void scale_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        llm_reference_put(be, y, i, (double)factor * llm_reference_get(be, x, i));
}

static void widen(llm_backend_t *be, float *to, const llm_act_t *x, size_t n, bool add_to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)llm_reference_get(be, x, i) + (add_to ? to[i] : 0.0f);
}

static void narrow(llm_backend_t *be, llm_act_t *to, const float *x, size_t n, bool add_to)
{
    for (size_t i = 0; i < n; i++)
        llm_reference_put(be, to, i, (double)x[i] + (add_to ? llm_reference_get(be, to, i) : 0.0));
}

static void scale(llm_backend_t *be, float *x, float factor, size_t n)
{
    (void)be;
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

static double sum_squares(llm_backend_t *be, const float *x, size_t n)
{
    (void)be;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static double sum(llm_backend_t *be, const float *x, size_t n)
{
    (void)be;
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += (double)x[i];
    return total;
}

/* torch.optim.Adam and AdamW:
 *   AdamW: p *= 1 - lr decay;  Adam: g += decay p
 *   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *   p -= lr / (1 - beta1^t)  m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 * amsgrad: the largest v so far in v's place */
static void adam_step(llm_backend_t *be, float *params, float *m, float *v, float *greatest,
                      const float *grads, size_t n, const llm_adam_t *how)
{
    (void)be;
    llm_adam_scalars_t s = llm_adam_scalars(how);
    for (size_t i = 0; i < n; i++) {
        float p = params[i] * s.keep;
        float g = grads[i] + s.l2 * params[i];
        m[i] = s.beta1 * m[i] + s.one_minus_beta1 * g;
        v[i] = s.beta2 * v[i] + s.one_minus_beta2 * (g * g);
        float square = v[i];
        if (greatest)
            square = greatest[i] = square > greatest[i] ? square : greatest[i];
        float denominator = sqrtf(square) / s.sqrt_bias2 + s.eps;
        params[i] = p - s.step_size * (m[i] / denominator);
    }
}

/* torch.optim.SGD:
 *   g += decay p;  b = first ? g : momentum b + (1 - dampening) g
 *   nesterov: g += momentum b, else g = b;  p -= lr g */
static void sgd_step(llm_backend_t *be, float *params, float *momentum, const float *grads,
                     size_t n, const llm_sgd_t *how)
{
    (void)be;
    float share = (float)(1.0 - llm_decimal(how->dampening));
    for (size_t i = 0; i < n; i++) {
        float g = grads[i] + how->weight_decay * params[i];
        if (momentum) {
            float b = how->first ? g : how->momentum * momentum[i] + share * g;
            momentum[i] = b;
            g = how->nesterov ? g + how->momentum * b : b;
        }
        params[i] -= how->lr * g;
    }
}

void llm_reference_optimizer(llm_ops_t *ops)
{
    ops->add = add;
    ops->add_act = add_act;
    ops->scale_act = scale_act;
    ops->widen = widen;
    ops->narrow = narrow;
    ops->scale = scale;
    ops->sum_squares = sum_squares;
    ops->sum = sum;
    ops->adam_step = adam_step;
    ops->sgd_step = sgd_step;
}
