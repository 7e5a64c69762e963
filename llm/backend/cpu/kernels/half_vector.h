/*
 * kernels/half_vector.h - registers of floats from and to BF16 memory.
 *
 * A BF16 is the upper half of a float, so widening is a shift; narrowing is the
 * rule of base/half.h on whole registers.  Words are pairs: the element with
 * the lower index in the lower half.  Included by the half_*.c files only.
 */
#ifndef LLM_BACKEND_CPU_HALF_VECTOR_H
#define LLM_BACKEND_CPU_HALF_VECTOR_H

#include "llm/backend/cpu/kernels/vector.h"

typedef uint16_t vh __attribute__((vector_size(LANES * 2)));
typedef uint16_t vh_anywhere __attribute__((vector_size(LANES * 2), aligned(1), may_alias));
typedef uint32_t vw_anywhere __attribute__((vector_size(LANES * 4), aligned(1), may_alias));

#define UPPER_HALF 0xffff0000u

/* Each of LANES halves in a word of its own. */
INLINE vw v_words_of(vh halves)
{
#if defined(__AVX512F__)
    return (vw)_mm512_cvtepu16_epi32((__m256i)halves);
#elif defined(__AVX2__)
    return (vw)_mm256_cvtepu16_epi32((__m128i)halves);
#else
    return __builtin_convertvector(halves, vw);
#endif
}

INLINE vh v_load_halves(const uint16_t *p)
{
    return *(const vh_anywhere *)p;
}

/* The first n of LANES; the others are 0 and their memory is not touched. */
INLINE vh v_load_halves_n(const uint16_t *p, size_t n)
{
#if defined(__AVX512F__)
    return (vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
#else
    if (n == LANES)
        return v_load_halves(p);
    uint16_t lanes[LANES] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return v_load_halves(lanes);
#endif
}

INLINE vf v_widen(const uint16_t *p)
{
    return (vf)(v_words_of(v_load_halves(p)) << 16);
}

INLINE vf v_widen_n(const uint16_t *p, size_t n)
{
    return (vf)(v_words_of(v_load_halves_n(p, n)) << 16);
}

/* The rounded value in the upper half of each word; the lower is to be cut off. */
INLINE vw v_rounded(vf x)
{
    vw bits = (vw)x;
    vw nearest = bits + 0x7fffu + (bits >> 16 & 1u);
    return (vw)v_select(x == x, (vf)nearest, (vf)(bits | 0x400000u));
}

/* The lower halves of words. */
INLINE vh v_halves_of(vw words)
{
#if defined(__AVX512F__)
    return (vh)_mm512_cvtepi32_epi16((__m512i)words);
#elif defined(__AVX2__)
    __m256i packed = _mm256_packus_epi32((__m256i)words, (__m256i)words);
    return (vh)_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 8));
#else
    return __builtin_convertvector(words, vh);
#endif
}

INLINE void v_store_halves_n(uint16_t *p, vh halves, size_t n)
{
#if defined(__AVX512F__)
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)halves);
#else
    if (n == LANES)
        *(vh_anywhere *)p = halves;
    else
        memcpy(p, &halves, n * sizeof *p);
#endif
}

INLINE void v_narrow_n(uint16_t *p, vf x, size_t n)
{
    v_store_halves_n(p, v_halves_of(v_rounded(x) >> 16), n);
}

INLINE void v_narrow(uint16_t *p, vf x)
{
    *(vh_anywhere *)p = v_halves_of(v_rounded(x) >> 16);
}

/* Pairs of two rounded registers: low below, high above. */
INLINE vw v_pairs(vf low, vf high)
{
    return v_rounded(low) >> 16 | (v_rounded(high) & UPPER_HALF);
}

/* Pairs of two rows of halves. */
INLINE vw v_join_halves(vh low, vh high)
{
    return v_words_of(low) | v_words_of(high) << 16;
}

INLINE vw v_load_words(const void *p)
{
    return *(const vw_anywhere *)p;
}

INLINE void v_store_words(void *p, vw words)
{
    *(vw_anywhere *)p = words;
}

#endif
