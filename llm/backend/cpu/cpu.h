/*
 * cpu.h - the inside of the CPU backend.
 *
 * A family file splits an op into items, and runs them on the pool with the
 * kernels of the machine.  How work is split never shows in the results: an
 * item owns its outputs, and sums are cut by shape alone.
 */
#ifndef LLM_BACKEND_CPU_H
#define LLM_BACKEND_CPU_H

#include "llm/backend/cpu/half_kernels.h"
#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/pairs.h"
#include "llm/backend/cpu/pool.h"
#include "llm/backend/instance.h"

#define LLM_CPU_ALIGNMENT     64
#define LLM_CPU_WIDTH_MAX     32    /* of any instruction set's panel */
#define LLM_CPU_ROWS_MAX      14    /* of any instruction set's tile */
#define LLM_CPU_PIECE         16384 /* floats of rows in an item */
#define LLM_CPU_PAGE_ROWS_MAX 128   /* rows of a panel in 4 KiB, at the least width */

/* Products are cut at these: a sum over more than LLM_CPU_DEPTH is added up in
 * pieces of it, so it is part of what a result is; the others bound the packed
 * copies and only matter for speed. */
#define LLM_CPU_DEPTH      384  /* k of a tile: its operands stay in L1 and L2 */
#define LLM_CPU_ROWS       512  /* rows packed at a time */
#define LLM_CPU_LONG_DEPTH 3072 /* k packed at a time, a multiple of LLM_CPU_DEPTH */
#define LLM_CPU_PADDING    LLM_CPU_PAGE_ROWS_MAX
#define LLM_CPU_PACKED                                                                             \
    ((size_t)(LLM_CPU_ROWS + LLM_CPU_PADDING) * (LLM_CPU_LONG_DEPTH + LLM_CPU_PADDING))
/* What an item of a product widens at a time: LLM_CPU_DEPTH of outputs by
 * LLM_CPU_ITEM_MAX inputs, or a panel by LLM_CPU_DEPTH. */
#define LLM_CPU_ITEM_MAX 128
#define LLM_CPU_DROPPED  ((size_t)LLM_CPU_DEPTH * LLM_CPU_LONG_DEPTH)
#define LLM_CPU_ROOM     ((size_t)LLM_CPU_DEPTH * (LLM_CPU_ITEM_MAX + LLM_CPU_PADDING))
#define LLM_CPU_SMALL    ((size_t)(LLM_CPU_ROWS + LLM_CPU_PADDING) * (LLM_CPU_DEPTH + LLM_CPU_PADDING))

typedef struct {
    llm_instance_t instance; /* first: see instance.h */
    const llm_cpu_kernels_t *kernels;
    const llm_cpu_half_kernels_t *half; /* of the same width */
    const llm_cpu_pairs_t *pairs;       /* NULL: the machine has no such instruction */
    llm_pool_t *pool;                   /* owned */
    float *packed;  /* owned; LLM_CPU_PACKED floats: the longer operand, or activations */
    float *small;   /* owned; LLM_CPU_SMALL floats: gemm's other operand */
    float *rooms;   /* owned; LLM_CPU_ROOM floats a thread: widened weights */
    float *dropped; /* owned; LLM_CPU_DROPPED floats: a piece of LoRA's input */
    /* With BF16 activations (half.h): */
    llm_ops_t wide;    /* the table of F32 activations */
    float *half_rooms; /* owned; half_room floats a thread, grown as rows ask for it */
    size_t half_room;
    float *half_wide; /* owned; half_wide_size floats: operands of a product */
    size_t half_wide_size;
} llm_cpu_t;

/* A frozen weight.  F32: W[o][i] at panels[o / width * panel + i * width + o % width].
 * Other forms: words of several inputs in the same order, as kernels/widen.h
 * has them, at words[o / width * panel + i / each * width + o % width]. */
struct llm_matrix {
    llm_matrix_form_t form;
    size_t out, in, width;
    size_t panel; /* floats or words between panels; at F32 and BF16 a little more than needed */
    size_t bytes;
    float *panels;   /* owned; NULL in other forms than F32 */
    uint32_t *words; /* owned */
    /* Forms of codes: */
    bool input_major; /* scales go by groups of outputs, not of inputs */
    size_t group, groups;
    float *scales; /* owned; [panel][group of inputs][width], or [in][group of outputs] */
};

