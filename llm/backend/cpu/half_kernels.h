/*
 * half_kernels.h - what each instruction set provides for activations in BF16:
 * the two conversions, the tile of pairs, and the rows of attention.
 *
 * Memory holds the upper half of a float in 16 bits; sums and everything that
 * is not a product are floats.  Products take their operands in pairs along the
 * summed index, [pair][width][2] for the vector operand and plain rows for the
 * one that is broadcast, because a row in memory is already made of pairs.
 * Where the machine has no such product, pairs are widened in registers.
 */
#ifndef LLM_BACKEND_CPU_HALF_KERNELS_H
#define LLM_BACKEND_CPU_HALF_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* acc[rows][width] (+)= sum over pairs p of
 * a(row, 2p) b(p, column, 0) + a(row, 2p + 1) b(p, column, 1). */
typedef struct {
    const uint16_t *a;
    size_t a_stride; /* elements between rows */
    const uint16_t *b;
    size_t rows, columns, pairs;
    bool add; /* start from acc, not from 0 */
} llm_cpu_pair_tile_t;

/* Two neighbouring queries of attention backward; see attention_backward. */
typedef struct {
    const float *s, *dp; /* scores without their scale, and dout V^T: blocked by keys */
    size_t block;        /* floats between blocks of keys; the second query is width behind */
    size_t count[2];     /* keys that each sees; 0: there is no such query */
    size_t limit;        /* keys that the block of queries sees */
    float scale, lse[2], delta[2];
    uint16_t *p_pairs, *ds_pairs; /* [key / width][..][width][2], pairs of queries */
    size_t pair_block;            /* elements between blocks of keys there */
    uint16_t *ds_rows[2];         /* [limit, even] */
} llm_cpu_score_pair_t;

/* h[rows][rank] = scale times the dots of rows of x, where they are kept, with
 * rows of floats a[width / WIDTH][.. a_block][WIDTH]: zeros behind the last
 * column, and ranks in whole halves of a register. */
typedef struct {
    const uint16_t *x;
    size_t x_stride;
    const uint8_t *mask; /* of x's first row, see llm_lora_t; NULL: all are kept */
    size_t mask_stride;
    const float *a;
    size_t a_block; /* floats between blocks of WIDTH columns */
    size_t rows, width, rank;
    float scale;
} llm_cpu_dots_t;

/* Rows of up to WIDTH columns, the first a multiple of 8, and which are kept. */
typedef struct {
    const uint16_t *read; /* either this */
    uint16_t *x;          /* or that */
    size_t stride;
    const uint8_t *mask; /* of these columns; NULL: all are kept */
    size_t mask_stride;
    size_t rows, columns;
} llm_cpu_kept_t;

#define LLM_HALF_KEYS 32 /* of a stretch of attention_decode */

/* Asks memory for a row that will be read, in lines of 64 bytes. */
__attribute__((always_inline)) static inline void llm_half_ask_for(const uint16_t *row,
                                                                   size_t elements)
{
    for (size_t i = 0; i < elements; i += 32)
        __builtin_prefetch(row + i);
}

/* A stretch of up to LLM_HALF_KEYS keys and values, rows ld elements apart,
 * against the queries that share them. */
typedef struct {
    const uint16_t *q; /* [queries][D] */
    const uint16_t *k, *v;
    size_t ld, queries, count, D;
    float scale, cap;    /* cap 0: scores have none */
    const float *slopes; /* of the queries; NULL: none */
    size_t query;        /* keys between the first and that of the new token */
    float *sums;         /* [queries][D]: of exp(score - most) v */
    float *most, *mass;  /* of query h, at h step: the largest score; the sum of the exponentials */
    size_t step;
} llm_cpu_attend_t;

typedef struct llm_cpu_half_kernels {
    const char *name;
    size_t width, tile_rows;

    void (*widen)(float *to, const uint16_t *from, size_t n);
    /* To nearest, ties to even; a NaN stays one.  The rule of base/half.h, to the bit. */
    void (*narrow)(uint16_t *to, const float *from, size_t n);

    void (*tile)(float *acc, const llm_cpu_pair_tile_t *t);
    /* to[pair][width][2] from rows ld apart; zeros behind the last row and column. */
    void (*pack_pairs)(uint16_t *to, const uint16_t *from, size_t ld, size_t rows, size_t columns);
    /* to[column][ldt], pairs of rows in each: rows of a transposed; zero behind an odd row. */
    void (*turn_pairs)(uint16_t *to, size_t ldt, const uint16_t *from, size_t ld, size_t rows,
                       size_t columns);

    /* p[0 .. count) = exp(scale s - max), zeros behind up to limit, made even.
     * s is blocked by keys.  Returns max. */
    float (*softmax_row)(uint16_t *p, const float *s, size_t block, size_t count, size_t limit,
                         float scale, float *sum);
    /* p = exp(scale s - lse), ds = scale p (dp - delta), both zero behind count. */
    void (*softmax_dx)(const llm_cpu_score_pair_t *pair);

    float (*dot)(const uint16_t *a, const uint16_t *b, size_t n);
    /* Attention of one token: see llm_cpu_attend_t. */
    void (*attend)(const llm_cpu_attend_t *a);
    /* out[D] of one query: its sums of so many stretches, ld floats apart, divided
     * by the whole mass.  most is spoilt. */
    void (*put_together)(uint16_t *out, const float *sums, size_t ld, float *most,
                         const float *mass, size_t parts, size_t D);

    /* LoRA's thin products.  to[row][width] = the rows, zeros where they are
     * dropped and behind the last column; and rows += scale sums[row][width]. */
    void (*dots)(float *h, const llm_cpu_dots_t *d);
    void (*widen_kept)(float *to, const llm_cpu_kept_t *from);
    void (*add_kept)(const llm_cpu_kept_t *to, const float *sums, float scale);
} llm_cpu_half_kernels_t;

#ifdef LLM_CPU_X86
extern const llm_cpu_half_kernels_t llm_cpu_half_avx512bf16;
extern const llm_cpu_half_kernels_t llm_cpu_half_avx512;
extern const llm_cpu_half_kernels_t llm_cpu_half_avx2;
#endif
extern const llm_cpu_half_kernels_t llm_cpu_half_portable;

#endif
