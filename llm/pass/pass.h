/*
 * pass.h - one pass of a packed batch through a decoder: its parts.
 *
 * A pass is a bound decoder and a plan.  workspace.c strings these parts
 * together for training and evaluation, generate.c for text.  They check
 * nothing: batches are checked before.
 */
#ifndef FEDMQ_LLM_PASS_PASS_H
#define FEDMQ_LLM_PASS_PASS_H

#include "llm/pass/linear.h"
#include "llm/pass/plan.h"
#include "llm/pass/virtual.h"

typedef struct {
    llm_decoder_t decoder;
    llm_plan_t plan;
    llm_virtual_t virtual_tokens;
} llm_pass_t;

/* The packed batch of this pass; ids and positions lie in the plan already. */
typedef struct {
    size_t tokens, sequences;
    const uint32_t *starts;        /* host; where the backend reads them, also in the plan */
    size_t longest;                /* tokens of the longest sequence */
    size_t first_row;              /* of the batch that this is a part of */
    const fmq_rng_name_t *dropout; /* NULL: none */
    bool continues;                /* sequences begin in a cache: no virtual tokens here */
} llm_packed_t;

/* Those that begin with the pass's virtual tokens, if it has any. */
llm_virtual_batch_t llm_packed_sequences(const llm_packed_t *batch);

/* Fills plan.rope; once, after the plan is made. */
int llm_pass_prepare(llm_pass_t *self, fmq_error_t *err);
void llm_pass_release(llm_pass_t *self);

/* A checked batch as the parts below want it; uploads its starts where the
 * backend reads them.  Borrows starts. */
llm_packed_t llm_pass_pack(const llm_pass_t *self, size_t sequences, const uint32_t *starts);

/* Norms of either kind.  stats holds two floats a row. */
void llm_norm_forward(const llm_pass_t *self, const llm_bound_norm_t *norm, llm_act_t *out,
                      float *stats, const llm_act_t *x, size_t rows);
/* dx is overwritten, or added to when add. */
void llm_norm_backward(const llm_pass_t *self, const llm_bound_norm_t *norm, llm_act_t *dx,
                       bool add, const llm_act_t *dout, const llm_act_t *x, const float *stats,
                       size_t rows);

/* Writes the embeddings of plan.ids to layer 0's x_in. */
void llm_embed_forward(const llm_pass_t *self, const llm_packed_t *batch);
/* Adds plan.dx to the embeddings' gradients, when those train. */
void llm_embed_backward(const llm_pass_t *self, const llm_packed_t *batch);

/* A layer's forward pass in the three parts that decoding takes apart: queries,
 * keys and values into qkv; attention into att; the rest into x_out. */
void llm_layer_project(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch);
void llm_layer_attend(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch);
void llm_layer_finish(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch);

/* plan.dx is the gradient of x_out on entry and of x_in on return, except in
 * the lowest trainable layer, where backward stops when nothing below needs it. */
void llm_layer_backward(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch);

/* Logits of plan.rows[first ..  first + count), count <= plan.block_rows. */
void llm_head_logits(const llm_pass_t *self, const llm_packed_t *batch, size_t first, size_t count);

/* The same rows' backward: plan.logits holds the gradient of the logits, which
 * becomes that of the head, the final norm and (added) plan.dx. */
void llm_head_backward(const llm_pass_t *self, const llm_packed_t *batch, size_t first,
                       size_t count);

/* The first so many of plan.losses, added up on the host, which is left with
 * them: room for as many floats. */
double llm_head_sum(const llm_pass_t *self, size_t count, float *host);

/* Loss over plan.rows / plan.targets in blocks, and when how's scale is not 0 also
 * the gradients of the head, the final norm and (added) plan.dx, all times
 * scale.  host as above.  Where the loss is not finite these gradients are
 * spoilt. */
double llm_head_loss(const llm_pass_t *self, const llm_packed_t *batch, size_t supervised,
                     const llm_cross_entropy_t *how, float *host);

#endif
