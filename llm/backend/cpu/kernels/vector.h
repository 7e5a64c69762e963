/*
 * kernels/vector.h - one register of floats, whatever the machine.
 *
 * Included by the isa_*.c files only: LANES floats make a vf, LANES integers
 * a vi, by the instruction set that the including file is compiled for.  The
 * kernels are written once, in these words.  Nothing here allocates, branches
 * on the machine or depends on alignment.
 *
 * What is computed does not depend on LANES: elements are rounded as IEEE 754
 * says, v_fma() once, and sums run in SUM_LANES lanes on every machine, in as
 * many registers as that takes.  So every instruction set gives the same bytes.
 */
#ifndef LLM_BACKEND_CPU_VECTOR_H
#define LLM_BACKEND_CPU_VECTOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES     16
#define TILE_ROWS 14 /* 14 x 2 sums, 2 of B, 1 of A: 31 of 32 registers */
#elif defined(__AVX2__)
#define LANES     8
#define TILE_ROWS 6 /* 6 x 2 sums, 2 of B, 1 of A: 15 of 16 registers */
#else
#define LANES     4
#define TILE_ROWS 4
#endif
#define WIDTH     (2 * LANES) /* of a panel */
#define SUM_LANES 16          /* element i of a sum is added to lane i % SUM_LANES */
#define PARTS     (SUM_LANES / LANES)

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));
typedef uint32_t vw __attribute__((vector_size(LANES * 4)));
typedef uint64_t vu __attribute__((vector_size(LANES * 4)));
typedef float vf_anywhere __attribute__((vector_size(LANES * 4), aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE size_t up_to_lanes(size_t n)
{
    return n < LANES ? n : LANES;
}

INLINE vf v_load(const float *p)
{
    return *(const vf_anywhere *)p;
}

INLINE void v_store(float *p, vf v)
{
    *(vf_anywhere *)p = v;
}

INLINE vf v_set(float x)
{
#if defined(__AVX512F__)
    return (vf)_mm512_set1_ps(x);
#elif defined(__AVX2__)
    return (vf)_mm256_set1_ps(x);
#else
    return (vf){x, x, x, x};
#endif
}

/* The first n of LANES; the others are 0 and their memory is not touched. */
INLINE vf v_load_n(const float *p, size_t n)
{
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    if (n == LANES)
        return v_load(p);
    float lanes[LANES] = {0};
    memcpy(lanes, p, n * sizeof(float));
    return v_load(lanes);
#endif
}

INLINE void v_store_n(float *p, vf v, size_t n)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    if (n == LANES) {
        v_store(p, v);
        return;
    }
    float lanes[LANES];
    v_store(lanes, v);
    memcpy(p, lanes, n * sizeof(float));
#endif
}

#include "llm/backend/cpu/kernels/fused.h"

/* mask is all ones or all zeros per lane, as a comparison gives it. */
INLINE vf v_select(vi mask, vf yes, vf no)
{
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* The larger; b where either is NaN. */
INLINE vf v_max(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return v_select(a > b, a, b);
#endif
}

/* The smaller; b where either is NaN. */
INLINE vf v_min(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return v_select(a < b, a, b);
#endif
}

INLINE vf v_sqrt(vf a)
{
#if defined(__AVX512F__)
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined(__AVX2__)
    return (vf)_mm256_sqrt_ps((__m256)a);
#else
    for (size_t i = 0; i < LANES; i++)
        a[i] = sqrtf(a[i]);
    return a;
#endif
}

/* The sum of the SUM_LANES lanes, in a fixed tree: halves onto halves.  It is
 * never -0, so lanes that hold nothing but zeros do not show. */
INLINE float v_sum(const vf parts[PARTS])
{
    vf v = parts[0];
#if LANES == 16
    v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    v += __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
#elif LANES == 8
    v += parts[1];
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
    v += __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
#else
    v = (v + parts[2]) + (parts[1] + parts[3]);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1);
    v += __builtin_shufflevector(v, v, 1, 0, 3, 2);
#endif
    return v[0] + 0.0f;
}

/* The largest of the SUM_LANES lanes; NaN only where lane 0 is. */
INLINE float v_largest(const vf parts[PARTS])
{
    float lanes[SUM_LANES];
    for (size_t p = 0; p < PARTS; p++)
        v_store(lanes + p * LANES, parts[p]);
    float largest = lanes[0];
    for (size_t i = 1; i < SUM_LANES; i++)
        largest = lanes[i] > largest ? lanes[i] : largest;
    return largest;
}

/* Bit i is set where lane i of the mask is; and the other way round. */
INLINE uint32_t v_bits(vi mask)
{
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)mask);
#elif defined(__AVX2__)
    return (uint32_t)_mm256_movemask_ps((__m256)mask);
#else
    uint32_t bits = 0;
    for (uint32_t i = 0; i < LANES; i++)
        bits |= mask[i] ? 1u << i : 0u;
    return bits;
#endif
}

INLINE vi v_of_bits(uint32_t bits)
{
    vw lane;
    for (uint32_t i = 0; i < LANES; i++)
        lane[i] = 1u << i;
    return (((vw){0} + bits) & lane) != (vw){0};
}

/* All ones in lanes 0 .. n - 1. */
INLINE vi v_first(size_t n)
{
    vi lane;
    for (int32_t i = 0; i < LANES; i++)
        lane[i] = i;
    return lane < (vi){0} + (int32_t)n;
}

/* The 64-bit products of the low halves of a's lanes with factor. */
INLINE vu v_multiply_low(vu a, uint32_t factor)
{
#if defined(__AVX512F__)
    return (vu)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(factor));
#elif defined(__AVX2__)
    return (vu)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(factor));
#else
    return (a & UINT32_MAX) * (uint64_t)factor;
#endif
}

#if LANES == 16
#define LOW_PAIRS   0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_PAIRS  4, 12, 5, 13, 6, 14, 7, 15
#define LOW_HALVES  0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define LOW_PAIRS   0, 4, 1, 5
#define HIGH_PAIRS  2, 6, 3, 7
#define LOW_HALVES  0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW_PAIRS   0, 2
#define HIGH_PAIRS  1, 3
#define LOW_HALVES  0, 4, 1, 5
#define HIGH_HALVES 2, 6, 3, 7
#endif

/* Transposes LANES registers: interleaving register i with i + LANES / 2 is a
 * perfect shuffle of all elements, and log2(LANES) of those exchange the two
 * halves of an element's index. */
INLINE void v_transpose(vf v[LANES])
{
    vf t[LANES];
#pragma GCC unroll 4
    for (size_t stage = 1; stage < LANES; stage *= 2) {
#pragma GCC unroll 8
        for (size_t i = 0; i < LANES / 2; i++) {
            t[2 * i] = __builtin_shufflevector(v[i], v[i + LANES / 2], LOW_HALVES);
            t[2 * i + 1] = __builtin_shufflevector(v[i], v[i + LANES / 2], HIGH_HALVES);
        }
#pragma GCC unroll 16
        for (size_t i = 0; i < LANES; i++)
            v[i] = t[i];
    }
}

#endif
