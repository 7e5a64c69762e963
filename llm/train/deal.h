/*
 * deal.h - a batch in parts, one a rank, each a batch of its own.
 *
 * Parts are runs of whole sequences.  A sequence goes to the rank in whose share
 * of the tokens its middle lies: so no part has more tokens than its share and
 * one sequence, whatever the batch.  A rank may get nothing.
 */
#ifndef FEDMQ_LLM_TRAIN_DEAL_H
#define FEDMQ_LLM_TRAIN_DEAL_H

#include "fedmq/llm/workspace.h"

typedef struct {
    size_t tokens_max; /* of the part */
    uint32_t *starts;  /* owned, [tokens_max + 1] */
    int32_t *rows;     /* owned, [tokens_max] */
    size_t first;      /* the part's first sequence in the whole */
    llm_batch_t batch; /* of these and the whole's memory; no sequences: nothing to do */
} llm_deal_t;

/* The most tokens of a part of batches of at most tokens_max tokens whose
 * sequences have at most longest. */
size_t llm_deal_tokens_max(size_t tokens_max, size_t longest, size_t ranks);

/* The struct must be zero before; release after failure too. */
int llm_deal_init(llm_deal_t *self, size_t tokens_max, fmq_error_t *err);
void llm_deal_release(llm_deal_t *self);

/* Takes rank's part of a batch; prefix_bytes a token of its prefix.  -1 with
 * FMQ_ERR_LIMIT when it does not fit: the batch or a sequence is longer than was
 * planned for. */
int llm_deal_take(llm_deal_t *self, const llm_batch_t *whole, unsigned rank, unsigned ranks,
                  size_t prefix_bytes, fmq_error_t *err);

#endif
