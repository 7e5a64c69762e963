/*
 * kernels/half_tile.h - the inner product over pairs of BF16: a tile of floats
 * in registers.
 *
 * Where the machine multiplies pairs (AVX512-BF16), an element is one chain of
 * such products; elsewhere one of fused multiply-adds, the lower of a pair
 * first.  The tile's shape never shows in the result.  Included by the half_*.c
 * files only.
 */
#ifndef LLM_BACKEND_CPU_HALF_TILE_H
#define LLM_BACKEND_CPU_HALF_TILE_H

#include "llm/backend/cpu/half_kernels.h"
#include "llm/backend/cpu/kernels/half_vector.h"

#if LANES == 16
#define PAIR_ROWS 14
#else
#define PAIR_ROWS 4 /* 4 x 2 sums, 2 of b, 1 of a, and what widens them */
#endif

INLINE uint32_t pair_at(const uint16_t *p)
{
    uint32_t pair;
    memcpy(&pair, p, sizeof pair);
    return pair;
}

#if defined(__AVX512BF16__)

INLINE void add_pairs(vf sum[][2], const uint16_t *a, size_t a_stride, const uint16_t *b,
                      const size_t rows, const size_t vectors)
{
    __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
    __m512bh b1 = vectors > 1 ? (__m512bh)_mm512_loadu_si512(b + 2 * LANES) : b0;
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++) {
        __m512bh x = (__m512bh)_mm512_set1_epi32((int)pair_at(a + r * a_stride));
        sum[r][0] = (vf)_mm512_dpbf16_ps((__m512)sum[r][0], x, b0);
        if (vectors > 1)
            sum[r][1] = (vf)_mm512_dpbf16_ps((__m512)sum[r][1], x, b1);
    }
}

#else

INLINE void add_widened(vf sum[][2], const uint16_t *a, size_t a_stride, vf b0, vf b1, bool upper,
                        const size_t rows, const size_t vectors)
{
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++) {
        vw pair = (vw){0} + pair_at(a + r * a_stride);
        vf x = (vf)(upper ? pair & UPPER_HALF : pair << 16);
        sum[r][0] = v_fma(x, b0, sum[r][0]);
        if (vectors > 1)
            sum[r][1] = v_fma(x, b1, sum[r][1]);
    }
}

INLINE void add_pairs(vf sum[][2], const uint16_t *a, size_t a_stride, const uint16_t *b,
                      const size_t rows, const size_t vectors)
{
    vw b0 = v_load_words(b);
    vw b1 = vectors > 1 ? v_load_words(b + 2 * LANES) : b0;
    add_widened(sum, a, a_stride, (vf)(b0 << 16), (vf)(b1 << 16), false, rows, vectors);
    add_widened(sum, a, a_stride, (vf)(b0 & UPPER_HALF), (vf)(b1 & UPPER_HALF), true, rows,
                vectors);
}

#endif

INLINE void pair_tile(float *acc, const llm_cpu_pair_tile_t *t, const size_t rows,
                      const size_t vectors)
{
    vf sum[PAIR_ROWS][2];
    const uint16_t *a = t->a;
    const uint16_t *b = t->b;
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = t->add ? v_load(acc + r * WIDTH + v * LANES) : v_set(0);
    for (size_t p = 0; p < t->pairs; p++) {
        add_pairs(sum, a, t->a_stride, b, rows, vectors);
        a += 2;
        b += 2 * WIDTH;
    }
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            v_store(acc + r * WIDTH + v * LANES, sum[r][v]);
}

typedef void (*pair_tile_fn_t)(float *acc, const llm_cpu_pair_tile_t *t);

/* One function per rows and vectors: sums stay in registers only when their
 * number is known. */
#define PAIR_TILE(rows, vectors)                                                                   \
    static void pair_tile_##rows##_##vectors(float *acc, const llm_cpu_pair_tile_t *t)             \
    {                                                                                              \
        pair_tile(acc, t, rows, vectors);                                                          \
    }
#define PAIR_TILES(rows) PAIR_TILE(rows, 1) PAIR_TILE(rows, 2)
#define PAIR_ENTRY(rows)                                                                           \
    {                                                                                              \
        pair_tile_##rows##_1, pair_tile_##rows##_2                                                 \
    }

PAIR_TILES(1)
PAIR_TILES(2)
PAIR_TILES(3)
PAIR_TILES(4)
#if PAIR_ROWS > 4
PAIR_TILES(5)
PAIR_TILES(6)
PAIR_TILES(7)
PAIR_TILES(8)
PAIR_TILES(9)
PAIR_TILES(10)
PAIR_TILES(11)
PAIR_TILES(12)
PAIR_TILES(13)
PAIR_TILES(14)
#endif

static const pair_tile_fn_t pair_tiles[PAIR_ROWS][2] = {
    PAIR_ENTRY(1),  PAIR_ENTRY(2),  PAIR_ENTRY(3),  PAIR_ENTRY(4),
#if PAIR_ROWS > 4
    PAIR_ENTRY(5),  PAIR_ENTRY(6),  PAIR_ENTRY(7),  PAIR_ENTRY(8),  PAIR_ENTRY(9),
    PAIR_ENTRY(10), PAIR_ENTRY(11), PAIR_ENTRY(12), PAIR_ENTRY(13), PAIR_ENTRY(14),
#endif
};

static void tile(float *acc, const llm_cpu_pair_tile_t *t)
{
    pair_tiles[t->rows - 1][t->columns > LANES](acc, t);
}

static void pack_pairs(uint16_t *to, const uint16_t *from, size_t ld, size_t rows, size_t columns)
{
    const vh nothing = {0};
    for (size_t r = 0; r < rows; r += 2, to += 2 * WIDTH)
        for (size_t c = 0; c < WIDTH; c += LANES) {
            size_t n = c < columns ? up_to_lanes(columns - c) : 0;
            vh low = v_load_halves_n(from + r * ld + c, n);
            vh high = r + 1 < rows ? v_load_halves_n(from + (r + 1) * ld + c, n) : nothing;
            v_store_words(to + 2 * c, v_join_halves(low, high));
        }
}

/* LANES pairs of rows by LANES columns at a time, turned as words. */
static void turn_pairs(uint16_t *to, size_t ldt, const uint16_t *from, size_t ld, size_t rows,
                       size_t columns)
{
    const vh nothing = {0};
    for (size_t r = 0; r < rows; r += 2 * LANES)
        for (size_t c = 0; c < columns; c += LANES) {
            size_t n = up_to_lanes(columns - c);
            size_t pairs = up_to_lanes((rows - r + 1) / 2);
            vf words[LANES];
#pragma GCC unroll 16
            for (size_t i = 0; i < LANES; i++) {
                const uint16_t *pair = from + (r + 2 * i) * ld + c;
                vh low = r + 2 * i < rows ? v_load_halves_n(pair, n) : nothing;
                vh high = r + 2 * i + 1 < rows ? v_load_halves_n(pair + ld, n) : nothing;
                words[i] = (vf)v_join_halves(low, high);
            }
            v_transpose(words);
            for (size_t i = 0; i < n; i++)
                memcpy(to + (c + i) * ldt + r, &words[i], pairs * sizeof(uint32_t));
        }
}

#endif
