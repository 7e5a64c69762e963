/*
 * presence.h - whether the run's server is there, and how long who takes part
 * waits for it.
 *
 * The link says when no router answers at all (broker/contact.h); this is
 * about the server behind the router.  One that was stopped or killed may come
 * back and go on with its run, so it is waited for, aloud, for
 * fedmq.server_patience; a run that is over is not: its `done` ends who takes
 * part.  Time is a parameter, nothing is sent or received here.  An actor in
 * the server's own process waits for nothing: it is ended with it.
 */
#ifndef FEDMQ_ACTORS_RUNTIME_PRESENCE_H
#define FEDMQ_ACTORS_RUNTIME_PRESENCE_H

#include "fedmq/actors/context.h"
#include "fedmq/broker/link.h"

typedef enum {
    FMQ_PRESENCE_SEEKING, /* no router has answered yet */
    FMQ_PRESENCE_EMPTY,   /* a router without a run */
    FMQ_PRESENCE_THERE,
    FMQ_PRESENCE_AWAY /* the server was there and has gone */
} fmq_presence_state_t;

typedef struct {
    char endpoint[FMQ_ENDPOINT_MAX];
    bool here;           /* the server is in this process */
    int64_t patience_ms; /* AWAY ends the wait after it; 0: never */
    int64_t limit_ms;    /* EMPTY does; 0: never */
    fmq_presence_state_t state;
    bool up, left;    /* the router answers; it says that the server has gone */
    int64_t began_ms; /* the whole wait */
    int64_t since_ms; /* in this state since */
    int64_t due_ms;   /* the next word */
    int64_t pause_ms; /* after it */
} fmq_presence_t;

/* Reads fedmq.server_patience and fedmq.connect_timeout. */
void fmq_presence_init(fmq_presence_t *self, const fmq_context_t *context, int64_t now_ms);

/* Takes what an event of the link says about the server: UP, DOWN, MEMBER, and
 * the run's note.  Others are passed over. */
void fmq_presence_event(fmq_presence_t *self, const fmq_event_t *event, int64_t now_ms);

/* Logs as actor what is to be said now.  -1 with FMQ_ERR_TIMEOUT when the
 * waiting has an end. */
int fmq_presence_tend(fmq_presence_t *self, fmq_log_t *log, const char *actor, int64_t now_ms,
                      fmq_error_t *err);

/* Milliseconds until tend() has something to do, or -1: only after an event. */
int fmq_presence_wait(const fmq_presence_t *self, int64_t now_ms);

#endif
