/*
 * stream.h - sending an object's chunks to one reader, as far as its credit
 * goes.
 *
 * Used by whoever has the object: the router for its store, a link for what
 * its actor publishes.  No I/O of its own.
 */
#ifndef FEDMQ_BROKER_STREAM_H
#define FEDMQ_BROKER_STREAM_H

#include "broker/frame.h"
#include "broker/wire.h"

typedef struct {
    fmq_object_t *object; /* owned reference; NULL: closed */
    uint32_t ticket;      /* that chunks quote */
    uint32_t next;        /* chunk to send */
    uint32_t credit;
    bool finished;
} fmq_stream_t;

/* Takes *payload_p; 0, or -1 when it cannot be taken now. */
typedef int(fmq_stream_send_fn)(void *argument, const fmq_message_t *chunk,
                                fmq_frame_t **payload_p);

/* Begins at chunk `first`; holds the object.  FMQ_ERR_MISMATCH when it has not
 * that many chunks. */
int fmq_stream_open(fmq_stream_t *self, fmq_object_t *object, uint32_t ticket, uint32_t first,
                    uint32_t credit, fmq_error_t *err);
void fmq_stream_close(fmq_stream_t *self);

/* Sends what credit allows and `send` takes.  When it began at the end (an
 * object of no chunks, or a reader that lacks none) one empty CHUNK with
 * index = chunks says so.  Returns true once all is sent. */
bool fmq_stream_pump(fmq_stream_t *self, fmq_stream_send_fn *send, void *argument);

/* True when pumping would send something. */
bool fmq_stream_ready(const fmq_stream_t *self);

#endif
