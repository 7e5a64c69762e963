/*
 * kernels.h - what each instruction set provides: single-thread work on a
 * range, without knowledge of pools, matrices or backends.
 *
 * Everything that a product reads in blocks has one layout, [block][row][width]:
 * `width` consecutive values of one index lie side by side, rows run over the
 * other index.  Read with width along the outputs it is the vector operand of a
 * tile, read with width along the summed index it is the broadcast operand, so
 * one packed weight serves forward and backward.
 */
#ifndef LLM_BACKEND_CPU_KERNELS_H
#define LLM_BACKEND_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/llm/activation.h"
#include "llm/backend/constants.h"
#include "llm/backend/dynamic_map.h"
#include "llm/backend/forms.h"

/* acc[rows][width] (+)= sum over K of a(row, k) b(k, 0 .. columns). */
typedef struct {
    const float *a;
    size_t a_stride; /* between blocks of width k; direct: between rows */
    bool direct;     /* a is not packed */
    const float *b;
    size_t b_row; /* between k and k + 1 */
    size_t rows, columns, K;
    bool add; /* start from acc, not from 0 */
} llm_cpu_tile_t;

typedef struct {
    size_t rows;
    size_t first, last; /* columns of acc that are stored */
    float alpha;
    bool add;          /* to what is there */
    const float *bias; /* of column first, or NULL */
} llm_cpu_store_t;

/* Scales of a piece of a panel: one a lane, the same in every row; or, when
 * lanes is NULL, one a row, step floats apart. */
typedef struct {
    const float *lanes, *rows;
    size_t step;
} llm_cpu_scales_t;

/* acc[rows][width] = sums over K inputs of a panel of narrow weights, which
 * become floats in registers.  Stretches and groups are whole words. */
typedef struct {
    const float *a; /* of input first, rows a_stride apart */
    size_t a_stride;
    size_t rows; /* up to LLM_CPU_FEW_ROWS */
    const uint32_t *panel;
    size_t first, K;
    llm_matrix_form_t form;
    const float *scales; /* of codes: [group][width] */
    size_t group;
} llm_cpu_few_t;

#define LLM_CPU_FEW_ROWS 4

/* Scores of a query and the first count keys of a row: s becomes
 * cap tanh(scale s / cap) + slope (key - query), and -inf for hidden keys in
 * front; dp, unless NULL, becomes factor (dp - delta) times the derivative. */
typedef struct {
    float scale, cap, slope; /* cap 0: none */
    size_t query;            /* the query's own key */
    size_t hidden;
    float factor, delta;
} llm_cpu_bend_t;

/* What the gradient of a gated activation is made of. */
typedef struct {
    const float *dout, *gate, *up;
} llm_cpu_glu_t;

