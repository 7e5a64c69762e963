/*
 * stream.c - an object's chunks in order, against credit.
 */
#include "broker/stream.h"

#include <stdio.h>

int fmq_stream_open(fmq_stream_t *self, fmq_object_t *object, uint32_t ticket, uint32_t first,
                    uint32_t credit, fmq_error_t *err)
{
    if (first > fmq_object_chunks(object))
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "object has %u chunks: cannot begin at %u",
                             fmq_object_chunks(object), first);
    *self = (fmq_stream_t){
        .object = fmq_object_hold(object), .ticket = ticket, .next = first, .credit = credit};
    return 0;
}

void fmq_stream_close(fmq_stream_t *self)
{
    fmq_object_drop(&self->object);
}

/* A chunk that cannot be made ends the stream; its reader hears why. */
static int send_gone(fmq_stream_t *self, const fmq_error_t *why, fmq_stream_send_fn *send,
                     void *argument)
{
    fmq_message_t gone = {.type = FMQ_MESSAGE_GONE, .ticket = self->ticket, .code = why->code};
    (void)snprintf(gone.reason, sizeof gone.reason, "%.*s", (int)sizeof gone.reason - 1, why->text);
    if (send(argument, &gone, NULL) < 0)
        return -1;
    self->next = fmq_object_chunks(self->object);
    return 0;
}

static int send_next(fmq_stream_t *self, fmq_stream_send_fn *send, void *argument)
{
    fmq_error_t why;
    fmq_message_t chunk = {.type = FMQ_MESSAGE_CHUNK,
                           .ticket = self->ticket,
                           .index = self->next,
                           .chunks = fmq_object_chunks(self->object)};
    fmq_frame_t *payload = fmq_frame_of_chunk(self->object, self->next, &why);
    if (!payload)
        return send_gone(self, &why, send, argument);
    int rc = send(argument, &chunk, &payload);
    fmq_frame_destroy(&payload);
    return rc;
}

bool fmq_stream_ready(const fmq_stream_t *self)
{
    return self->object && !self->finished &&
           (self->credit > 0 || self->next == fmq_object_chunks(self->object));
}

bool fmq_stream_pump(fmq_stream_t *self, fmq_stream_send_fn *send, void *argument)
{
    while (fmq_stream_ready(self) && send_next(self, send, argument) == 0) {
        uint32_t chunks = fmq_object_chunks(self->object);
        self->credit -= self->credit > 0;
        self->next += self->next < chunks;
        self->finished = self->next == chunks;
    }
    return self->finished;
}
