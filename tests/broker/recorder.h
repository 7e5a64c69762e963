/*
 * recorder.h - a sink that remembers what was sent to whom, and can refuse.
 */
#ifndef FEDMQ_TESTS_BROKER_RECORDER_H
#define FEDMQ_TESTS_BROKER_RECORDER_H

#include <stdio.h>
#include <string.h>

#include "broker/frame.h"
#include "broker/wire.h"

#define RECORDS_MAX 256

typedef struct {
    char to[FMQ_MEMBER_NAME_MAX];
    fmq_message_t message;
    size_t size; /* of the payload */
} record_t;

typedef struct {
    unsigned count;
    record_t records[RECORDS_MAX];
    bool full;                        /* takes nothing */
    char absent[FMQ_MEMBER_NAME_MAX]; /* who cannot be reached */
} recorder_t;

/* As fmq_relays_send_fn. */
static inline int record_to(void *argument, const char *to, const fmq_message_t *message,
                            fmq_frame_t **payload_p)
{
    recorder_t *self = argument;
    if (self->full || strcmp(self->absent, to) == 0 || self->count == RECORDS_MAX)
        return -1;
    record_t *record = &self->records[self->count++];
    (void)snprintf(record->to, sizeof record->to, "%s", to);
    record->message = *message;
    record->size = payload_p ? fmq_frame_size(*payload_p) : 0;
    if (payload_p)
        fmq_frame_destroy(payload_p);
    return 0;
}

/* As fmq_outbox_send_fn and fmq_stream_send_fn. */
static inline int record(void *argument, const fmq_message_t *message, fmq_frame_t **payload_p)
{
    return record_to(argument, "router", message, payload_p);
}

/* As fmq_fetches_send_fn. */
static inline int record_bare(void *argument, const fmq_message_t *message)
{
    return record_to(argument, "router", message, NULL);
}

/* How many messages of a type went to a name (NULL: anybody). */
static inline unsigned recorded(const recorder_t *self, const char *to, fmq_message_type_t type)
{
    unsigned count = 0;
    for (unsigned i = 0; i < self->count; i++)
        count +=
            self->records[i].message.type == type && (!to || strcmp(self->records[i].to, to) == 0);
    return count;
}

/* The last message of a type, or NULL. */
static inline const fmq_message_t *last_of(const recorder_t *self, fmq_message_type_t type)
{
    for (unsigned i = self->count; i > 0; i--)
        if (self->records[i - 1].message.type == type)
            return &self->records[i - 1].message;
    return NULL;
}

#endif
