/*
 * plan.h - every buffer of a pass, laid out once in one arena of the backend.
 *
 * Layers that train, and those above them, keep their activations, or, when
 * these are computed again, their output only; all other layers share one set.
 * Buffers of the forward pass, of the head and of the
 * backward pass that are never live together lie on top of each other.  The
 * plan knows sizes and lifetimes, and computes nothing.
 */
#ifndef FEDMQ_LLM_PASS_PLAN_H
#define FEDMQ_LLM_PASS_PLAN_H

#include "fedmq/llm/workspace.h"
#include "llm/pass/decoder.h"

/* What a layer leaves behind.  T tokens of the batch, C channels, F the MLP's
 * width, Q = heads * head width, W = Q + two times the key/value width. */
typedef struct {
    float *x_in;                        /* [T][C] residual stream before the layer */
    float *x_mid;                       /* [T][C] ... between attention and MLP */
    float *x_out;                       /* [T][C] ... behind it: x_in of the next layer */
    float *n_attention, *n_mlp;         /* [T][C] normed inputs */
    float *stats_attention, *stats_mlp; /* [T][2] */
    float *qkv;                         /* [T][W]: q | k | v of each token */
    float *att;                         /* [T][Q] */
    float *lse;                         /* [T][heads] */
    float *gate;                        /* [T][F], NULL without a gate */
    float *up;                          /* [T][F] before the activation */
    float *act;                         /* [T][F] */
    float *h[LLM_MODULES];              /* [T][rank] of adapted modules: scratch unless kept */
} llm_activations_t;

typedef struct {
    size_t tokens_max, supervised_max;
    bool training, recomputes;
    uint32_t behind; /* layers from here on keep nothing for backward */

    void *arena; /* owned by the backend */
    size_t arena_bytes;

    int32_t *ids, *positions; /* [tokens_max] */
    int32_t *rows, *targets;  /* [supervised_max], at least one head block */
    float *rope;              /* [rope_rows][head width], NULL without */
    size_t rope_rows;
    float *ones;              /* [tokens_max] */
    float *attention_scratch; /* of attention_scratch_size floats */
    size_t attention_scratch_size;
    float *dropped; /* [T][widest adapted input], NULL without dropout */
    float *dh;      /* [T][rank], and what of h is not kept */

    llm_activations_t *layers; /* owned; one entry a layer, pointers into the arena */

    /* Head: block_rows rows of logits at a time. */
    size_t block_rows;
    float *head_x, *head_n, *head_stats; /* [block][C], [block][C], [block][2] */
    float *logits;                       /* [block][vocab] */
    float *losses;                       /* [block] */
    float *head_dn, *head_dx;            /* [block][C], NULL unless training */
    int32_t *best;                       /* [block] */

    /* Backward. */
    float *dx;   /* [T][C] gradient of the residual stream */
    float *dn;   /* [T][C] gradient of a normed input */
    float *dact; /* [T][max(F, Q)] gradient of act, or of att */
    float *dpre; /* [T][max(F, W)] gradient of up (gelu), or of qkv */
} llm_plan_t;

/* Row-width helpers. */
size_t llm_plan_query_width(const llm_shape_t *shape);
size_t llm_plan_qkv_width(const llm_shape_t *shape);

/* Lays out and allocates.  -1 with FMQ_ERR_LIMIT when the limits are beyond
 * what rows and ids can number, FMQ_ERR_NOMEM otherwise. */
int llm_plan_init(llm_plan_t *self, const llm_decoder_t *decoder, const llm_limits_t *limits,
                  fmq_error_t *err);
void llm_plan_release(llm_plan_t *self, llm_backend_t *be);

#endif
