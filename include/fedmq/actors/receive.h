/*
 * receive.h - what a fetch brings: a state as a vector, or plain bytes.
 *
 * A reader is told of every event of its link and takes those of its own
 * digest.  It never asks for anything: who owns the link calls
 * fmq_link_fetch(), and fmq_link_cancel() when a reader fails before FETCHED.
 */
#ifndef FEDMQ_ACTORS_RECEIVE_H
#define FEDMQ_ACTORS_RECEIVE_H

#include "fedmq/base/api.h"
#include "fedmq/broker/link.h"
#include "fedmq/broker/state.h"

FMQ_API_BEGIN

typedef enum {
    FMQ_RECEIVE_FAILED = -1, /* err says why */
    FMQ_RECEIVE_OTHER,       /* the event is none of this reader's */
    FMQ_RECEIVE_MORE,        /* taken, more to come */
    FMQ_RECEIVE_DONE         /* all is here and the digest is right */
} fmq_receive_t;

/* A state that is decoded chunk by chunk: memory is the vector alone. */
typedef struct {
    const fmq_schema_t *schema; /* borrowed */
    float *vector;              /* borrowed: the schema's elements, filled from the front */
    fmq_digest_t digest;
    uint32_t next; /* chunk that is expected: where a repeated fetch begins */
    bool active;
} fmq_state_reader_t;

/* The most bytes that an encoded state of this schema may have: bytes_max of a
 * fetch. */
uint64_t fmq_state_bytes_max(const fmq_schema_t *schema);

void fmq_state_reader_begin(fmq_state_reader_t *self, const fmq_schema_t *schema,
                            const fmq_digest_t *digest, float *vector);
/* FAILED: a chunk that does not decode (FMQ_ERR_FORMAT, FMQ_ERR_NUMERIC), or
 * the link's own FAILED event, whose error is handed on. */
fmq_receive_t fmq_state_reader_take(fmq_state_reader_t *self, const fmq_event_t *event,
                                    fmq_error_t *err);

/* Bytes up to a limit, in one growing buffer with a NUL behind them. */
typedef struct {
    fmq_digest_t digest;
    char *data; /* owned */
    size_t size, capacity;
    uint64_t limit;
    uint32_t next;
    bool active;
} fmq_bytes_reader_t;

/* Prepares for an object of at most limit bytes; what an earlier use of self
 * holds must have been released.  A zeroed struct is a released one. */
void fmq_bytes_reader_begin(fmq_bytes_reader_t *self, const fmq_digest_t *digest, uint64_t limit);
fmq_receive_t fmq_bytes_reader_take(fmq_bytes_reader_t *self, const fmq_event_t *event,
                                    fmq_error_t *err);
void fmq_bytes_reader_release(fmq_bytes_reader_t *self);

FMQ_API_END

#endif
