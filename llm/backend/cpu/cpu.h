/*
 * cpu.h - the inside of the CPU backend.
 *
 * A family file splits an op into items, and runs them on the pool with the
 * kernels of the machine.  How work is split never shows in the results: an
 * item owns its outputs, and sums are cut by shape alone.
 */
#ifndef LLM_BACKEND_CPU_H
#define LLM_BACKEND_CPU_H

#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/pool.h"
#include "llm/backend/instance.h"

#define LLM_CPU_ALIGNMENT     64
#define LLM_CPU_WIDTH_MAX     32  /* of any instruction set's panel */
#define LLM_CPU_ROWS_MAX      14  /* of any instruction set's tile */
#define LLM_CPU_PAGE_ROWS_MAX 128 /* rows of a panel in 4 KiB, at the least width */

/* Products are cut at these: a sum over more than LLM_CPU_DEPTH is added up in
 * pieces of it, so it is part of what a result is; the others bound the packed
 * copies and only matter for speed. */
#define LLM_CPU_DEPTH      384  /* k of a tile: its operands stay in L1 and L2 */
#define LLM_CPU_ROWS       512  /* rows packed at a time */
#define LLM_CPU_LONG_DEPTH 3072 /* k packed at a time, a multiple of LLM_CPU_DEPTH */
#define LLM_CPU_PADDING    LLM_CPU_PAGE_ROWS_MAX
#define LLM_CPU_PACKED                                                                             \
    ((size_t)(LLM_CPU_ROWS + LLM_CPU_PADDING) * (LLM_CPU_LONG_DEPTH + LLM_CPU_PADDING))
/* What an item of a product dequantizes at a time: LLM_CPU_DEPTH of outputs by
 * LLM_CPU_ITEM_MAX inputs, or a panel by LLM_CPU_DEPTH. */
#define LLM_CPU_ITEM_MAX 128
#define LLM_CPU_ROOM     ((size_t)LLM_CPU_DEPTH * (LLM_CPU_ITEM_MAX + LLM_CPU_PADDING))
#define LLM_CPU_SMALL    ((size_t)(LLM_CPU_ROWS + LLM_CPU_PADDING) * (LLM_CPU_DEPTH + LLM_CPU_PADDING))

typedef struct {
    llm_instance_t instance; /* first: see instance.h */
    const llm_cpu_kernels_t *kernels;
    llm_pool_t *pool; /* owned */
    float *packed;    /* owned; LLM_CPU_PACKED floats: the longer operand, or activations */
    float *small;     /* owned; LLM_CPU_SMALL floats: gemm's other operand */
    float *rooms;     /* owned; LLM_CPU_ROOM floats a thread: dequantized weights */
} llm_cpu_t;

/* A frozen weight: W[o][i] at panels[o / width * panel + i * width + o % width];
 * or, where there are no panels, of codes in the same order (quantized.c). */
struct llm_matrix {
    size_t out, in, width;
    size_t panel; /* floats between panels; a little more than in * width */
    size_t bytes;
    float *panels; /* owned */
    unsigned bits;
    bool input_major; /* scales go by groups of outputs, not of inputs */
    size_t group, groups;
    uint8_t *codes; /* owned */
    float *scales;  /* owned */
};

static inline llm_cpu_t *llm_cpu(const llm_backend_t *be)
{
    return be->context;
}

static inline size_t llm_cpu_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t llm_cpu_pieces(size_t n, size_t piece)
{
    return (n + piece - 1) / piece;
}

/* Rows between successive blocks of rows x width floats: a few more than rows,
 * so that blocks read together lie half a page, not whole pages apart, and do
 * not compete for the same cache sets. */
static inline size_t llm_cpu_padded(size_t rows, size_t width)
{
    size_t page = 4096 / (width * sizeof(float));
    return rows + (page / 2 - 1 + page - rows % page) % page;
}

/* Aligned memory, uninitialised; NULL when out of memory.  Freed with free. */
void *llm_cpu_allocate(size_t bytes);

/* Runs item over n elements in pieces of size piece (the last one shorter). */
typedef void (*llm_cpu_piece_t)(const llm_cpu_kernels_t *kernels, void *job, size_t first,
                                size_t count);
void llm_cpu_run_pieces(llm_cpu_t *self, size_t n, size_t piece, llm_cpu_piece_t item, void *job);

/* Rows i .. i + rows of a panel of a quantized matrix: to[rows][width]. */
void llm_cpu_dequantize(const llm_cpu_kernels_t *kernels, float *to, const llm_matrix_t *w,
                        size_t panel, size_t i, size_t rows);

void llm_cpu_memory(llm_ops_t *ops);
void llm_cpu_quantized(llm_ops_t *ops);
void llm_cpu_matrix(llm_ops_t *ops);
void llm_cpu_linear(llm_ops_t *ops);
void llm_cpu_gemm(llm_ops_t *ops);
void llm_cpu_rows(llm_ops_t *ops);
void llm_cpu_elements(llm_ops_t *ops);
void llm_cpu_attention(llm_ops_t *ops);

#endif
