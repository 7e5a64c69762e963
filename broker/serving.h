/*
 * serving.h - the streams by which a link serves what its actor published.
 *
 * One thread, no I/O, no clock.
 */
#ifndef FEDMQ_BROKER_SERVING_H
#define FEDMQ_BROKER_SERVING_H

#include "broker/stream.h"

#define FMQ_SERVING_MAX 65536u /* streams at once */

typedef struct fmq_serving fmq_serving_t;

fmq_serving_t *fmq_serving_new(void);
void fmq_serving_destroy(fmq_serving_t **self_p);

/* Begins to serve object as a FETCH asks.  -1 with the reason for a GONE. */
int fmq_serving_fetch(fmq_serving_t *self, const fmq_message_t *fetch, fmq_object_t *object,
                      fmq_error_t *err);
void fmq_serving_credit(fmq_serving_t *self, const fmq_message_t *credit);
void fmq_serving_cancel(fmq_serving_t *self, uint32_t ticket);
/* The connection is another one: all streams end. */
void fmq_serving_reset(fmq_serving_t *self);

/* Sends what credit allows, a chunk of each stream in turn.  True when
 * something is left because `send` would take no more. */
bool fmq_serving_pump(fmq_serving_t *self, fmq_stream_send_fn *send, void *argument);

size_t fmq_serving_size(const fmq_serving_t *self);

#endif
