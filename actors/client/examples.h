/*
 * examples.h - a client's own train, val and test examples, tokenized.
 *
 * Made once, from its own records or from its shard's bytes; the texts are not
 * kept.  What learning from other labels asks for is done on the texts before.
 */
#ifndef FEDMQ_ACTORS_CLIENT_EXAMPLES_H
#define FEDMQ_ACTORS_CLIENT_EXAMPLES_H

#include "fedmq/llm/data.h"

typedef enum { FMQ_PART_TRAIN, FMQ_PART_VAL, FMQ_PART_TEST, FMQ_PARTS } fmq_examples_part_t;

/* "train", "val", "test". */
const char *fmq_part_name(fmq_examples_part_t part);

typedef struct {
    llm_dataset_t *parts[FMQ_PARTS]; /* owned; NULL: no such part */
} fmq_examples_t;

typedef struct {
    const llm_tokenizer_t *tokenizer; /* borrowed */
    size_t tok_len;
    /* Training records to use instead of these, the examples'; NULL: these. */
    llm_records_t *(*relabel)(void *argument, const llm_records_t *train, fmq_error_t *err);
    void *argument;
} fmq_examples_how_t;

/* records: NULL entries give no part.  On failure self is left empty. */
int fmq_examples_make(fmq_examples_t *self, const llm_records_t *const records[FMQ_PARTS],
                      const fmq_examples_how_t *how, fmq_error_t *err);
/* From the bytes of a shard (see shard.h), a stranger's. */
int fmq_examples_decode(fmq_examples_t *self, const void *shard, size_t size,
                        const fmq_examples_how_t *how, fmq_error_t *err);
void fmq_examples_release(fmq_examples_t *self);

size_t fmq_examples_size(const fmq_examples_t *self, fmq_examples_part_t part);
/* What became of the records of a part, and of all parts. */
llm_fit_t fmq_examples_fit(const fmq_examples_t *self, fmq_examples_part_t part);
llm_fit_t fmq_examples_fit_all(const fmq_examples_t *self);

#endif
