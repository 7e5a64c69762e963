/*
 * kernels/bend.h - scores of attention with a window, a soft cap or slopes; see
 * llm_cpu_bend_t.  Formulas are derived in reference/attention.c.  Included by the
 * isa_*.c and half_*.c files only.
 */
#ifndef LLM_BACKEND_CPU_KERNELS_BEND_H
#define LLM_BACKEND_CPU_KERNELS_BEND_H

#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/kernels/functions.h"

/* Whole registers are stored without a mask: what is stored with one has to
 * reach the cache before the softmax may read it. */
INLINE void store_some(float *to, vf v, size_t n)
{
    if (n == LANES)
        v_store(to, v);
    else
        v_store_n(to, v, n);
}

/* Key j of a row lies at (j / WIDTH) block + j % WIDTH. */
INLINE void bend_range(float *s, float *dp, size_t block, size_t count, const llm_cpu_bend_t *how,
                       bool capped)
{
    vf lane;
    for (size_t i = 0; i < LANES; i++)
        lane[i] = (float)i;
    for (size_t j = 0; j < count; j += LANES) {
        size_t n = up_to_lanes(count - j), at = j / WIDTH * block + j % WIDTH;
        vf x = v_load_n(s + at, n) * how->scale, t = v_set(0);
        vf keys = lane + (float)j;
        if (capped) {
            t = v_tanh(x / how->cap);
            x = t * how->cap;
        }
        x += how->slope * (keys - (float)how->query);
        store_some(s + at, v_select(keys < v_set((float)how->hidden), v_set(-INFINITY), x), n);
        if (dp) {
            vf d = how->factor * (v_load_n(dp + at, n) - how->delta);
            store_some(dp + at, capped ? d * (1.0f - t * t) : d, n);
        }
    }
}

static void bend(float *s, float *dp, size_t block, size_t count, const llm_cpu_bend_t *how)
{
    if (how->cap > 0)
        bend_range(s, dp, block, count, how, true);
    else
        bend_range(s, dp, block, count, how, false);
}

#endif
