/*
 * moments.c - the steps of further optimizers: Adagrad, RMSprop, Adam with moments of
 * 8 bits, and what Adafactor is made of.
 *
 * Order of operations follows torch 2.x's single-tensor paths.
 */
#include <math.h>

#include "llm/backend/constants.h"
#include "llm/backend/dynamic_map.h"
#include "llm/backend/reference/reference.h"

/* torch.optim.Adagrad:
 *   g += decay p;  s += g^2;  p -= lr g / (sqrt(s) + eps) */
static void adagrad_step(llm_backend_t *be, float *params, float *sums, const float *grads,
                         size_t n, const llm_adagrad_t *how)
{
    (void)be;
    for (size_t i = 0; i < n; i++) {
        float g = grads[i] + how->weight_decay * params[i];
        sums[i] += g * g;
        params[i] -= how->lr * (g / (sqrtf(sums[i]) + how->eps));
    }
}

/* torch.optim.RMSprop:
 *   g += decay p;  s = alpha s + (1 - alpha) g^2
 *   centered: a = alpha a + (1 - alpha) g, and s - a^2, not below 0, for s
 *   g /= sqrt(s) + eps;  momentum: b = momentum b + g, g = b;  p -= lr g */
static void rmsprop_step(llm_backend_t *be, float *params, const llm_rmsprop_state_t *state,
                         const float *grads, size_t n, const llm_rmsprop_t *how)
{
    (void)be;
    for (size_t i = 0; i < n; i++) {
        float g = grads[i] + how->weight_decay * params[i];
        float s = how->alpha * state->squares[i] + how->one_minus_alpha * (g * g);
        state->squares[i] = s;
        if (state->means) {
            float a = how->alpha * state->means[i] + how->one_minus_alpha * g;
            state->means[i] = a;
            s -= a * a;
            s = s > 0 ? s : 0;
        }
        g = g / (sqrtf(s) + how->eps);
        if (state->momentum) {
            g = how->momentum * state->momentum[i] + g;
            state->momentum[i] = g;
        }
        params[i] -= how->lr * g;
    }
}

/* The codes of x, of which the largest magnitude is scale. */
static void encode(uint8_t *codes, const float *x, float scale, size_t n, const float *values)
{
    for (size_t i = 0; i < n; i++)
        codes[i] = llm_dynamic_code(values, scale > 0 ? x[i] / scale : 0);
}

static float largest_of(const float *x, size_t n)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    return largest;
}

/* Adam's step with the moments that the codes stand for; what it makes of them is
 * rounded to codes behind it. */
static void adam_coded_step(llm_backend_t *be, float *params, const llm_coded_moments_t *moments,
                            const float *grads, size_t n, const llm_adam_t *how)
{
    llm_dynamic_map_t signed_map, unsigned_map;
    llm_dynamic_map(&signed_map, true);
    llm_dynamic_map(&unsigned_map, false);
    for (size_t at = 0, block = 0; at < n; at += LLM_CODED_BLOCK, block++) {
        size_t count = n - at < LLM_CODED_BLOCK ? n - at : LLM_CODED_BLOCK;
        float m[LLM_CODED_BLOCK], v[LLM_CODED_BLOCK];
        for (size_t i = 0; i < count; i++) {
            m[i] = signed_map.values[moments->m[at + i]] * moments->m_scales[block];
            v[i] = unsigned_map.values[moments->v[at + i]] * moments->v_scales[block];
        }
        be->ops->adam_step(be, params + at, m, v, NULL, grads + at, count, how);
        moments->m_scales[block] = largest_of(m, count);
        moments->v_scales[block] = largest_of(v, count);
        encode(moments->m + at, m, moments->m_scales[block], count, signed_map.values);
        encode(moments->v + at, v, moments->v_scales[block], count, unsigned_map.values);
    }
}

static void follow(float *mean, double value, const llm_square_means_t *how)
{
    *mean = how->keep * *mean + how->share * (float)(value + (double)how->eps);
}

static void square_means(llm_backend_t *be, float *rows, float *columns, const float *x, size_t M,
                         size_t N, const llm_square_means_t *how)
{
    (void)be;
    if (!columns) {
        for (size_t i = 0; i < M * N; i++)
            follow(&rows[i], (double)x[i] * (double)x[i], how);
        return;
    }
    for (size_t m = 0; m < M; m++) {
        double sum = 0;
        for (size_t i = 0; i < N; i++)
            sum += (double)x[m * N + i] * (double)x[m * N + i];
        follow(&rows[m], sum / (double)N, how);
    }
    for (size_t i = 0; i < N; i++) {
        double sum = 0;
        for (size_t m = 0; m < M; m++)
            sum += (double)x[m * N + i] * (double)x[m * N + i];
        follow(&columns[i], sum / (double)M, how);
    }
}

static void factored_step(llm_backend_t *be, float *update, const float *rows, const float *columns,
                          const float *x, size_t M, size_t N, const llm_factored_t *how)
{
    (void)be;
    for (size_t m = 0; m < M; m++)
        for (size_t i = 0; i < N; i++) {
            size_t at = m * N + i;
            float root = columns ? sqrtf(rows[m] / how->mean) * sqrtf(columns[i]) : sqrtf(rows[at]);
            update[at] = x[at] / (root > how->least ? root : how->least);
        }
}

void llm_reference_moments(llm_ops_t *ops)
{
    ops->adagrad_step = adagrad_step;
    ops->rmsprop_step = rmsprop_step;
    ops->adam_coded_step = adam_coded_step;
    ops->square_means = square_means;
    ops->factored_step = factored_step;
}
