/*
 * spread.h - a batch with room in front of every sequence.
 *
 * Callers' batches hold real tokens.  Where an adapter has virtual ones, a pass
 * runs over a copy in which so many rows come before each sequence; rows and
 * positions count them.  Their ids are the sequence's first one: something that
 * can be looked up.  Touches host memory only.
 */
#ifndef FEDMQ_LLM_PASS_SPREAD_H
#define FEDMQ_LLM_PASS_SPREAD_H

#include "fedmq/llm/workspace.h"

typedef struct {
    size_t count;      /* rows in front; 0: batches stay as they are */
    size_t tokens_max; /* with those rows */
    uint32_t *starts;  /* owned, as the following: [tokens_max + 1] */
    int32_t *ids, *rows;
} llm_spread_t;

/* Rows of a batch of so many tokens and sequences (0: as many as tokens); SIZE_MAX
 * when that is beyond counting. */
size_t llm_spread_tokens(size_t count, size_t tokens, size_t sequences);

/* The struct must be zero before; release after failure too. */
int llm_spread_init(llm_spread_t *self, size_t count, size_t tokens_max, fmq_error_t *err);
void llm_spread_release(llm_spread_t *self);

/* The sequences of a checked batch, valid until the next; *batch itself where
 * count is 0.  FMQ_ERR_LIMIT when they do not fit, or one with its virtual tokens
 * not into `reach`. */
int llm_spread_batch(llm_spread_t *self, const llm_batch_t *batch, uint32_t reach, llm_batch_t *out,
                     fmq_error_t *err);

/* The supervised rows of a batch, which have been checked, as the copy has them. */
const int32_t *llm_spread_rows(llm_spread_t *self, const llm_batch_t *batch);
/* The same of any one row. */
int32_t llm_spread_row(const llm_spread_t *self, const llm_batch_t *batch, int32_t row);

#endif
