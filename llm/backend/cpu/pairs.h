/*
 * pairs.h - products of BF16 pairs: the kernels of machines that multiply two
 * pairs of BF16 numbers and add both products to an fp32 sum in one step.
 *
 * A word holds two successive values of the summed index, the lower one in its
 * low half.  The vector operand lies in panels of words [pair][LLM_PAIRS_WIDTH];
 * the broadcast operand in blocks [pair / LLM_PAIRS_BLOCK][row][LLM_PAIRS_BLOCK].
 * An output's sum is one chain over the pairs in their order, whatever the tile
 * or the number of rows; with codes, one chain a group, times the group's scale.
 */
#ifndef LLM_BACKEND_CPU_PAIRS_H
#define LLM_BACKEND_CPU_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llm/backend/forms.h"

#define LLM_PAIRS_WIDTH 32 /* outputs of a panel */
#define LLM_PAIRS_BLOCK 16 /* pairs of a row that lie side by side */
#define LLM_PAIRS_ROWS  14 /* of a tile */
#define LLM_PAIRS_FEW   8  /* rows whose weights are decoded on their way to the sums */

/* acc[rows][width] (+)= sums over pairs. */
typedef struct {
    const uint32_t *a;
    size_t a_stride; /* words between blocks */
    const uint32_t *b;
    size_t rows, columns, pairs;
    /* NULL, or of codes: scales[group][width], blocks in a group. */
    const float *scales;
    size_t group;
    bool add;
} llm_pairs_tile_t;

/* acc[panel][rows][width] = sums over the whole input of one or two panels. */
typedef struct {
    const uint32_t *a; /* [rows][a_stride], zeros behind the input up to whole blocks */
    size_t a_stride;
    const uint32_t *words; /* as the matrix has them */
    size_t panels, panel;  /* how many, words between them */
    size_t rows, in;
    llm_matrix_form_t form;
    const float *scales;  /* of codes: [panel][group][width] */
    size_t groups, group; /* scales' groups of a panel; inputs of a group */
} llm_pairs_few_t;

/* Floats or BF16 in memory, of which one of both is asked. */
typedef struct {
    const void *read;
    void *write;
    size_t stride; /* elements between rows */
    bool narrow;   /* BF16 */
} llm_pairs_rows_t;

/* How sums end: columns first .. last of them, from column on. */
typedef struct {
    size_t row, rows, column, first, last;
    const float *bias; /* of column first, or NULL */
    bool add;          /* to what is there */
} llm_pairs_store_t;

typedef struct llm_cpu_pairs {
    void (*tile)(float *acc, const llm_pairs_tile_t *t);
    void (*few)(float *acc, const llm_pairs_few_t *f);
    void (*store)(const llm_pairs_rows_t *to, const float *acc, const llm_pairs_store_t *how);
    /* to[row][block], to_stride words between rows: columns column .. + count
     * (<= 32) of rows, then zeros. */
    void (*pack)(uint32_t *to, size_t to_stride, const llm_pairs_rows_t *from, size_t row,
                 size_t rows, size_t column, size_t count);
    /* to[pairs][width] = the numbers of codes, without scales. */
    void (*decode)(uint32_t *to, const uint32_t *words, size_t pairs, llm_matrix_form_t form);
    /* to[r][width] = pairs of rows 2r and 2r + 1 of floats[rows][width]; an odd
     * last row is paired with zeros. */
    void (*narrow)(uint32_t *to, const float *floats, size_t rows);
    /* to[output pair][width of inputs] of words[input pair][width of outputs]:
     * turns 32 inputs of 32 outputs; input pairs behind `pairs` are zeros. */
    void (*turn)(uint32_t *to, const uint32_t *words, size_t pairs);
} llm_cpu_pairs_t;

#ifdef LLM_CPU_X86
extern const llm_cpu_pairs_t llm_cpu_avx512bf16;
#endif

#endif
