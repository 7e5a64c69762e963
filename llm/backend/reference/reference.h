/*
 * reference.h - the inside of the reference backend: naive loops, one for one
 * with the formulas.
 *
 * Each file holds one family of ops, forward and backward side by side, and
 * puts them into the table.  Storage is fp32; sums are kept in double, so that
 * what a faster backend is measured against carries next to no error of its
 * own.  Nothing here is made fast.
 */
#ifndef LLM_BACKEND_REFERENCE_H
#define LLM_BACKEND_REFERENCE_H

#include "llm/backend/instance.h"

void llm_reference_memory(llm_ops_t *ops);
void llm_reference_linear(llm_ops_t *ops);
void llm_reference_embedding(llm_ops_t *ops);
void llm_reference_norm(llm_ops_t *ops);
void llm_reference_attention(llm_ops_t *ops);
void llm_reference_activation(llm_ops_t *ops);
void llm_reference_loss(llm_ops_t *ops);
void llm_reference_optimizer(llm_ops_t *ops);

#endif
