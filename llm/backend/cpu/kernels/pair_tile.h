/*
 * kernels/pair_tile.h - tiles of sums of BF16 pairs in registers, and what
 * surrounds them: packing, storing, turning.  Included by isa_avx512bf16.c only.
 */
#ifndef LLM_BACKEND_CPU_PAIR_TILE_H
#define LLM_BACKEND_CPU_PAIR_TILE_H

#include <immintrin.h>

#include "llm/backend/cpu/pairs.h"

#define INLINE static inline __attribute__((always_inline))
#define WIDTH  LLM_PAIRS_WIDTH
#define BLOCK  LLM_PAIRS_BLOCK

INLINE __m512 sum_pairs(__m512 sum, __m512i a, __m512i b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

/* Of a group that has ended: totals in acc += sums times scales. */
INLINE void close_group(float *acc, __m512 sum[LLM_PAIRS_ROWS][2], const float *scales,
                        const size_t rows, const size_t vectors)
{
#pragma GCC unroll 2
    for (size_t v = 0; v < vectors; v++) {
        __m512 scale = _mm512_loadu_ps(scales + v * 16);
#pragma GCC unroll 14
        for (size_t r = 0; r < rows; r++) {
            float *total = acc + r * WIDTH + v * 16;
            _mm512_storeu_ps(total, _mm512_fmadd_ps(sum[r][v], scale, _mm512_loadu_ps(total)));
            sum[r][v] = _mm512_setzero_ps();
        }
    }
}

INLINE void tile_of(float *acc, const llm_pairs_tile_t *t, const size_t rows, const size_t vectors,
                    const bool scaled)
{
    __m512 sum[LLM_PAIRS_ROWS][2];
    const uint32_t *a = t->a, *b = t->b;
    const float *scales = t->scales;
    size_t blocks = 0;
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++) {
            float *at = acc + r * WIDTH + v * 16;
            sum[r][v] = t->add && !scaled ? _mm512_loadu_ps(at) : _mm512_setzero_ps();
            if (scaled && !t->add)
                _mm512_storeu_ps(at, _mm512_setzero_ps());
        }
    for (size_t first = 0; first < t->pairs; first += BLOCK) {
        size_t count = t->pairs - first < BLOCK ? t->pairs - first : BLOCK;
        const uint32_t *next = a + t->a_stride;
        for (size_t k = 0; k < count; k++) {
            __m512i b0 = _mm512_loadu_si512(b);
            __m512i b1 = vectors > 1 ? _mm512_loadu_si512(b + 16) : b0;
            if (k < rows)
                __builtin_prefetch(next + k * BLOCK);
            __builtin_prefetch(b + 8 * WIDTH);
            __builtin_prefetch(b + 8 * WIDTH + 16);
            b += WIDTH;
#pragma GCC unroll 14
            for (size_t r = 0; r < rows; r++) {
                __m512i x = _mm512_set1_epi32((int)a[r * BLOCK + k]);
                sum[r][0] = sum_pairs(sum[r][0], b0, x);
                if (vectors > 1)
                    sum[r][1] = sum_pairs(sum[r][1], b1, x);
            }
        }
        a = next;
        if (scaled && (++blocks == t->group || first + BLOCK >= t->pairs)) {
            close_group(acc, sum, scales, rows, vectors);
            scales += WIDTH;
            blocks = 0;
        }
    }
#pragma GCC unroll 14
    for (size_t r = 0; r < rows && !scaled; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            _mm512_storeu_ps(acc + r * WIDTH + v * 16, sum[r][v]);
}

typedef void (*tile_fn_t)(float *acc, const llm_pairs_tile_t *t);

#define TILE(rows, vectors)                                                                        \
    static void tile_##rows##_##vectors(float *acc, const llm_pairs_tile_t *t)                     \
    {                                                                                              \
        tile_of(acc, t, rows, vectors, false);                                                     \
    }                                                                                              \
    static void scaled_##rows##_##vectors(float *acc, const llm_pairs_tile_t *t)                   \
    {                                                                                              \
        tile_of(acc, t, rows, vectors, true);                                                      \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
#define ENTRY(rows)                                                                                \
    {                                                                                              \
        {tile_##rows##_1, tile_##rows##_2},                                                        \
        {                                                                                          \
            scaled_##rows##_1, scaled_##rows##_2                                                   \
        }                                                                                          \
    }

TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)
TILES(13)
TILES(14)

static const tile_fn_t tiles[LLM_PAIRS_ROWS][2][2] = {
    ENTRY(1), ENTRY(2), ENTRY(3),  ENTRY(4),  ENTRY(5),  ENTRY(6),  ENTRY(7),
    ENTRY(8), ENTRY(9), ENTRY(10), ENTRY(11), ENTRY(12), ENTRY(13), ENTRY(14),
};

static void tile(float *acc, const llm_pairs_tile_t *t)
{
    tiles[t->rows - 1][t->scales != NULL][t->columns > 16](acc, t);
}

INLINE __mmask16 first_lanes(size_t n)
{
    return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
}

INLINE __m512 load_narrow(const uint16_t *from, __mmask16 lanes)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static void store(const llm_pairs_rows_t *to, const float *acc, const llm_pairs_store_t *how)
{
    for (size_t r = 0; r < how->rows; r++)
        for (size_t j = how->first; j < how->last; j += 16) {
            __mmask16 lanes = first_lanes(how->last - j);
            size_t index = (how->row + r) * to->stride + how->column + j - how->first;
            float *wide = (float *)to->write + index;
            uint16_t *narrow = (uint16_t *)to->write + index;
            __m512 value = _mm512_maskz_loadu_ps(lanes, acc + r * WIDTH + j);
            if (how->add)
                value = _mm512_add_ps(value, to->narrow ? load_narrow(narrow, lanes)
                                                        : _mm512_maskz_loadu_ps(lanes, wide));
            if (how->bias)
                value = _mm512_add_ps(value,
                                      _mm512_maskz_loadu_ps(lanes, how->bias + (j - how->first)));
            if (to->narrow)
                _mm256_mask_storeu_epi16(narrow, lanes, (__m256i)_mm512_cvtneps_pbh(value));
            else
                _mm512_mask_storeu_ps(wide, lanes, value);
        }
}

INLINE __m512i pairs_at(const llm_pairs_rows_t *from, size_t index, size_t count)
{
    __mmask32 lanes = count < 32 ? (1u << count) - 1 : UINT32_MAX;
    if (from->narrow)
        return _mm512_maskz_loadu_epi16(lanes, (const uint16_t *)from->read + index);
    const float *wide = (const float *)from->read + index;
    __m512 low = _mm512_maskz_loadu_ps((__mmask16)lanes, wide);
    __m512 high = _mm512_maskz_loadu_ps((__mmask16)(lanes >> 16), wide + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

static void pack(uint32_t *to, size_t to_stride, const llm_pairs_rows_t *from, size_t row,
                 size_t rows, size_t column, size_t count)
{
    for (size_t r = 0; r < rows; r++)
        _mm512_storeu_si512(to + r * to_stride,
                            pairs_at(from, (row + r) * from->stride + column, count));
}

/* Sixteen low halves and sixteen high ones, as pairs. */
INLINE __m512i interleaved(__m512 low, __m512 high)
{
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order),
                                    (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

static void narrow(uint32_t *to, const float *floats, size_t rows)
{
    for (size_t r = 0; r < rows; r += 2)
        for (size_t v = 0; v < WIDTH; v += 16) {
            const float *low = floats + r * WIDTH + v;
            __m512 high = r + 1 < rows ? _mm512_loadu_ps(low + WIDTH) : _mm512_setzero_ps();
            _mm512_storeu_si512(to + r / 2 * WIDTH + v, interleaved(_mm512_loadu_ps(low), high));
        }
}

/* Registers hold eight 64-bit units each; unit (i, j) goes to (j, i). */
INLINE void transpose_units(__m512i v[8])
{
    __m512i t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_epi64(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi64(v[i], v[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 2; i++)
        for (int h = 0; h < 2; h++) {
            __m512i x = t[4 * h + i], y = t[4 * h + 2 + i];
            v[4 * h + i] = _mm512_shuffle_i64x2(x, y, 0x88);     /* lanes 0 2 of either */
            v[4 * h + 2 + i] = _mm512_shuffle_i64x2(x, y, 0xdd); /* lanes 1 3 */
        }
        /* v[4 h + 2 odd + i]: units of inputs 4 h .. of outputs 2 (lane) + i. */
#pragma GCC unroll 4
    for (int odd = 0; odd < 2; odd++)
        for (int i = 0; i < 2; i++) {
            __m512i x = v[2 * odd + i], y = v[4 + 2 * odd + i];
            t[2 * odd + i] = _mm512_shuffle_i64x2(x, y, 0x88);
            t[4 + 2 * odd + i] = _mm512_shuffle_i64x2(x, y, 0xdd);
        }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        v[i] = t[i];
}

/* Within a unit, inputs i, i + 1 of outputs o, o + 1 change places; then units
 * are transposed. */
static void turn(uint32_t *to, const uint32_t *words, size_t pairs)
{
    const __m512i middle =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
    for (size_t p = 0; p < 16; p += 8)
        for (size_t o = 0; o < WIDTH; o += 16) {
            __m512i v[8];
#pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++) {
                v[i] = p + i < pairs ? _mm512_loadu_si512(words + (p + i) * WIDTH + o)
                                     : _mm512_setzero_si512();
                v[i] = _mm512_shuffle_epi8(v[i], middle);
            }
            transpose_units(v);
#pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++)
                _mm512_storeu_si512(to + (o / 2 + i) * WIDTH + 2 * p, v[i]);
        }
}

#endif
