/*
 * batch.h - checks a batch that comes from outside before a pass believes it.
 */
#ifndef FEDMQ_LLM_PASS_BATCH_H
#define FEDMQ_LLM_PASS_BATCH_H

#include "fedmq/llm/workspace.h"

/* Sequences: contiguous, not empty, within tokens_max and the context; ids
 * within the vocabulary.  FMQ_ERR_LIMIT or FMQ_ERR_FORMAT. */
int llm_batch_check_tokens(const llm_batch_t *batch, const llm_shape_t *shape, size_t tokens_max,
                           fmq_error_t *err);

/* Rows: ascending, within the batch, at most supervised_max; targets within
 * the vocabulary. */
int llm_batch_check_targets(const llm_batch_t *batch, const llm_shape_t *shape,
                            size_t supervised_max, fmq_error_t *err);

/* Position of every token within its sequence. */
void llm_batch_positions(const llm_batch_t *batch, int32_t *out);

#endif
