/*
 * measure.h - the numbers of one state: loss, and exact answers if wanted.
 *
 * With offsite tuning the state is measured in the client's model, with the
 * emulator's vector, and plugged into the full model.
 * Takes a permit, makes a workspace on it, computes, and gives it back.  Knows
 * nothing of links: its owner hears of every batch and may stop it there.
 */
#ifndef FEDMQ_ACTORS_EVALUATION_MEASURE_H
#define FEDMQ_ACTORS_EVALUATION_MEASURE_H

#include "fedmq/actors/actors.h"
#include "fedmq/llm/train.h"

typedef struct {
    const fmq_context_t *context; /* models, adapters, tokenizer, permits, config */
    const float *emulator;        /* with offsite tuning: E's vector, borrowed */
    bool plugin;                  /* with offsite tuning: measure in the full model, too */
    /* Of the dataset in the client's model and in the full one; may be NULL. */
    llm_prefix_cache_t *prefix, *plugin_prefix;
    const char *part;             /* "val", or NULL: "test" */
    const llm_records_t *records; /* borrowed */
    const llm_dataset_t *dataset; /* borrowed: of the records */
    llm_progress_fn *progress;    /* other than 0: stop */
    int (*stop)(void *);          /* asked while waiting for a permit, and between answers */
    void *argument;               /* of both */
} fmq_measure_t;

/* test_loss (sum over batches of mean loss x batch size), test_total,
 * test_avg_loss, test_token_loss; with fedmq.match_tokens also
 * test_exact_match (share) and test_exact_total; "val_" in place of "test_" as
 * part says.  With offsite tuning
 * "emulator." stands before these names, and "plugin." before those of the
 * full model.  FMQ_ERR_STOPPED when stopped. */
int fmq_measure_run(const fmq_measure_t *self, const float *vector, fmq_metrics_t *out,
                    fmq_error_t *err);

#endif
