/*
 * frame.h - the bytes of a payload frame, moved about without being copied.
 *
 * A frame holds bytes of its own, a received ZeroMQ frame, or a reference to
 * an object's chunk.  It belongs to one thread at a time.
 */
#ifndef FEDMQ_BROKER_FRAME_H
#define FEDMQ_BROKER_FRAME_H

#include "fedmq/broker/object.h"

typedef struct fmq_frame fmq_frame_t;

/* A copy of bytes; NULL when out of memory. */
fmq_frame_t *fmq_frame_copy(const void *data, size_t size);
/* A chunk of a sealed object, which it keeps a reference to, or a copy where the
 * chunk is rendered; an index beyond the last gives an empty frame. */
fmq_frame_t *fmq_frame_of_chunk(fmq_object_t *object, uint32_t index, fmq_error_t *err);
/* Takes over the content of a zmq_msg_t, which is left empty. */
fmq_frame_t *fmq_frame_take(void *zmq_message);
void fmq_frame_destroy(fmq_frame_t **self_p);

const void *fmq_frame_data(const fmq_frame_t *self);
size_t fmq_frame_size(const fmq_frame_t *self);

/* Sends it as the last part of a message, and destroys it, on a socket that
 * will not block after a first part was taken; flags as zmq_msg_send()'s.
 * Returns 0, or -1 with errno; then *self_p is still the caller's. */
int fmq_frame_send(fmq_frame_t **self_p, void *socket, int flags);

#endif
