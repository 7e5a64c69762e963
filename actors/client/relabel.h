/*
 * relabel.h - llm.offsite_tuning.llm_generated: a share of a client's labels
 * is replaced by what its own model says.
 *
 * It is the model as it is before any fine-tuning (with offsite tuning the
 * client's layers alone), and which records are chosen depends on seed and
 * client only: a client that is started again trains on the same texts.
 */
#ifndef FEDMQ_ACTORS_CLIENT_RELABEL_H
#define FEDMQ_ACTORS_CLIENT_RELABEL_H

#include "fedmq/actors/actors.h"
#include "fedmq/llm/train.h"

typedef struct {
    const fmq_context_t *context; /* the client's model, tokenizer, permits */
    double ratio;                 /* [0, 1], rounded to whole records */
    size_t tokens_max;            /* of a label */
    size_t tok_len;               /* of a prompt; longer ones get no label */
    uint64_t seed;
    uint32_t client;
    llm_progress_fn *progress; /* after every label; other than 0: stop */
    int (*stop)(void *);       /* asked while waiting for a permit */
    void *argument;            /* of both */
} fmq_relabel_t;

typedef struct {
    size_t chosen, replaced; /* chosen records without an answer keep their label */
} fmq_relabel_stats_t;

/* A copy of records, the caller's, in their order.  NULL with FMQ_ERR_STOPPED
 * when stopped. */
llm_records_t *fmq_relabel_run(const fmq_relabel_t *self, const llm_records_t *records,
                               fmq_relabel_stats_t *stats, fmq_error_t *err);

#endif
