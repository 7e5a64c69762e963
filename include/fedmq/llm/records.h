/*
 * records.h - what a data file says, as text: instruction, input, output.
 *
 * Records know nothing of tokens; dataset.h makes of them what training sees.
 * A record whose instruction and input are both empty is plain text: it has
 * the empty prompt, and all of its output is learnt.  Records belong to one
 * thread while they grow; afterwards any thread may read them.
 */
#ifndef FEDMQ_LLM_RECORDS_H
#define FEDMQ_LLM_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

#define LLM_RECORDS_MAX       UINT32_MAX          /* records of one object */
#define LLM_RECORDS_FILE_MAX  (UINT64_C(4) << 30) /* bytes of a file, unpacked */
#define LLM_RECORDS_VALUE_MAX (64u << 20)         /* bytes of one record's JSON */
#define LLM_RECORD_TEXT_MAX   (16u << 20)         /* bytes of one field */
#define LLM_TEXT_RECORD_BYTES 2048                /* see llm_records_load_type(), .txt */

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

/* Field names as people write them: "instruction=question.text, output=answers.0"
 * (fedmq.data_fields, --fields).  What is not named stays NULL. */
#define LLM_RECORD_FIELDS_MAX 1024
typedef struct {
    llm_record_keys_t keys;           /* borrowed from text */
    char text[LLM_RECORD_FIELDS_MAX]; /* do not copy the struct: keys point here */
} llm_record_fields_t;

/* Text may be empty.  FMQ_ERR_CONFIG quotes what is not understood. */
int llm_record_fields_parse(llm_record_fields_t *out, const char *text, fmq_error_t *err);

llm_records_t *llm_records_new(void);
void llm_records_destroy(llm_records_t **self_p);
/* Copies the texts; a NULL text counts as "". */
int llm_records_add(llm_records_t *self, const llm_record_t *record, fmq_error_t *err);
size_t llm_records_size(const llm_records_t *self);
/* Borrowed until the next record is added; the texts live as long as self. */
const llm_record_t *llm_records_at(const llm_records_t *self, size_t index);

/* Appends the records of a .json (list of objects) or .jsonl (one a line)
 * file; .gz of either too.  keys may be NULL.  A text is kept as it stands, a
 * number as it is written, a truth value as true or false; null and what is
 * missing are "", a list or an object is FMQ_ERR_FORMAT.  A NUL, and half of a
 * surrogate pair, become U+FFFD; of a repeated key the last value counts.  A
 * broken line is FMQ_ERR_FORMAT naming file, line, column and what was expected;
 * a record without instruction and output is an error that names the keys
 * looked for and those found.  On failure no record is added. */
int llm_records_load(llm_records_t *self, const char *path, const llm_record_keys_t *keys,
                     fmq_error_t *err);

/* As llm_records_load() from memory: a JSON list when the first character is
 * '[', JSON Lines otherwise.  name stands for the path in errors. */
int llm_records_parse(llm_records_t *self, const char *name, const void *data, size_t size,
                      const llm_record_keys_t *keys, fmq_error_t *err);

/* Appends plain text, cut at blank lines into records of at least
 * LLM_TEXT_RECORD_BYTES bytes, so that it can be split over clients. */
int llm_records_add_text(llm_records_t *self, const char *text, size_t size, fmq_error_t *err);

/* The data sets that data.type may name before its @, and where each comes from;
 * NULL behind the last. */
const char *llm_records_type_at(size_t index, const char **origin);

/* Resolves FS-LLM's data.type ("alpaca@llm", "dolly-15k@llm", "gsm8k@llm",
 * "rosetta_alpaca@llm", "<file>.json@llm", "<file>.jsonl@llm", ...) below root
 * and loads it with its field map and corrections; "<file>.txt@llm" is plain
 * text.  Nothing is downloaded: FMQ_ERR_NOTFOUND names every place that was
 * looked at and the public repository that has the file. */
int llm_records_load_type(llm_records_t *self, const char *root, const char *type,
                          fmq_error_t *err);

/* The same with what FS-LLM's loader takes from elsewhere in the configuration. */
typedef struct {
    const char *root, *type;
    double subsample; /* data.subsample, (0, 1]: share kept of each code_search_net language */
    uint64_t seed;    /* for the subsample */
    bool by_category; /* the meta splitter follows: rosetta_alpaca loses "X86-64 Assembly" */
    const char *file; /* data.file_path: this file instead of the type's own, as given or below
                       * root; NULL or "": none */
    const llm_record_keys_t *keys; /* names instead of the type's own; NULL, also within: those */
} llm_records_source_t;

int llm_records_load_source(llm_records_t *self, const llm_records_source_t *source,
                            fmq_error_t *err);

/* The one file that llm_records_load_source() would read now, the caller's; NULL
 * when there is none, when it would read several, or out of memory. */
char *llm_records_locate(const llm_records_source_t *source);

/* Records as JSON Lines and back: how a shard travels. */
char *llm_records_encode(const llm_records_t *self, size_t *size, fmq_error_t *err);
int llm_records_decode(llm_records_t *self, const char *name, const void *data, size_t size,
                       fmq_error_t *err);

/* The Alpaca prompt of a record, the caller's: the form with an input iff
 * there is one (stanford_alpaca's two templates), "" for plain text. */
char *llm_prompt_format(const llm_record_t *record, fmq_error_t *err);

FMQ_API_END

#endif
