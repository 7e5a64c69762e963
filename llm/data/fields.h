/*
 * fields.h - the four texts of a record inside a JSON object.
 */
#ifndef FEDMQ_LLM_DATA_FIELDS_H
#define FEDMQ_LLM_DATA_FIELDS_H

#include "fedmq/llm/records.h"
#include "llm/data/reader.h"

/* The value at a key or dotted path, borrowed; NULL when there is none or it
 * is null.  A key that holds the dots itself comes first. */
const json_t *llm_field_find(const json_t *object, const char *path);

/* The keys of an object as "a, b, c", cut with dots when long. */
#define LLM_KEYS_TEXT_BYTES 256
void llm_fields_list(const json_t *object, char out[LLM_KEYS_TEXT_BYTES]);

/* A record's texts.  A text is as it stands, a number as it is written, a truth
 * value true or false; null and what is missing are empty; a list or an object
 * is refused.  A NUL becomes U+FFFD. */
typedef struct {
    const llm_reader_t *reader; /* borrowed, for places in errors */
    const json_t *object;       /* borrowed: the reader's last value */
    llm_record_keys_t keys;     /* none of them NULL */
    llm_record_t record;        /* borrowed from the object and from made */
    char *made[4];              /* owned */
} llm_fields_t;

/* Reads the fields of object.  Release with llm_fields_release(), on failure
 * too. */
int llm_fields_read(llm_fields_t *self, const llm_reader_t *reader, const json_t *object,
                    const llm_record_keys_t *keys, fmq_error_t *err);
void llm_fields_release(llm_fields_t *self);

#endif