static inline llm_cpu_t *llm_cpu(const llm_backend_t *be)
{
    return be->context;
}

/* Activations of this backend are floats. */
static inline const float *llm_cpu_floats(const llm_act_t *x)
{
    return (const float *)(const void *)x;
}

static inline float *llm_cpu_floats_out(llm_act_t *x)
{
    return (float *)(void *)x;
}

static inline size_t llm_cpu_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t llm_cpu_pieces(size_t n, size_t piece)
{
    return (n + piece - 1) / piece;
}

/* Rows of so many floats that make an item worth a thread's while, at least one. */
static inline size_t llm_cpu_rows_in_piece(size_t width)
{
    return width < LLM_CPU_PIECE ? LLM_CPU_PIECE / (width ? width : 1) : 1;
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

/* A matrix of a form, its words and scales not yet there; NULL when a size is
 * out of bounds or there is no memory.  matrix_destroy releases it. */
llm_matrix_t *llm_cpu_matrix_allocate(const llm_cpu_t *cpu, llm_matrix_form_t form, size_t out,
                                      size_t in);
/* The inputs of a word. */
static inline size_t llm_cpu_each(const llm_matrix_t *w)
{
    return 32 / llm_form_bits(w->form);
}

/* Where a matrix is made from. */
typedef struct {
    const void *data;
    fmq_dtype_t dtype;
    bool input_major;
} llm_cpu_stored_t;

/* Inputs i .. i + rows, rows <= LLM_FORM_GROUP, of a panel's outputs as floats:
 * to[output of the panel][LLM_FORM_GROUP].  Returns how many outputs there are. */
size_t llm_cpu_read(float *to, const llm_matrix_t *w, const llm_cpu_stored_t *from, size_t panel,
                    size_t i, size_t rows);

/* Packs what is stored into the words of w, on the pool.  Of codes, which need
 * scales: 0, or -1 when out of memory. */
void llm_cpu_pack_pairs(llm_cpu_t *cpu, llm_matrix_t *w, const llm_cpu_stored_t *from);
int llm_cpu_pack_codes(llm_cpu_t *cpu, llm_matrix_t *w, const llm_cpu_stored_t *from);

/* Inputs i .. i + rows of a panel that is not F32: to[rows][width]. */
void llm_cpu_widen(const llm_cpu_kernels_t *kernels, float *to, const llm_matrix_t *w, size_t panel,
                   size_t i, size_t rows);
/* All inputs of one output of it: to[in]. */
void llm_cpu_widen_output(float *to, const llm_matrix_t *w, size_t o);

/* Draws what lora_down drops of x, see llm_lora_t. */
void llm_cpu_draw_mask(llm_backend_t *be, uint8_t *mask, const llm_lora_t *how);

/* A product with rows first .. first + count of a frozen weight. */
typedef struct {
    llm_pairs_rows_t to, from;
    size_t first, count, M;
    const float *bias; /* [count] or NULL; forward's */
    bool add;          /* to what is there */
} llm_cpu_product_t;

/* By BF16 pairs; weights of F32 are rounded on their way. */
void llm_cpu_pairs_forward(llm_cpu_t *cpu, const llm_matrix_t *w, const llm_cpu_product_t *p);
/* count > 0. */
void llm_cpu_pairs_backward(llm_cpu_t *cpu, const llm_matrix_t *w, const llm_cpu_product_t *p);

void llm_cpu_memory(llm_ops_t *ops);
void llm_cpu_codes(llm_ops_t *ops);
void llm_cpu_matrix(llm_ops_t *ops);
void llm_cpu_linear(llm_ops_t *ops);
void llm_cpu_gemm(llm_ops_t *ops);
void llm_cpu_dense(llm_ops_t *ops);
void llm_cpu_lora(llm_ops_t *ops);
void llm_cpu_scales(llm_ops_t *ops); /* for activations of either type */
void llm_cpu_rows(llm_ops_t *ops);
void llm_cpu_elements(llm_ops_t *ops);
void llm_cpu_optimizers(llm_ops_t *ops);
void llm_cpu_attention(llm_ops_t *ops);
void llm_cpu_decode(llm_ops_t *ops);

#endif
