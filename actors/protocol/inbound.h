/*
 * inbound.h - which messages an actor takes, from whom, and what it does with each:
 * the one dispatch of all actors.
 *
 * Reading an actor's table is reading what others can make it do.  What is not in
 * it, comes from another role, or is not the message that its topic says is
 * dropped; whether with a word is its actor's to say.
 */
#ifndef FEDMQ_ACTORS_PROTOCOL_INBOUND_H
#define FEDMQ_ACTORS_PROTOCOL_INBOUND_H

#include <stdbool.h>
#include <stddef.h>

#include "fedmq/broker/link.h"

/* Who may say something. */
#define FMQ_FROM(role) (1u << (role))

typedef struct {
    const char *topic; /* and what the message is called (messages.h); "shard-": of every topic
                        * that begins so, each a shard */
    unsigned from;     /* FMQ_FROM() of one role, or of more */
    /* message: the fmq_message_<topic>_t, borrowed.  NULL where the body is none (an
     * owner takes a message back by nil), for those who want to know; and of what is no table
     * of fields (status.h), which these decode themselves. */
    void (*take)(void *actor, const fmq_event_t *event, const void *message);
    bool wants_nil;
} fmq_inbound_t;

/* Takes a NOTE, or -1: `why` is FMQ_ERR_NOTFOUND (no such topic), FMQ_ERR_DENIED (not for a member
 * of that role to say) or FMQ_ERR_FORMAT (no such message). */
int fmq_inbound_try(const fmq_inbound_t *table, size_t size, void *actor, const fmq_event_t *event,
                    fmq_error_t *why);
/* The same; false when it was dropped. */
bool fmq_inbound_take(const fmq_inbound_t *table, size_t size, void *actor,
                      const fmq_event_t *event);

#endif
