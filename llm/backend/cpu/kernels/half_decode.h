/*
 * kernels/half_decode.h - attention of one new token in BF16: a stretch of keys
 * and values against the queries that share them, and the stretches put
 * together.  Formulas are derived in reference/attention.c.  Included by the
 * half_*.c files only.
 */
#ifndef LLM_BACKEND_CPU_HALF_DECODE_H
#define LLM_BACKEND_CPU_HALF_DECODE_H

#include "llm/backend/cpu/half_kernels.h"
#include "llm/backend/cpu/kernels/bend.h"
#include "llm/backend/cpu/kernels/functions.h"
#include "llm/backend/cpu/kernels/half_rows.h"
#include "llm/backend/cpu/kernels/half_vector.h"

#define KEYS    LLM_HALF_KEYS
#define VECTORS 4 /* channels that stay in registers, and queries beside each other */
#if LANES == 16
#define QUERIES_AT_ONCE 4
#else
#define QUERIES_AT_ONCE 1
#endif

/* Sums, lane by lane, of the products of q and a key. */
INLINE vf key_products(const uint16_t *q, const uint16_t *k, const size_t D)
{
    vf sums = v_set(0);
#if defined(__AVX512BF16__)
#pragma GCC unroll 4
    for (size_t d = 0; d < D; d += 32) {
        __mmask32 some = D - d < 32 ? (1u << (D - d)) - 1 : UINT32_MAX;
        __m512bh x = (__m512bh)_mm512_maskz_loadu_epi16(some, q + d);
        __m512bh y = (__m512bh)_mm512_maskz_loadu_epi16(some, k + d);
        sums = (vf)_mm512_dpbf16_ps((__m512)sums, x, y);
    }
#else
    for (size_t d = 0; d < D; d += LANES) {
        size_t n = up_to_lanes(D - d);
        sums = v_fma(v_widen_n(q + d, n), v_widen_n(k + d, n), sums);
    }
#endif
    return sums;
}

/* Halves of two registers, or of each half of them and so on, side by side and
 * added: LOW_ and HIGH_ name the lanes whose index has the stage's bit clear
 * and set. */
#if LANES == 16
#define LOW_8  0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define LOW_4  0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define HIGH_4 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#define LOW_2  0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29
#define HIGH_2 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31
#define LOW_1  0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define HIGH_1 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif LANES == 8
#define LOW_4  0, 1, 2, 3, 8, 9, 10, 11
#define HIGH_4 4, 5, 6, 7, 12, 13, 14, 15
#define LOW_2  0, 1, 4, 5, 8, 9, 12, 13
#define HIGH_2 2, 3, 6, 7, 10, 11, 14, 15
#define LOW_1  0, 2, 4, 6, 8, 10, 12, 14
#define HIGH_1 1, 3, 5, 7, 9, 11, 13, 15
#else
#define LOW_2  0, 1, 4, 5
#define HIGH_2 2, 3, 6, 7
#define LOW_1  0, 2, 4, 6
#define HIGH_1 1, 3, 5, 7
#endif
#define FOLD(a, b, low, high)                                                                      \
    (__builtin_shufflevector(a, b, low) + __builtin_shufflevector(a, b, high))

/* Lane i of the result is the sum of the lanes of v[i]: halves onto halves. */
INLINE vf v_sums(vf v[LANES])
{
#if LANES == 16
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++)
        v[i] = FOLD(v[2 * i], v[2 * i + 1], LOW_8, HIGH_8);
#endif
#if LANES >= 8
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        v[i] = FOLD(v[2 * i], v[2 * i + 1], LOW_4, HIGH_4);
#endif
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++)
        v[i] = FOLD(v[2 * i], v[2 * i + 1], LOW_2, HIGH_2);
    return FOLD(v[0], v[1], LOW_1, HIGH_1);
}

/* Dots of a query and every key of the stretch. */
INLINE void key_dots(float *out, const uint16_t *q, const llm_cpu_attend_t *a, const size_t D)
{
    size_t j = 0;
    for (; j + LANES <= a->count; j += LANES) {
        vf sums[LANES];
#pragma GCC unroll 16
        for (size_t i = 0; i < LANES; i++) {
            llm_half_ask_for(a->k + (j + i + KEYS) * a->ld, D);
            sums[i] = key_products(q, a->k + (j + i) * a->ld, D);
        }
        v_store(out + j, v_sums(sums));
    }
    for (; j < a->count; j++)
        out[j] = sum_of_lanes(key_products(q, a->k + j * a->ld, D));
}

/* Scores become exp(score - the largest); of -inf alone, 0. */
static void exponentials(float *scores, size_t count, float scale, float *most, float *mass)
{
    vf best = v_set(-INFINITY);
    vf sums = v_set(0);
    for (size_t j = 0; j < count; j += LANES) {
        size_t n = up_to_lanes(count - j);
        vf x = v_load_n(scores + j, n) * scale;
        best = v_max(n < LANES ? v_select(v_first(n), x, v_set(-INFINITY)) : x, best);
    }
    float largest = largest_of_lanes(best);
    float bound = largest == -INFINITY ? 0.0f : largest;
    for (size_t j = 0; j < count; j += LANES) {
        size_t n = up_to_lanes(count - j);
        vf e = v_exp(v_load_n(scores + j, n) * scale - bound);
        sums += n < LANES ? v_select(v_first(n), e, v_set(0)) : e;
        v_store_n(scores + j, e, n);
    }
    *most = largest;
    *mass = sum_of_lanes(sums);
}

