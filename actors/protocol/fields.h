/*
 * fields.h - a note's keys as a table, and the one codec that reads it.
 *
 * A note is a msgpack map with every key of its table exactly once (a remark at
 * most once), in any order; keys that the table does not hold are passed over, so that a newer
 * peer may say more.  Knows nothing of what the notes mean.
 */
#ifndef FEDMQ_ACTORS_PROTOCOL_FIELDS_H
#define FEDMQ_ACTORS_PROTOCOL_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/error.h"

#define FMQ_FIELDS_MAX 32 /* keys of a table; pairs that a note may have */

typedef enum {
    FMQ_FIELD_RUN,    /* char[FMQ_RUN_ID_SIZE]: 32 lower-case hex digits, or empty */
    FMQ_FIELD_U32,    /* uint32_t */
    FMQ_FIELD_U64,    /* uint64_t */
    FMQ_FIELD_CHOICE, /* an enum, one of words */
    FMQ_FIELD_BOOL,   /* bool */
    FMQ_FIELD_REAL,   /* double */
    FMQ_FIELD_REASON, /* char[FMQ_REASON_MAX] without control characters */
    FMQ_FIELD_REMARK, /* the same; may be missing, since older peers do not know it: then it is
                         empty */
    FMQ_FIELD_DIGEST, /* fmq_digest_t as 32 bytes */
    FMQ_FIELD_METRICS /* fmq_metrics_t as a map from name to number */
} fmq_field_kind_t;

/* What the numbers of a CHOICE mean, from 0 on. */
typedef struct {
    const char *const *words;
    size_t size;
} fmq_field_words_t;

typedef struct {
    const char *key;
    fmq_field_kind_t kind;
    size_t offset;
    const fmq_field_words_t *words; /* CHOICE */
    const char *says;               /* of the key, for the page; Markdown */
} fmq_field_t;

typedef struct {
    const char *name;    /* of the note, for messages */
    const char *between; /* who says it to whom, for the page; Markdown */
    const char *says;    /* what for */
    const fmq_field_t *fields;
    size_t size;
    size_t bytes; /* of the struct; at most FMQ_FIELDS_STRUCT_MAX */
} fmq_fields_t;

#define FMQ_FIELDS_STRUCT_MAX (8 * 1024)

/* The size written, or 0 with err. */
size_t fmq_fields_encode(const fmq_fields_t *table, const void *note, void *out, size_t capacity,
                         fmq_error_t *err);
/* 0, or -1 with FMQ_ERR_FORMAT; note is untouched on failure. */
int fmq_fields_decode(const fmq_fields_t *table, void *note, const void *data, size_t size,
                      fmq_error_t *err);

#endif
