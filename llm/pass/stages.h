/*
 * stages.h - a workspace's passes taken apart, for losses that look at the
 * stream between layers and bring gradients of their own.
 *
 * llm_workspace_train() is the ordinary way through the same parts.  Here the
 * caller says which layers run, and may read the stream before each of them;
 * backward, it adds to the gradient of the stream before the layer below runs.
 * The caller keeps the order; nothing but the batch is checked.
 */
#ifndef FEDMQ_LLM_PASS_STAGES_H
#define FEDMQ_LLM_PASS_STAGES_H

#include "fedmq/llm/workspace.h"
#include "llm/pass/pass.h"

/* Checks the batch and takes its tokens; *packed is what the others want and
 * borrows batch->starts and dropout. */
int llm_stages_begin(llm_workspace_t *ws, const llm_batch_t *batch, const fmq_rng_name_t *dropout,
                     llm_packed_t *packed, fmq_error_t *err);

/* The stream that enters layer 0; then layers from .. to - 1. */
void llm_stages_embed(llm_workspace_t *ws, const llm_packed_t *packed);
void llm_stages_forward(llm_workspace_t *ws, const llm_packed_t *packed, uint32_t from,
                        uint32_t to);

/* [tokens][width] on the backend: the stream that enters a layer, or leaves
 * the last when layer is their number.  It stays what it was until backward if
 * the layer below it trains or lies above one that does, in a workspace for
 * training; otherwise only until the next layer runs.  It may be overwritten
 * to have the layers above go on from something else. */
llm_act_t *llm_stages_stream(llm_workspace_t *ws, uint32_t layer);

/* Logits of the last stream, for at most llm_stages_block() rows (host) at a
 * time: [count][vocab] on the backend. */
size_t llm_stages_block(const llm_workspace_t *ws);
llm_act_t *llm_stages_logits(llm_workspace_t *ws, const int32_t *rows, size_t count);

/* Losses of those rows, kept on the backend as numbers first .. first + count
 * of the batch's, of which there is room for one a token.  When scale is not 0,
 * the logits become scale times the gradient of their sum: -log p(target),
 * targets in host memory; or the divergence from full, other logits of the
 * same rows. */
void llm_stages_cross_entropy(llm_workspace_t *ws, const int32_t *targets, size_t first,
                              size_t count, float scale);
void llm_stages_divergence(llm_workspace_t *ws, const llm_act_t *full, size_t first, size_t count,
                           float scale);
/* The first so many losses, in host memory, until the next are asked for. */
const float *llm_stages_losses(llm_workspace_t *ws, size_t count);
/* Adds what the logits now hold to the gradient of the last stream. */
void llm_stages_logits_backward(llm_workspace_t *ws, size_t count);

/* [tokens][width] on the backend: the gradient of the stream where backward
 * stands, which is the last stream at first. */
llm_act_t *llm_stages_gradient(llm_workspace_t *ws);
void llm_stages_zero_gradient(llm_workspace_t *ws, const llm_packed_t *packed);

/* Moves below a layer, adding to the gradients of what trains in it.  For
 * layers from llm_adapter_first_layer() on. */
void llm_stages_backward(llm_workspace_t *ws, const llm_packed_t *packed, uint32_t layer);

/* Behind the last of them: what adapters compute of their own gradients. */
void llm_stages_collect(llm_workspace_t *ws);

/* At the end of a pass: -1 with what went wrong on the backend, if anything. */
int llm_stages_end(llm_workspace_t *ws, fmq_error_t *err);

#endif
