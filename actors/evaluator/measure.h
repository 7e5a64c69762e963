/*
 * measure.h - the numbers of one state: loss, and exact answers if wanted.
 *
 * Takes a permit, makes a workspace on it, computes, and gives it back.  Knows
 * nothing of links: its owner hears of every batch and may stop it there.
 */
#ifndef FEDMQ_ACTORS_EVALUATOR_MEASURE_H
#define FEDMQ_ACTORS_EVALUATOR_MEASURE_H

#include "fedmq/actors/actors.h"
#include "fedmq/llm/train.h"

typedef struct {
    const fmq_shared_t *shared;   /* model, adapter, tokenizer, permits, config */
    const llm_records_t *records; /* borrowed */
    const llm_dataset_t *dataset; /* borrowed: of the records */
    llm_progress_fn *progress;    /* other than 0: stop */
    int (*stop)(void *);          /* asked while waiting for a permit, and between answers */
    void *argument;               /* of both */
} fmq_measure_t;

/* test_loss (sum over batches of mean loss x batch size), test_total,
 * test_avg_loss, test_token_loss; with fedmq.match_tokens also
 * test_exact_match (share) and test_exact_total.  FMQ_ERR_STOPPED when
 * stopped. */
int fmq_measure_run(const fmq_measure_t *self, const float *vector, fmq_metrics_t *out,
                    fmq_error_t *err);

#endif
