/*
 * dataset.h - what training sees: token ids, and where supervision begins.
 *
 * All ids lie in one contiguous store.  A dataset is immutable after its
 * creation and may be read by many threads.
 */
#ifndef FEDMQ_LLM_DATASET_H
#define FEDMQ_LLM_DATASET_H

#include "fedmq/base/api.h"
#include "fedmq/llm/records.h"
#include "fedmq/llm/split.h"
#include "fedmq/llm/tokenizer.h"

FMQ_API_BEGIN

typedef struct {
    const int32_t *ids; /* prompt then answer then EOS, at most tok_len */
    uint32_t size;
    uint32_t prompt; /* leading ids that are not supervised, < size */
} llm_example_t;

typedef struct llm_dataset llm_dataset_t;

/* Tokenizes records (part NULL: all) as FS-LLM does: ids are those of prompt and
 * output as one string, and EOS, cut at tok_len; the prompt's length is counted
 * on the prompt alone.  A tokenizer without EOS appends none.  Records without
 * an answer, and those whose prompt alone fills tok_len, are dropped and
 * counted (see llm_fit_t).  Plain text (see records.h) is cut
 * into blocks instead, as in llm_dataset_new_text(). */
llm_dataset_t *llm_dataset_new(const llm_records_t *records, const llm_part_t *part,
                               const llm_tokenizer_t *tokenizer, size_t tok_len, fmq_error_t *err);
/* Plain text cut into blocks of tok_len tokens, every token supervised (but
 * the first of a block, which nothing predicts): for pre-training.  The last
 * block is shorter; one of a single token is left out. */
llm_dataset_t *llm_dataset_new_text(const char *text, size_t size, const llm_tokenizer_t *tokenizer,
                                    size_t tok_len, fmq_error_t *err);
void llm_dataset_destroy(llm_dataset_t **self_p);
size_t llm_dataset_size(const llm_dataset_t *self);
size_t llm_dataset_dropped(const llm_dataset_t *self); /* records that gave no example */
size_t llm_dataset_longest(const llm_dataset_t *self); /* tokens */
size_t llm_dataset_tokens(const llm_dataset_t *self);  /* of all examples */
/* Tokens of the `examples` longest examples together: no batch has more. */
size_t llm_dataset_batch_max(const llm_dataset_t *self, size_t examples);
llm_example_t llm_dataset_at(const llm_dataset_t *self, size_t index);

/* What became of records: how many there were, and which of them gave no
 * example, or not the whole of one. */
typedef struct {
    uint64_t records;
    uint64_t unanswered; /* no answer, or none of a token: dropped */
    uint64_t too_long;   /* the prompt alone fills tok_len: dropped */
    uint64_t cut;        /* the answer ends at tok_len */
} llm_fit_t;

#define LLM_FIT_TEXT_BYTES 256

llm_fit_t llm_dataset_fit(const llm_dataset_t *self);
void llm_fit_add(llm_fit_t *self, const llm_fit_t *more);
/* Records that gave an example. */
uint64_t llm_fit_used(const llm_fit_t *self);
/* "287 of 999 records do not fit llm.tok_len 128: 201 dropped, 86 cut; 3 have no
 * answer and are dropped", where name is "llm.tok_len"; "" when all fit. */
void llm_fit_text(const llm_fit_t *self, const char *name, size_t tok_len,
                  char out[LLM_FIT_TEXT_BYTES]);
/* Says that none of the records, such as "training records", can be used: err
 * is FMQ_ERR_CONFIG where tok_len is why, else FMQ_ERR_FORMAT.  Returns -1. */
int llm_fit_refuse(const llm_fit_t *self, const char *records, const char *name, size_t tok_len,
                   fmq_error_t *err);

FMQ_API_END

#endif
