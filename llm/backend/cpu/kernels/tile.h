/*
 * kernels/tile.h - the inner product of everything: a tile of C in registers.
 *
 * acc[rows][WIDTH] = sum_k a(r, k) b(k, 0 .. WIDTH), one chain of fused
 * multiply-adds per element in the order of k, so the tile's shape never
 * shows in the result.  Included by the isa_*.c files only.
 */
#ifndef LLM_BACKEND_CPU_TILE_H
#define LLM_BACKEND_CPU_TILE_H

#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/kernels/vector.h"

/* Blocks of a may lie on pages of their own, where no hardware looks ahead.
 * Narrow tiles are done with a block before memory could answer, and have few
 * loads to spare: they ask for a whole block, some blocks ahead. */
#define BLOCKS_AHEAD 4

INLINE void ask_for_block(const float *block, size_t rows)
{
    for (size_t r = 0; LANES < 16 && r < rows; r++)
        __builtin_prefetch(block + r * WIDTH);
}

/* Wide tiles ask with every k for a line of the next block, and of b. */
INLINE void ask_ahead(const float *block, size_t k, const float *b)
{
    if (LANES == 16) {
        __builtin_prefetch(block + k * 16);
        __builtin_prefetch(b);
        __builtin_prefetch(b + 16);
    }
}

/* a is blocked: element (r, k) at (k / WIDTH) a_stride + r WIDTH + k % WIDTH. */
INLINE void tile_packed(float *acc, const float *a, size_t a_stride, const float *b, size_t b_row,
                        size_t K, bool add, const size_t rows, const size_t vectors)
{
    vf sum[TILE_ROWS][2];
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = add ? v_load(acc + r * WIDTH + v * LANES) : v_set(0);
    for (size_t first = 0; first < K; first += WIDTH) {
        size_t count = K - first < WIDTH ? K - first : WIDTH;
        const float *next = a + a_stride;
        ask_for_block(a + BLOCKS_AHEAD * a_stride, rows);
        for (size_t k = 0; k < count; k++) {
            vf b0 = v_load(b);
            vf b1 = vectors > 1 ? v_load(b + LANES) : b0;
            ask_ahead(next, k, b + 8 * b_row);
            b += b_row;
#pragma GCC unroll 14
            for (size_t r = 0; r < rows; r++) {
                vf x = v_set(a[r * WIDTH + k]);
                sum[r][0] = v_fma(x, b0, sum[r][0]);
                if (vectors > 1)
                    sum[r][1] = v_fma(x, b1, sum[r][1]);
            }
        }
        a = next;
    }
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            v_store(acc + r * WIDTH + v * LANES, sum[r][v]);
}

/* a is as the caller stores it: element (r, k) at r a_stride + k. */
INLINE void tile_direct(float *acc, const float *a, size_t a_stride, const float *b, size_t b_row,
                        size_t K, bool add, const size_t rows, const size_t vectors)
{
    vf sum[TILE_ROWS][2];
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = add ? v_load(acc + r * WIDTH + v * LANES) : v_set(0);
    for (size_t k = 0; k < K; k++) {
        vf b0 = v_load(b);
        vf b1 = vectors > 1 ? v_load(b + LANES) : b0;
        b += b_row;
#pragma GCC unroll 14
        for (size_t r = 0; r < rows; r++) {
            vf x = v_set(a[r * a_stride + k]);
            sum[r][0] = v_fma(x, b0, sum[r][0]);
            if (vectors > 1)
                sum[r][1] = v_fma(x, b1, sum[r][1]);
        }
    }
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            v_store(acc + r * WIDTH + v * LANES, sum[r][v]);
}

typedef void (*tile_fn_t)(float *acc, const float *a, size_t a_stride, const float *b, size_t b_row,
                          size_t K, bool add);

/* One function per way, rows and vectors: sums stay in registers only when
 * their number is known. */
#define TILE(way, rows, vectors)                                                                   \
    static void tile_##way##_##rows##_##vectors(float *acc, const float *a, size_t a_stride,       \
                                                const float *b, size_t b_row, size_t K, bool add)  \
    {                                                                                              \
        tile_##way(acc, a, a_stride, b, b_row, K, add, rows, vectors);                             \
    }
