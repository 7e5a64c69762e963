/*
 * backlog.h - messages with payload, in order, that could not be sent yet or
 * not been taken yet.
 */
#ifndef FEDMQ_BROKER_BACKLOG_H
#define FEDMQ_BROKER_BACKLOG_H

#include "broker/frame.h"
#include "broker/wire.h"

typedef struct fmq_queued {
    fmq_message_t head;
    fmq_frame_t *payload; /* owned */
    struct fmq_queued *next;
} fmq_queued_t;

/* Plain data; all zero is empty. */
typedef struct {
    fmq_queued_t *first, *last; /* owned */
    uint32_t size;
} fmq_backlog_t;

/* Appends, taking *payload_p.  -1 when out of memory. */
int fmq_backlog_push(fmq_backlog_t *self, const fmq_message_t *head, fmq_frame_t **payload_p);
/* Takes the first off; its payload, if still there, is the caller's.  False
 * when empty. */
bool fmq_backlog_pop(fmq_backlog_t *self, fmq_message_t *head, fmq_frame_t **payload_p);
void fmq_backlog_release(fmq_backlog_t *self);

#endif
