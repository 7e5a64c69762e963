/*
 * stack.h - do a model, what trains in it and what is fixed fit together?
 *
 * Asked once, before anything is bound; the passes rely on the answer.
 */
#ifndef FEDMQ_LLM_PASS_STACK_H
#define FEDMQ_LLM_PASS_STACK_H

#include "fedmq/llm/workspace.h"

/* -1 with FMQ_ERR_MISMATCH when an adapter was made for another shape,
 * FMQ_ERR_CONFIG naming the module when one is both trained and fixed. */
int llm_stack_check(const llm_stack_t *self, fmq_error_t *err);

#endif
