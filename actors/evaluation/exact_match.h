/*
 * exact_match.h - how many records a model answers exactly: fedmq.match_tokens and
 * fedmq.match_examples, for whoever measures.
 */
#ifndef FEDMQ_ACTORS_EVALUATION_EXACT_MATCH_H
#define FEDMQ_ACTORS_EVALUATION_EXACT_MATCH_H

#include "fedmq/actors/actors.h"

/* Everything is borrowed. */
typedef struct {
    const fmq_context_t *context; /* tokenizer and configuration */
    llm_stack_t stack;
    const float *vector, *fixed; /* host; fixed may be NULL */
    const llm_records_t *records;
    llm_progress_fn *progress; /* other than 0: stop; may be NULL */
    void *argument;
} fmq_exact_match_t;

/* Greedy answers to the first records: <of>_exact_match, the share that is exact, and
 * <of>_exact_total, of how many.  Nothing without fedmq.match_tokens.  FMQ_ERR_STOPPED when
 * stopped. */
int fmq_exact_match_measure(const fmq_exact_match_t *self, llm_backend_t *be, const char *of,
                            fmq_metrics_t *out, fmq_error_t *err);

#endif
