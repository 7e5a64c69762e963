/*
 * activation.c - GELU in both forms and SwiGLU, each with its gradient.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

#define SQRT_2_OVER_PI 0.79788456080286535588
#define SQRT_HALF      0.70710678118654752440
#define INV_SQRT_2PI   0.39894228040143267794
#define GELU_CUBIC     0.044715

/* tanh form: x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).
 * exact form: x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2. */
static void gelu_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, size_t n,
                         bool exact)
{
    for (size_t i = 0; i < n; i++) {
        double a = llm_reference_get(be, x, i);
        double inner =
            exact ? erf(a * SQRT_HALF) : tanh(SQRT_2_OVER_PI * (a + GELU_CUBIC * a * a * a));
        llm_reference_put(be, out, i, 0.5 * a * (1.0 + inner));
    }
}

/* tanh form: d = (1 + tanh u)/2 + x/2 (1 - tanh^2 u) u',
 *            u' = sqrt(2/pi) (1 + 3 0.044715 x^2).
 * exact form: d = Phi(x) + x phi(x), phi(x) = exp(-x^2/2) / sqrt(2 pi). */
static void gelu_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                          const llm_act_t *x, size_t n, bool exact)
{
    for (size_t i = 0; i < n; i++) {
        double a = llm_reference_get(be, x, i);
        double slope;
        if (exact) {
            slope = 0.5 * (1.0 + erf(a * SQRT_HALF)) + a * INV_SQRT_2PI * exp(-0.5 * a * a);
        } else {
            double t = tanh(SQRT_2_OVER_PI * (a + GELU_CUBIC * a * a * a));
            double du = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * a * a);
            slope = 0.5 * (1.0 + t) + 0.5 * a * (1.0 - t * t) * du;
        }
        llm_reference_put(be, dx, i, llm_reference_get(be, dout, i) * slope);
    }
}

/* silu(g) = g sigma(g). */
static void swiglu_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *gate,
                           const llm_act_t *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double g = llm_reference_get(be, gate, i);
        llm_reference_put(be, out, i, g / (1.0 + exp(-g)) * llm_reference_get(be, up, i));
    }
}

/* silu'(g) = sigma (1 + g (1 - sigma));  dgate = dout up silu'(gate),
 * dup = dout silu(gate). */
static void swiglu_backward(llm_backend_t *be, llm_act_t *dgate, llm_act_t *dup,
                            const llm_act_t *dout, const llm_act_t *gate, const llm_act_t *up,
                            size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double g = llm_reference_get(be, gate, i);
        double u = llm_reference_get(be, up, i);
        double d = llm_reference_get(be, dout, i);
        double sigma = 1.0 / (1.0 + exp(-g));
        llm_reference_put(be, dgate, i, d * u * sigma * (1.0 + g * (1.0 - sigma)));
        llm_reference_put(be, dup, i, d * g * sigma);
    }
}

void llm_reference_activation(llm_ops_t *ops)
{
    ops->gelu_forward = gelu_forward;
    ops->gelu_backward = gelu_backward;
    ops->swiglu_forward = swiglu_forward;
    ops->swiglu_backward = swiglu_backward;
}
