/*
 * kernels/optimizers.h - the loops of Adagrad, RMSprop, Adafactor, and Adam with
 * moments of 8 bits.  Formulas are in reference/moments.c.  Included by the isa_*.c
 * files only, behind elements.h.
 */
#ifndef LLM_BACKEND_CPU_OPTIMIZERS_H
#define LLM_BACKEND_CPU_OPTIMIZERS_H

#include "llm/backend/cpu/kernels/elements.h"

static void adagrad(float *params, float *sums, const float *grads, size_t n,
                    const llm_adagrad_t *how)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf p = v_load_n(params + i, count);
        vf g = v_load_n(grads + i, count) + how->weight_decay * p;
        vf s = v_load_n(sums + i, count) + g * g;
        v_store_n(sums + i, s, count);
        v_store_n(params + i, p - how->lr * (g / (v_sqrt(s) + how->eps)), count);
    }
}

static void rmsprop(float *params, const llm_rmsprop_state_t *state, const float *grads, size_t n,
                    const llm_rmsprop_t *how)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf p = v_load_n(params + i, count);
        vf g = v_load_n(grads + i, count) + how->weight_decay * p;
        vf s = how->alpha * v_load_n(state->squares + i, count) + how->one_minus_alpha * (g * g);
        v_store_n(state->squares + i, s, count);
        if (state->means) {
            vf a = how->alpha * v_load_n(state->means + i, count) + how->one_minus_alpha * g;
            v_store_n(state->means + i, a, count);
            s = v_max(s - a * a, v_set(0));
        }
        g = g / (v_sqrt(s) + how->eps);
        if (state->momentum) {
            g = how->momentum * v_load_n(state->momentum + i, count) + g;
            v_store_n(state->momentum + i, g, count);
        }
        v_store_n(params + i, p - how->lr * g, count);
    }
}

static void column_squares(double *sums, const float *x, size_t rows, size_t stride, size_t columns)
{
    for (size_t m = 0; m < rows; m++)
        for (size_t i = 0; i < columns; i++)
            sums[i] += (double)x[m * stride + i] * (double)x[m * stride + i];
}

static void factored(float *update, float row, const float *columns, const float *x, size_t n,
                     const llm_factored_t *how)
{
    vf root = v_sqrt(v_set(row / how->mean));
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf below = v_max(root * v_sqrt(v_load_n(columns + i, count)), v_set(how->least));
        v_store_n(update + i, v_load_n(x + i, count) / below, count);
    }
}

static void over_roots(float *update, const float *squares, const float *x, size_t n,
                       const llm_factored_t *how)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf below = v_max(v_sqrt(v_load_n(squares + i, count)), v_set(how->least));
        v_store_n(update + i, v_load_n(x + i, count) / below, count);
    }
}

static float largest_magnitude(const float *x)
{
    vf most = v_set(0);
    for (size_t i = 0; i < LLM_CODED_BLOCK; i += LANES)
        most = v_max(v_max(v_load(x + i), -v_load(x + i)), most);
    float lanes[LANES], largest = 0;
    v_store(lanes, most);
    for (size_t i = 0; i < LANES; i++)
        largest = lanes[i] > largest ? lanes[i] : largest;
    return largest;
}

/* The search for all elements of a block in step. */
static void put_codes(uint8_t *codes, const float *x, float scale, size_t n, const float *values)
{
    int32_t found[LLM_CODED_BLOCK] = {0};
    float middles[LLM_DYNAMIC_CODES], shares[LLM_CODED_BLOCK];
    for (unsigned i = 0; i + 1 < LLM_DYNAMIC_CODES; i++)
        middles[i] = llm_dynamic_middle(values, i);
    middles[LLM_DYNAMIC_CODES - 1] = 0;
    for (size_t i = 0; i < LLM_CODED_BLOCK; i++)
        shares[i] = x[i] / (scale > 0 ? scale : 1);
    for (int32_t step = LLM_DYNAMIC_CODES / 2; step; step /= 2)
        for (size_t i = 0; i < LLM_CODED_BLOCK; i++)
            found[i] += shares[i] > middles[found[i] + step - 1] ? step : 0;
    for (size_t i = 0; i < n; i++)
        codes[i] = (uint8_t)found[i];
}

/* n is at most a block. */
static void adam_coded(float *params, const llm_coded_moments_t *moments, const float *grads,
                       size_t n, const llm_adam_scalars_t *s, const llm_dynamic_map_t *maps)
{
    float m[LLM_CODED_BLOCK] = {0}, v[LLM_CODED_BLOCK] = {0};
    for (size_t i = 0; i < n; i++) {
        m[i] = maps[0].values[moments->m[i]] * *moments->m_scales;
        v[i] = maps[1].values[moments->v[i]] * *moments->v_scales;
    }
    adam(params, m, v, NULL, grads, n, s);
    *moments->m_scales = largest_magnitude(m);
    *moments->v_scales = largest_magnitude(v);
    put_codes(moments->m, m, *moments->m_scales, n, maps[0].values);
    put_codes(moments->v, v, *moments->v_scales, n, maps[1].values);
}

#endif
