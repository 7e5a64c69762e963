/*
 * inbox.h - takes what the link brings: who came and went, what others say, and pieces
 * of what is fetched.
 *
 * The table of messages (inbound.h) says what others can make the server do.  What is
 * not theirs to say, or no such message, is refused here, with a line in the log, and
 * nobody hears that more than once a second.
 */
#ifndef FEDMQ_ACTORS_SERVER_INBOX_H
#define FEDMQ_ACTORS_SERVER_INBOX_H

#include <stdint.h>

#include "fedmq/base/error.h"

struct fmq_coordinator;

typedef struct {
    int64_t refused_ms; /* a message that was refused was spoken of then */
    int64_t turned_ms;  /* ... and a client that is none */
} fmq_inbox_t;

/* Takes what has come, up to a bound; -1: the run cannot go on. */
int fmq_inbox_take(struct fmq_coordinator *self, fmq_error_t *err);

#endif
