/*
 * reader.h - JSON values one after another from a list or from JSON Lines.
 *
 * The source is a file (plain or gzip) or memory.  One value at a time is held,
 * of bounded size; a position in lines and columns goes with it.  A byte order
 * mark is passed over; objects one behind the other, each over several lines,
 * are taken like JSON Lines.  What is no text (UTF-16, an archive, a Parquet
 * file, ...) is refused by saying what it is.  A reader does not know what a
 * record is.
 */
#ifndef FEDMQ_LLM_DATA_READER_H
#define FEDMQ_LLM_DATA_READER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/error.h"

typedef struct llm_reader llm_reader_t;

/* Opens a file; gzip is recognised by its magic number. */
llm_reader_t *llm_reader_open(const char *path, fmq_error_t *err);
/* Reads memory, borrowed until closing; name stands for the path in errors. */
llm_reader_t *llm_reader_open_memory(const char *name, const void *data, size_t size,
                                     fmq_error_t *err);
void llm_reader_close(llm_reader_t **self_p);

/* The next value, always an object; its numbers are strings of their source
 * text, of a repeated key the last value counts, and an escape that names half
 * of a surrogate pair is U+FFFD.  Returns 1 with *value (the caller's
 * reference), 0 at the end, -1 with err, which names file, line and column. */
int llm_reader_next(llm_reader_t *self, json_t **value, fmq_error_t *err);

/* Everything that is left, as text with a final NUL, the caller's. */
char *llm_reader_rest(llm_reader_t *self, size_t *size, fmq_error_t *err);

/* Fills err with FMQ_ERR_FORMAT at the place where the last value began.
 * Always returns -1. */
int llm_reader_complain(const llm_reader_t *self, fmq_error_t *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
