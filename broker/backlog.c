/*
 * backlog.c - a linked queue of messages.
 */
#include "broker/backlog.h"

#include <stdlib.h>

int fmq_backlog_push(fmq_backlog_t *self, const fmq_message_t *head, fmq_frame_t **payload_p)
{
    fmq_queued_t *queued = calloc(1, sizeof *queued);
    if (!queued)
        return -1;
    queued->head = *head;
    queued->payload = *payload_p;
    *payload_p = NULL;
    if (self->first)
        self->last->next = queued;
    else
        self->first = queued;
    self->last = queued;
    self->size++;
    return 0;
}

bool fmq_backlog_pop(fmq_backlog_t *self, fmq_message_t *head, fmq_frame_t **payload_p)
{
    fmq_queued_t *queued = self->first;
    if (!queued)
        return false;
    *head = queued->head;
    *payload_p = queued->payload;
    self->first = queued->next;
    self->size--;
    free(queued);
    return true;
}

void fmq_backlog_release(fmq_backlog_t *self)
{
    fmq_message_t head;
    fmq_frame_t *payload;
    while (fmq_backlog_pop(self, &head, &payload))
        fmq_frame_destroy(&payload);
}