/* Channels d .. of the sums of values, for some of the queries; n of the last
 * register's lanes are there. */
INLINE void weigh(const llm_cpu_attend_t *a, float (*weights)[KEYS], size_t first, size_t d,
                  const size_t queries, const size_t vectors, size_t n)
{
    vf sums[QUERIES_AT_ONCE][VECTORS];
#pragma GCC unroll 4
    for (size_t h = 0; h < queries; h++)
#pragma GCC unroll 4
        for (size_t i = 0; i < vectors; i++)
            sums[h][i] = v_set(0);
    for (size_t j = 0; j < a->count; j++) {
        const uint16_t *row = a->v + j * a->ld + d;
        llm_half_ask_for(row + KEYS * a->ld, vectors * LANES);
#pragma GCC unroll 4
        for (size_t i = 0; i < vectors; i++) {
            vf value = n < LANES ? v_widen_n(row, n) : v_widen(row + i * LANES);
#pragma GCC unroll 4
            for (size_t h = 0; h < queries; h++)
                sums[h][i] = v_fma(v_set(weights[h][j]), value, sums[h][i]);
        }
    }
#pragma GCC unroll 4
    for (size_t h = 0; h < queries; h++)
#pragma GCC unroll 4
        for (size_t i = 0; i < vectors; i++)
            v_store_n(a->sums + (first + h) * a->D + d + i * LANES, sums[h][i], n);
}

INLINE void weigh_queries(const llm_cpu_attend_t *a, float (*weights)[KEYS], size_t first,
                          const size_t queries)
{
    size_t d = 0;
    for (; d + VECTORS * LANES <= a->D; d += VECTORS * LANES)
        weigh(a, weights, first, d, queries, VECTORS, LANES);
    for (; d + LANES <= a->D; d += LANES)
        weigh(a, weights, first, d, queries, 1, LANES);
    if (d < a->D)
        weigh(a, weights, first, d, queries, 1, a->D - d);
}

static void attend(const llm_cpu_attend_t *a)
{
    float weights[QUERIES_AT_ONCE][KEYS];
    for (size_t first = 0; first < a->queries; first += QUERIES_AT_ONCE) {
        size_t left = a->queries - first;
        size_t queries = left < QUERIES_AT_ONCE ? left : QUERIES_AT_ONCE;
        for (size_t h = 0; h < queries; h++) {
            const uint16_t *q = a->q + (first + h) * a->D;
            if (a->D == 64)
                key_dots(weights[h], q, a, 64);
            else if (a->D == 128)
                key_dots(weights[h], q, a, 128);
            else
                key_dots(weights[h], q, a, a->D);
            bool bent = a->cap > 0 || a->slopes;
            llm_cpu_bend_t how = {.scale = a->scale, .cap = a->cap, .query = a->query};
            how.slope = a->slopes ? a->slopes[first + h] : 0;
            if (bent)
                bend(weights[h], NULL, WIDTH, a->count, &how);
            exponentials(weights[h], a->count, bent ? 1.0f : a->scale,
                         &a->most[(first + h) * a->step], &a->mass[(first + h) * a->step]);
        }
#if QUERIES_AT_ONCE > 1
        if (queries == 4)
            weigh_queries(a, weights, first, 4);
        else if (queries == 3)
            weigh_queries(a, weights, first, 3);
        else if (queries == 2)
            weigh_queries(a, weights, first, 2);
        else
#endif
            weigh_queries(a, weights, first, 1);
    }
}

/* The parts' shares of the whole: what their exponentials were divided by, over
 * the sum of all. */
static void shares_of(float *most, const float *mass, size_t parts)
{
    float largest = most[0];
    for (size_t p = 1; p < parts; p++)
        largest = most[p] > largest ? most[p] : largest;
    for (size_t p = 0; p < parts; p += LANES) {
        size_t n = up_to_lanes(parts - p);
        v_store_n(most + p, v_exp(v_load_n(most + p, n) - largest), n);
    }
    float whole = 0;
    for (size_t p = 0; p < parts; p++)
        whole += most[p] * mass[p];
    for (size_t p = 0; p < parts; p++)
        most[p] /= whole;
}

static void put_together(uint16_t *out, const float *sums, size_t ld, float *most,
                         const float *mass, size_t parts, size_t D)
{
    shares_of(most, mass, parts);
    for (size_t d = 0; d < D; d += LANES) {
        size_t n = up_to_lanes(D - d);
        vf all = v_set(0);
        for (size_t p = 0; p < parts; p++)
            all = v_fma(v_set(most[p]), v_load_n(sums + p * ld + d, n), all);
        v_narrow_n(out + d, all, n);
    }
}

#endif
