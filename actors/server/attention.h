/*
 * attention.h - what the server's thread hears while it computes or waits: the time,
 * $TERM, and its own steps.
 *
 * Time is read here and nowhere else in the server; everything else is told it.
 */
#ifndef FEDMQ_ACTORS_SERVER_ATTENTION_H
#define FEDMQ_ACTORS_SERVER_ATTENTION_H

#include <czmq.h>

#include "fedmq/base/error.h"

typedef struct {
    zsock_t *pipe; /* borrowed */
    int64_t now_ms;
    int64_t listened_ms;  /* events were taken then */
    bool drained;         /* ... and none were left */
    bool busy;            /* this thread computed: events wait that decide too */
    uint64_t step, steps; /* of what it computes */
    bool terminated;      /* $TERM */
    fmq_error_t told;     /* the failure elsewhere that it came for */
} fmq_attention_t;

void fmq_attention_init(fmq_attention_t *self, zsock_t *pipe);
/* What time it is; whether $TERM has come. */
void fmq_attention_look(fmq_attention_t *self);
void fmq_attention_listen(fmq_attention_t *self);
/* Events are about to be taken.  True when they could not be for so long that nobody is to blame
 * for his silence. */
bool fmq_attention_was_deaf(fmq_attention_t *self);
void fmq_attention_took_events(fmq_attention_t *self, bool drained);

/* A computation of this thread begins; it has done a step.  True: it should stop. */
void fmq_attention_begin(fmq_attention_t *self);
bool fmq_attention_step(fmq_attention_t *self, uint64_t step, uint64_t steps);
/* Has this thread computed since it was asked last? */
bool fmq_attention_was_busy(fmq_attention_t *self);

#endif
