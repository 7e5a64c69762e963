/*
 * plan.h - every buffer of a pass, laid out once in one arena of the backend.
 *
 * Layers that train, and those above them, keep their activations, or what is
 * left of these when some are computed again; all other layers share one set.
 * Buffers of the forward pass, of the head and of the
 * backward pass that are never live together lie on top of each other.  The
 * plan knows sizes and lifetimes, and computes nothing.
 */
#ifndef FEDMQ_LLM_PASS_PLAN_H
#define FEDMQ_LLM_PASS_PLAN_H

#include "fedmq/llm/workspace.h"
#include "llm/pass/linear.h"

/* What a layer leaves behind.  T tokens of the batch, C channels, F the MLP's
 * width, Q = heads * head width, W = Q + two times the key/value width. */
typedef struct {
    llm_act_t *x_in;                    /* [T][C] residual stream before the layer */
    llm_act_t *x_mid;                   /* [T][C] ... between attention and MLP */
    llm_act_t *x_out;                   /* [T][C] ... behind it: x_in of the next layer */
    llm_act_t *n_attention, *n_mlp;     /* [T][C] normed inputs; x_in, x_mid without a norm */
    llm_act_t *raw_attention, *raw_mlp; /* [T][C] before a norm of what joins, or NULL */
    llm_act_t *raw_q, *raw_k;           /* [T][heads' width] before a norm of theirs, or NULL */
    float *stats[LLM_LAYER_NORMS];      /* of each norm, two floats a row */
    llm_act_t *qkv;                     /* see llm_qkv_t */
    llm_act_t *att;                     /* [T][Q] */
    float *lse;                         /* [T][heads] */
    llm_act_t *gate;                    /* [T][F], NULL without a gate */
    llm_act_t *up;                      /* [T][F] before the activation */
    llm_act_t *act;                     /* [T][F] */
    llm_hidden_t lora[LLM_MODULES];     /* of adapted modules; h and z are scratch unless kept */
} llm_activations_t;

typedef struct {
    size_t tokens_max, supervised_max;
    bool training;
    llm_recompute_t recompute; /* never AUTO; NONE unless training */
    uint32_t behind;           /* layers from here on keep nothing for backward */

    void *arena;                    /* owned by the backend */
    size_t arena_bytes, bytes_kept; /* what it would be if everything were kept */

    int32_t *ids, *positions; /* [tokens_max] */
    uint32_t *starts;         /* [tokens_max + 1], NULL where the backend does not read them */
    int32_t *rows, *targets;  /* [supervised_max], at least one head block */
    float *rope;              /* [rope_rows][channels that turn], NULL without */
    size_t rope_rows;
    llm_act_t *fused;         /* [T][W] of a fused projection that is taken apart, or NULL */
    llm_act_t *embedded;      /* [T][C] before a norm of the embedding, or NULL */
    float *embedded_stats;    /* [T][2] */
    float *attention_scratch; /* of attention_scratch_size floats */
    size_t attention_scratch_size;
    float *dh; /* [T][rank], and what of h is not kept */
    /* Of modules that are scaled, [T] of the widest: their inputs, and their
     * outputs, where these are not kept; NULL without. */
    llm_act_t *scaled_in, *scaled_out;
    float *lookup_dx; /* [T][C] of backward, where the embedding has a product of low rank */
    /* One room: normed inputs [T][C], and act [T][F], when these are made
     * again and something that trains needs them. */
    llm_act_t *passing_norm, *passing_act;
    llm_act_t
        *gate_up; /* [T][2F]: gate | up of each token, and their gradient; NULL unless fused */

    llm_activations_t *layers; /* owned; one entry a layer, pointers into the arena */

    /* Head: block_rows rows of logits at a time. */
    size_t block_rows;
    llm_act_t *head_x, *head_n; /* [block][C] */
    float *head_stats;          /* [block][2] */
    llm_act_t *logits;          /* [block][vocab] */
    float *losses;              /* [tokens_max] */
    llm_act_t *head_dn;         /* [block][C], NULL unless training, as head_dx */
    llm_act_t *head_dx;         /* [block][C] */
    int32_t *best;              /* [block] */
    llm_hidden_t head_hidden;   /* [block], of adapters on the head */

    /* Backward. */
    llm_act_t *dx;   /* [T][C] gradient of the residual stream */
    llm_act_t *dn;   /* [T][C] gradient of a normed input */
    llm_act_t *dact; /* [T][max(F, Q)] gradient of act, or of att */
    llm_act_t *dpre; /* [T][max(F, W)] gradient of up without a gate, or of qkv */
} llm_plan_t;

/* Where queries, keys and values of a batch lie in a buffer for them: side by
 * side in the row of a token, or, where queries and keys have a norm or a fused
 * projection does not make them in this order, all queries before all keys before all values.
 * Strides are elements between tokens. */
typedef struct {
    llm_act_t *q, *k, *v;
    size_t q_stride, kv_stride;
    bool planes; /* they are apart */
} llm_qkv_t;

llm_qkv_t llm_plan_qkv(const llm_plan_t *self, const llm_decoder_t *decoder, llm_act_t *buffer);

/* Row-width helpers. */
size_t llm_plan_query_width(const llm_shape_t *shape);
size_t llm_plan_qkv_width(const llm_shape_t *shape);

/* Do attention and MLP read one norm of the layer's input? */
bool llm_plan_shares_norm(const llm_shape_t *shape);

/* Lays out and allocates.  -1 with FMQ_ERR_LIMIT when the limits are beyond
 * what rows and ids can number, FMQ_ERR_NOMEM otherwise. */
int llm_plan_init(llm_plan_t *self, const llm_decoder_t *decoder, const llm_limits_t *limits,
                  fmq_error_t *err);
void llm_plan_release(llm_plan_t *self, llm_backend_t *be);

#endif
