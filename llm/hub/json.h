/*
 * json.h - JSON files of a model directory, and careful reading of their keys.
 *
 * Private to the engine; json_text.h reads the grammar.  Numbers are read as
 * doubles, because HF writes integers such as 10^30 that fit no integer; integers
 * are exact up to 2^53 and refused beyond.  A repeated key is an error, and so
 * is half of a surrogate pair.
 */
#ifndef FEDMQ_LLM_HUB_JSON_H
#define FEDMQ_LLM_HUB_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/error.h"

#define LLM_JSON_INTEGER_MAX (INT64_C(1) << 53)

/* Parses size bytes; path is named in errors. */
json_t *llm_json_parse(const char *text, size_t size, const char *path, fmq_error_t *err);

/* Parses a file of at most size_max bytes whose top level is an object.  A byte
 * order mark is passed over; a file of another kind is told what it is. */
json_t *llm_json_load(const char *path, size_t size_max, fmq_error_t *err);

/* Writes value atomically, indented, with a final newline. */
int llm_json_save(const json_t *value, const char *path, fmq_error_t *err);

/* The shortest decimal that reads back as this float, so that 1e-5f is written
 * 1e-05 and not 9.99999974737875e-06. */
json_t *llm_json_float(float value);
/* The same under a key of an object.  0, or -1 when out of memory. */
int llm_json_set_float(json_t *object, const char *key, float value);

/* True and *out when value is an integer in [0, LLM_JSON_INTEGER_MAX]. */
bool llm_json_whole(const json_t *value, uint64_t *out);

/* Reads keys of one object.  The first mistake is kept in err and makes failed
 * true; later calls change nothing, so that a caller checks once at the end. */
typedef struct {
    const json_t *object; /* borrowed */
    const char *path;     /* borrowed: for error texts */
    fmq_error_t *err;     /* borrowed */
    bool failed;
} llm_json_reader_t;

/* Notes a mistake unless there was one; the path is put before the text. */
void llm_json_fail(llm_json_reader_t *reader, fmq_error_code_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The value of a key; NULL when it is absent or null. */
json_t *llm_json_get(const llm_json_reader_t *reader, const char *key);

/* An integer within [low, high]; must be there.  Gives low on failure. */
int64_t llm_json_integer(llm_json_reader_t *reader, const char *key, int64_t low, int64_t high);
/* As above, or low - 1 when absent or null. */
int64_t llm_json_integer_if(llm_json_reader_t *reader, const char *key, int64_t low, int64_t high);
/* A finite number greater than 0; absent where it is not given. */
double llm_json_positive(llm_json_reader_t *reader, const char *key, double absent);
bool llm_json_bool(llm_json_reader_t *reader, const char *key, bool absent);
const char *llm_json_string(llm_json_reader_t *reader, const char *key, const char *absent);

#endif