typedef struct llm_cpu_kernels {
    const char *name;
    size_t lanes, width, tile_rows;

    void (*tile)(float *acc, const llm_cpu_tile_t *t);
    void (*store)(float *c, size_t ldc, const float *acc, const llm_cpu_store_t *how);
    void (*store_transposed)(float *c, size_t ldc, const float *acc, const llm_cpu_store_t *how);
    void (*pack_copy)(float *to, const float *from, size_t ld, size_t rows, size_t columns);
    void (*pack_transposed)(float *to, const float *from, size_t ld, size_t rows, size_t columns);
    /* to[rows][width] from inputs first .. first + rows of a panel of a form
     * that is not F32 (kernels/widen.h); scales are of these rows. */
    void (*widen)(float *to, const uint32_t *panel, size_t first, size_t rows,
                  llm_matrix_form_t form, const llm_cpu_scales_t *scales);
    void (*few)(float *acc, const llm_cpu_few_t *f);

    /* Rows and vectors; each is the backend's op on a range of its work. */
    void (*add)(float *y, const float *x, size_t n);
    void (*scale)(float *x, float factor, size_t n);
    double (*sum)(const float *x, size_t n);
    double (*sum_squares)(const float *x, size_t n);
    void (*column_sum)(float *sum, const float *x, size_t rows, size_t stride, size_t columns);
    void (*layernorm)(float *out, float *stats, const float *x, const float *weight,
                      const float *bias, size_t C, float eps);
    void (*layernorm_dx)(float *dx, const float *dout, const float *x, const float *stats,
                         const float *weight, size_t C);
    void (*rmsnorm)(float *out, float *stats, const float *x, const float *weight, size_t C,
                    float eps);
    void (*rmsnorm_dx)(float *dx, const float *dout, const float *x, const float *stats,
                       const float *weight, size_t C);
    /* dweight[c] += sum_t dout (x - mean) rstd over columns; mean is 0 where
     * stats holds one value per row. */
    void (*norm_dweight)(float *dweight, const float *dout, const float *x, const float *stats,
                         size_t stats_row, size_t rows, size_t stride, size_t columns);
    void (*rope)(float *head, const float *cosines, const llm_rope_t *how, bool inverse);
    void (*activation)(float *out, const float *x, size_t n, llm_activation_t kind);
    void (*activation_dx)(float *dx, const float *dout, const float *x, size_t n,
                          llm_activation_t kind);
    void (*glu)(float *out, const float *gate, const float *up, size_t n, llm_activation_t kind);
    void (*glu_dx)(float *dgate, float *dup, const llm_cpu_glu_t *from, size_t n,
                   llm_activation_t kind);
    void (*softcap)(float *y, const float *x, float cap, size_t n);
    void (*softcap_dx)(float *dx, const float *y, float cap, size_t n);
    /* Bit i % 8 of byte i / 8 is set where element first + i of the stream is
     * kept, not dropped with probability p; the last byte ends with zeros. */
    void (*draw_mask)(uint8_t *mask, size_t first, size_t n, float p, const fmq_rng_t *stream);
    /* out = keep x (or +=) where the mask says so, and 0 elsewhere. */
    void (*drop)(float *out, const float *x, const uint8_t *mask, size_t n, float keep, bool add);
    float (*cross_entropy)(float *logits, size_t target, size_t V, const llm_cross_entropy_t *how);
    float (*kl_divergence)(float *client, const float *full, size_t V, float scale);
    float (*cosine)(float *dx, const float *target, const float *x, size_t C, float scale);
    size_t (*argmax)(const float *logits, size_t V);
    void (*adam)(float *params, float *m, float *v, float *greatest, const float *grads, size_t n,
                 const llm_adam_scalars_t *s);
    void (*sgd)(float *params, float *momentum, const float *grads, size_t n, const llm_sgd_t *how);
    void (*adagrad)(float *params, float *sums, const float *grads, size_t n,
                    const llm_adagrad_t *how);
    void (*rmsprop)(float *params, const llm_rmsprop_state_t *state, const float *grads, size_t n,
                    const llm_rmsprop_t *how);
    /* Of one block of codes; maps of m and of v. */
    void (*adam_coded)(float *params, const llm_coded_moments_t *moments, const float *grads,
                       size_t n, const llm_adam_scalars_t *s, const llm_dynamic_map_t *maps);
    void (*column_squares)(double *sums, const float *x, size_t rows, size_t stride,
                           size_t columns);
    void (*factored)(float *update, float row, const float *columns, const float *x, size_t n,
                     const llm_factored_t *how);
    void (*over_roots)(float *update, const float *squares, const float *x, size_t n,
                       const llm_factored_t *how);

    /* Attention on blocked scores [key / width][query][width], block floats
     * between blocks.  The row's first count keys become exp(s - max), the keys
     * behind them up to limit's block 0.  Returns max. */
    float (*softmax_row)(float *row, size_t block, size_t count, size_t limit, float *sum);
    /* With lse, delta and scale in scalars: p = exp(s - lse), s being in p;
     * ds = scale p (dp - delta), dp being in ds; zeros behind count. */
    void (*softmax_dx)(float *p, float *ds, size_t block, size_t count, size_t limit,
                       const float scalars[3]);
    /* Makes blocked scores what attention with a window, a cap or slopes takes. */
    void (*bend)(float *s, float *dp, size_t block, size_t count, const llm_cpu_bend_t *how);
    void (*softmax)(float *x, size_t n);
    float (*dot)(const float *a, const float *b, size_t n);
    void (*axpy)(float *y, const float *x, float factor, size_t n);
} llm_cpu_kernels_t;

#ifdef LLM_CPU_X86
extern const llm_cpu_kernels_t llm_cpu_avx512;
extern const llm_cpu_kernels_t llm_cpu_avx2;
#endif
extern const llm_cpu_kernels_t llm_cpu_portable;

#endif
