/*
 * activation.c - GELU in both forms, SwiGLU and dropout, each with its
 * gradient.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

#define SQRT_2_OVER_PI 0.79788456080286535588
#define SQRT_HALF      0.70710678118654752440
#define INV_SQRT_2PI   0.39894228040143267794
#define GELU_CUBIC     0.044715

/* tanh form: x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).
 * exact form: x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2. */
static void gelu_forward(llm_backend_t *be, float *out, const float *x, size_t n, bool exact)
{
    (void)be;
    for (size_t i = 0; i < n; i++) {
        double a = (double)x[i];
        double inner =
            exact ? erf(a * SQRT_HALF) : tanh(SQRT_2_OVER_PI * (a + GELU_CUBIC * a * a * a));
        out[i] = (float)(0.5 * a * (1.0 + inner));
    }
}

/* tanh form: d = (1 + tanh u)/2 + x/2 (1 - tanh^2 u) u',
 *            u' = sqrt(2/pi) (1 + 3 0.044715 x^2).
 * exact form: d = Phi(x) + x phi(x), phi(x) = exp(-x^2/2) / sqrt(2 pi). */
static void gelu_backward(llm_backend_t *be, float *dx, const float *dout, const float *x, size_t n,
                          bool exact)
{
    (void)be;
    for (size_t i = 0; i < n; i++) {
        double a = (double)x[i];
        double slope;
        if (exact) {
            slope = 0.5 * (1.0 + erf(a * SQRT_HALF)) + a * INV_SQRT_2PI * exp(-0.5 * a * a);
        } else {
            double t = tanh(SQRT_2_OVER_PI * (a + GELU_CUBIC * a * a * a));
            double du = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * a * a);
            slope = 0.5 * (1.0 + t) + 0.5 * a * (1.0 - t * t) * du;
        }
        dx[i] += (float)((double)dout[i] * slope);
    }
}

/* silu(g) = g sigma(g). */
static void swiglu_forward(llm_backend_t *be, float *out, const float *gate, const float *up,
                           size_t n)
{
    (void)be;
    for (size_t i = 0; i < n; i++) {
        double g = (double)gate[i];
        out[i] = (float)(g / (1.0 + exp(-g)) * (double)up[i]);
    }
}

/* silu'(g) = sigma (1 + g (1 - sigma));  dgate = dout up silu'(gate),
 * dup = dout silu(gate). */
static void swiglu_backward(llm_backend_t *be, float *dgate, float *dup, const float *dout,
                            const float *gate, const float *up, size_t n)
{
    (void)be;
    for (size_t i = 0; i < n; i++) {
        double g = (double)gate[i];
        double u = (double)up[i];
        double sigma = 1.0 / (1.0 + exp(-g));
        dgate[i] = (float)((double)dout[i] * u * sigma * (1.0 + g * (1.0 - sigma)));
        dup[i] = (float)((double)dout[i] * g * sigma);
    }
}

/* Element i is dropped when word i % 4 of block i / 4 of the stream lies below
 * p 2^32.  The mask depends on nothing else, so backward is the same call. */
static void dropout(llm_backend_t *be, float *out, const float *x, size_t n, float p,
                    const fmq_rng_name_t *stream, bool add)
{
    (void)be;
    uint64_t threshold = p > 0 ? (uint64_t)((double)p * 4294967296.0) : 0;
    float keep = p < 1 ? (float)(1.0 / (1.0 - (double)p)) : 0.0f;
    fmq_rng_t rng;
    fmq_rng_init(&rng, stream);
    for (size_t i = 0; i < n; i++) {
        float value = (uint64_t)fmq_rng_u32(&rng) < threshold ? 0.0f : x[i] * keep;
        out[i] = add ? out[i] + value : value;
    }
}

void llm_reference_activation(llm_ops_t *ops)
{
    ops->gelu_forward = gelu_forward;
    ops->gelu_backward = gelu_backward;
    ops->swiglu_forward = swiglu_forward;
    ops->swiglu_backward = swiglu_backward;
    ops->dropout = dropout;
}
