/*
 * inbound.c - finds the row of an event, and decodes by the message's own table.
 */
#include "actors/protocol/inbound.h"

#include <string.h>

#include "actors/protocol/tables.h"

static const fmq_fields_t *table_of(const char *topic)
{
    size_t i = 0;
    while (fmq_message_table(i) && strcmp(fmq_message_table(i)->name, topic) != 0)
        i++;
    return fmq_message_table(i);
}

bool fmq_inbound_take(const fmq_inbound_t *table, size_t size, void *actor,
                      const fmq_event_t *event)
{
    _Alignas(16) char message[FMQ_FIELDS_STRUCT_MAX];
    size_t i = 0;
    while (i < size && strcmp(table[i].topic, event->topic) != 0)
        i++;
    if (i == size || !(table[i].from & FMQ_FROM(event->role)))
        return false;
    const fmq_fields_t *fields = table_of(table[i].topic);
    bool whole = fields && fmq_fields_decode(fields, message, event->data, event->size, NULL) == 0;
    if (!whole && !table[i].wants_nil)
        return false;
    table[i].take(actor, event, whole ? message : NULL);
    return true;
}
