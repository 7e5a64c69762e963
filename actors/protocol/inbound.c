/*
 * inbound.c - finds the row of an event, and decodes by the message's own table.
 */
#include "actors/protocol/inbound.h"

#include <string.h>

#include "actors/protocol/tables.h"

/* A topic that ends so stands for all that begin with it. */
#define AND_MORE '-'

static size_t name_length(const char *topic)
{
    size_t length = strlen(topic);
    return length > 0 && topic[length - 1] == AND_MORE ? length - 1 : length;
}

static const fmq_fields_t *table_of(const char *topic)
{
    size_t i = 0, length = name_length(topic);
    while (fmq_message_table(i) && (strlen(fmq_message_table(i)->name) != length ||
                                    strncmp(fmq_message_table(i)->name, topic, length) != 0))
        i++;
    return fmq_message_table(i);
}

static bool is_about(const fmq_inbound_t *row, const char *topic)
{
    size_t length = strlen(row->topic);
    bool more = name_length(row->topic) < length;
    return more ? strncmp(row->topic, topic, length) == 0 : strcmp(row->topic, topic) == 0;
}

int fmq_inbound_try(const fmq_inbound_t *table, size_t size, void *actor, const fmq_event_t *event,
                    fmq_error_t *why)
{
    _Alignas(16) char message[FMQ_FIELDS_STRUCT_MAX];
    size_t i = 0;
    while (i < size && !is_about(&table[i], event->topic))
        i++;
    if (i == size)
        return fmq_error_set(why, FMQ_ERR_NOTFOUND, "there is no message '%s' for this actor",
                             event->topic);
    if (!(table[i].from & FMQ_FROM(event->role)))
        return fmq_error_set(why, FMQ_ERR_DENIED, "'%s' is not for a %s to say", event->topic,
                             fmq_role_name(event->role));
    const fmq_fields_t *fields = table_of(table[i].topic);
    if (!fields && !table[i].wants_nil)
        return fmq_error_set(why, FMQ_ERR_INTERNAL, "message '%s' has no table", table[i].topic);
    bool whole = fields && fmq_fields_decode(fields, message, event->data, event->size, why) == 0;
    if (!whole && !table[i].wants_nil)
        return -1;
    table[i].take(actor, event, whole ? message : NULL);
    return 0;
}

bool fmq_inbound_take(const fmq_inbound_t *table, size_t size, void *actor,
                      const fmq_event_t *event)
{
    return fmq_inbound_try(table, size, actor, event, NULL) == 0;
}
