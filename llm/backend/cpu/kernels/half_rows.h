/*
 * kernels/half_rows.h - conversions, and the softmax of attention on its way
 * into pairs.  Formulas are derived in reference/attention.c.  Included by the
 * half_*.c files only.
 */
#ifndef LLM_BACKEND_CPU_HALF_ROWS_H
#define LLM_BACKEND_CPU_HALF_ROWS_H

#include "llm/backend/cpu/half_kernels.h"
#include "llm/backend/cpu/kernels/functions.h"
#include "llm/backend/cpu/kernels/half_vector.h"

static void widen(float *to, const uint16_t *from, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, v_widen(from + i));
    if (i < n)
        v_store_n(to + i, v_widen_n(from + i, n - i), n - i);
}

static void narrow(uint16_t *to, const float *from, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_narrow(to + i, v_load(from + i));
    if (i < n)
        v_narrow_n(to + i, v_load_n(from + i, n - i), n - i);
}

INLINE float sum_of_lanes(vf v)
{
    vf parts[PARTS] = {v};
    return v_sum(parts);
}

INLINE float largest_of_lanes(vf v)
{
    vf parts[PARTS];
    for (size_t i = 0; i < PARTS; i++)
        parts[i] = v;
    return v_largest(parts);
}

/* Probabilities are in [0, 1] or NaN; the machine's own rounding serves them. */
INLINE vh v_halves_rounded(vf x)
{
#if defined(__AVX512BF16__)
    return (vh)_mm512_cvtneps_pbh((__m512)x);
#else
    return v_halves_of(v_rounded(x) >> 16);
#endif
}

/* Keys j of a row lie at (j / WIDTH) block + j % WIDTH. */
INLINE const float *key(const float *row, size_t block, size_t j)
{
    return row + j / WIDTH * block + j % WIDTH;
}

static float softmax_row(uint16_t *p, const float *s, size_t block, size_t count, size_t limit,
                         float scale, float *sum)
{
    vf best = v_set(-INFINITY);
    vf sums = v_set(0);
    for (size_t j = 0; j < count; j += LANES) {
        vf x = v_load(key(s, block, j)) * scale;
        size_t n = up_to_lanes(count - j);
        best = v_max(n < LANES ? v_select(v_first(n), x, v_set(-INFINITY)) : x, best);
    }
    float largest = largest_of_lanes(best);
    for (size_t j = 0; j < count; j += LANES) {
        vf e = v_exp(v_load(key(s, block, j)) * scale - largest);
        if (j + LANES > count)
            e = v_select(v_first(count - j), e, v_set(0));
        sums += e;
        *(vh_anywhere *)(p + j) = v_halves_rounded(e);
    }
    size_t end = (count + LANES - 1) / LANES * LANES;
    if (end < limit + limit % 2)
        memset(p + end, 0, (limit + limit % 2 - end) * sizeof *p);
    *sum = sum_of_lanes(sums);
    return largest;
}

/* p and ds of LANES keys of one of the two queries. */
INLINE void score_gradient(vf out[2], const llm_cpu_score_pair_t *t, size_t query, size_t j)
{
    if (j >= t->count[query]) {
        out[0] = out[1] = v_set(0);
        return;
    }
    size_t at = query * WIDTH;
    vf p = v_exp(v_load(key(t->s, t->block, j) + at) * t->scale - t->lse[query]);
    vf ds = t->scale * p * (v_load(key(t->dp, t->block, j) + at) - t->delta[query]);
    size_t n = t->count[query] - j;
    out[0] = n < LANES ? v_select(v_first(n), p, v_set(0)) : p;
    out[1] = n < LANES ? v_select(v_first(n), ds, v_set(0)) : ds;
}

static void softmax_dx(const llm_cpu_score_pair_t *t)
{
    size_t end = (t->limit + WIDTH - 1) / WIDTH * WIDTH;
    for (size_t j = 0; j < end; j += LANES) {
        vf first[2], second[2];
        score_gradient(first, t, 0, j);
        score_gradient(second, t, 1, j);
        size_t at = j / WIDTH * t->pair_block + 2 * (j % WIDTH);
        v_store_words(t->p_pairs + at,
                      v_join_halves(v_halves_rounded(first[0]), v_halves_rounded(second[0])));
        vh low = v_halves_rounded(first[1]), high = v_halves_rounded(second[1]);
        v_store_words(t->ds_pairs + at, v_join_halves(low, high));
        *(vh_anywhere *)(t->ds_rows[0] + j) = low;
        *(vh_anywhere *)(t->ds_rows[1] + j) = high;
    }
}

static float dot(const uint16_t *a, const uint16_t *b, size_t n)
{
    vf sums = v_set(0);
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        sums = v_fma(v_widen_n(a + i, count), v_widen_n(b + i, count), sums);
    }
    return sum_of_lanes(sums);
}

#endif
