/*
 * decoder.h - a model's weights and the adapters' vectors, bound to each other.
 *
 * The table is llm/adapter/bound.h's.  What is fixed is bound like what trains,
 * but has nowhere for gradients to go.  All pointers are borrowed.
 */
#ifndef FEDMQ_LLM_PASS_DECODER_H
#define FEDMQ_LLM_PASS_DECODER_H

#include "fedmq/llm/workspace.h"
#include "llm/adapter/bound.h"

/* The vectors of a stack on be.  grads is NULL when nothing trains, fixed when
 * there is no fixed adapter. */
typedef struct {
    const float *params;
    float *grads;
    const float *fixed;
} llm_vectors_t;

/* Places what is frozen with be, where that has not been done.  -1 with what
 * llm_stack_check() says, or FMQ_ERR_NOMEM. */
int llm_decoder_init(llm_decoder_t *self, const llm_stack_t *stack, llm_backend_t *be,
                     fmq_error_t *err);
void llm_decoder_bind(llm_decoder_t *self, const llm_stack_t *stack, const llm_vectors_t *vectors);
/* Before a pass, and behind a backward one: what adapters compute themselves
 * (llm_piece_ops_t). */
void llm_decoder_prepare(llm_decoder_t *self);
void llm_decoder_collect(llm_decoder_t *self);
void llm_decoder_release(llm_decoder_t *self);

/* Does any module of this stage train, so that its input is needed for its gradients? */
bool llm_stage_trains(const llm_bound_layer_t *layer, llm_stage_t stage);

#endif