#define TILES(rows)                                                                                \
    TILE(packed, rows, 1) TILE(packed, rows, 2) TILE(direct, rows, 1) TILE(direct, rows, 2)
#define ENTRY(rows)                                                                                \
    {                                                                                              \
        {tile_packed_##rows##_1, tile_packed_##rows##_2},                                          \
        {                                                                                          \
            tile_direct_##rows##_1, tile_direct_##rows##_2                                         \
        }                                                                                          \
    }

TILES(1)
TILES(2)
TILES(3)
TILES(4)
#if TILE_ROWS > 4
TILES(5)
TILES(6)
#endif
#if TILE_ROWS > 6
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)
TILES(13)
TILES(14)
#endif

static const tile_fn_t tiles[TILE_ROWS][2][2] = {
    ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4),
#if TILE_ROWS > 4
    ENTRY(5), ENTRY(6),
#endif
#if TILE_ROWS > 6
    ENTRY(7), ENTRY(8), ENTRY(9), ENTRY(10), ENTRY(11), ENTRY(12), ENTRY(13), ENTRY(14),
#endif
};

static void tile(float *acc, const llm_cpu_tile_t *t)
{
    size_t vectors = t->columns > LANES ? 2 : 1;
    tiles[t->rows - 1][t->direct][vectors - 1](acc, t->a, t->a_stride, t->b, t->b_row, t->K,
                                               t->add);
}

/* c[r][0 .. last - first) (+)= alpha acc[r][first .. last) (+ bias). */
static void store(float *c, size_t ldc, const float *acc, const llm_cpu_store_t *how)
{
    vf alpha = v_set(how->alpha);
    for (size_t r = 0; r < how->rows; r++)
        for (size_t j = how->first; j < how->last; j += LANES) {
            size_t n = how->last - j < LANES ? how->last - j : LANES;
            float *to = c + r * ldc + (j - how->first);
            vf value = alpha * v_load_n(acc + r * WIDTH + j, n);
            if (how->add)
                value += v_load_n(to, n);
            if (how->bias)
                value += v_load_n(how->bias + (j - how->first), n);
            v_store_n(to, value, n);
        }
}

/* c[j][0 .. rows) (+)= alpha acc[0 .. rows)[j] for j < last; first is 0. */
static void store_transposed(float *c, size_t ldc, const float *acc, const llm_cpu_store_t *how)
{
    vf alpha = v_set(how->alpha);
    for (size_t j = 0; j < how->last; j += LANES) {
        vf v[LANES];
#pragma GCC unroll 16
        for (size_t r = 0; r < LANES; r++)
            v[r] = r < how->rows ? v_load(acc + r * WIDTH + j) : v_set(0);
        v_transpose(v);
        size_t count = how->last - j < LANES ? how->last - j : LANES;
        for (size_t i = 0; i < count; i++) {
            float *to = c + (j + i) * ldc;
            vf value = alpha * v[i];
            if (how->add)
                value += v_load_n(to, how->rows);
            v_store_n(to, value, how->rows);
        }
    }
}

/* to[r][WIDTH] = from[r][0 .. columns), then zeros. */
static void pack_copy(float *to, const float *from, size_t ld, size_t rows, size_t columns)
{
    size_t low = columns < LANES ? columns : LANES;
    for (size_t r = 0; r < rows; r++) {
        v_store(to + r * WIDTH, v_load_n(from + r * ld, low));
        v_store(to + r * WIDTH + LANES,
                columns > LANES ? v_load_n(from + r * ld + LANES, columns - LANES) : v_set(0));
    }
}

/* to[r][j] = from[j][r] for j < columns, zeros for the other j < WIDTH. */
static void pack_transposed(float *to, const float *from, size_t ld, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r += LANES) {
        size_t n = rows - r < LANES ? rows - r : LANES;
        for (size_t j = 0; j < WIDTH; j += LANES) {
            vf v[LANES];
#pragma GCC unroll 16
            for (size_t i = 0; i < LANES; i++)
                v[i] = j + i < columns ? v_load_n(from + (j + i) * ld + r, n) : v_set(0);
            v_transpose(v);
#pragma GCC unroll 16
            for (size_t i = 0; i < LANES; i++)
                if (i < n)
                    v_store(to + (r + i) * WIDTH + j, v[i]);
        }
    }
}

#endif
