/*
 * data.h - instruction data: records, templates, splits, token stores.
 *
 * records: what a file says, as text.  A dataset is what training sees: token
 * ids with the prompt's length, made from records by a tokenizer.
 */
#ifndef FEDMQ_LLM_DATA_H
#define FEDMQ_LLM_DATA_H

#include "fedmq/llm/tokenizer.h"

#define LLM_RECORDS_FILE_MAX (UINT64_C(4) << 30)
#define LLM_RECORD_TEXT_MAX  (16u << 20) /* bytes of one field */

typedef struct {
    const char *instruction; /* borrowed from the records, never NULL */
    const char *input;       /* "" when absent or null */
    const char *output;
    const char *category; /* "" when absent or null */
} llm_record_t;

typedef struct llm_records llm_records_t;

/* Where a field is found; dotted paths ("a.b.0") reach into objects and
 * arrays.  NULL members take the default "instruction", "input", "output",
 * "category". */
typedef struct {
    const char *instruction, *input, *output, *category;
} llm_record_keys_t;

llm_records_t *llm_records_new(void);
void llm_records_destroy(llm_records_t **self_p);
/* Copies the texts. */
int llm_records_add(llm_records_t *self, const llm_record_t *record, fmq_error_t *err);
size_t llm_records_size(const llm_records_t *self);
const llm_record_t *llm_records_at(const llm_records_t *self, size_t index);

/* Appends the records of a .json (list of objects) or .jsonl (one a line)
 * file; .gz of either too.  A broken line is FMQ_ERR_FORMAT naming file, line,
 * column and what was expected; a record without instruction and output is an
 * error that names the keys looked for and those found. */
int llm_records_load(llm_records_t *self, const char *path, const llm_record_keys_t *keys,
                     fmq_error_t *err);

/* Resolves FS-LLM's data.type ("alpaca@llm", "dolly-15k@llm", "gsm8k@llm",
 * "rosetta_alpaca@llm", "<file>.json@llm", "<file>.jsonl@llm", ...) below root
 * and loads it with its field map and corrections. */
int llm_records_load_type(llm_records_t *self, const char *root, const char *type,
                          fmq_error_t *err);

/* Records as JSON Lines and back: how a shard travels. */
char *llm_records_encode(const llm_records_t *self, size_t *size, fmq_error_t *err);
int llm_records_decode(llm_records_t *self, const char *name, const void *data, size_t size,
                       fmq_error_t *err);

/* The Alpaca prompt of a record, the caller's. */
char *llm_prompt_format(const llm_record_t *record, fmq_error_t *err);

/* ---- splits -------------------------------------------------------------- */

typedef enum { LLM_SPLIT_IID, LLM_SPLIT_LDA, LLM_SPLIT_META } llm_splitter_t;

/* Part of one client or one of train/val/test: record numbers. */
typedef struct {
    uint32_t *items; /* owned */
    size_t size;
} llm_part_t;

/* Permutes records and cuts: train int(a*n), val int(b*n), test the rest. */
int llm_split_three(size_t records, double train, double val, uint64_t seed, llm_part_t parts[3],
                    fmq_error_t *err);

/* Splits the records that `part` names over clients; out has clients entries.
 * stream tells the three parts apart.  Guards: lda without categories falls
 * back to iid with a warning text in *warning (static, or NULL); meta with
 * fewer categories than clients too; more clients than records: FMQ_ERR_CONFIG. */
int llm_split_clients(const llm_records_t *records, const llm_part_t *part, llm_splitter_t how,
                      double alpha, uint32_t clients, uint64_t seed, uint32_t stream,
                      llm_part_t *out, const char **warning, fmq_error_t *err);

void llm_part_release(llm_part_t *part);

/* ---- what training sees -------------------------------------------------- */

typedef struct {
    const int32_t *ids; /* prompt then answer then EOS, at most tok_len */
    uint32_t size;
    uint32_t prompt; /* leading ids that are not supervised, < size */
} llm_example_t;

typedef struct llm_dataset llm_dataset_t;

/* Tokenizes records (part NULL: all).  Examples without a supervised token are
 * dropped and counted. */
llm_dataset_t *llm_dataset_new(const llm_records_t *records, const llm_part_t *part,
                               const llm_tokenizer_t *tokenizer, size_t tok_len, fmq_error_t *err);
/* Plain text cut into blocks of tok_len tokens, every token supervised: for
 * pre-training. */
llm_dataset_t *llm_dataset_new_text(const char *text, size_t size, const llm_tokenizer_t *tokenizer,
                                    size_t tok_len, fmq_error_t *err);
void llm_dataset_destroy(llm_dataset_t **self_p);
size_t llm_dataset_size(const llm_dataset_t *self);
size_t llm_dataset_dropped(const llm_dataset_t *self);
size_t llm_dataset_longest(const llm_dataset_t *self); /* tokens */
llm_example_t llm_dataset_at(const llm_dataset_t *self, size_t index);

#endif
