/*
 * session.h - when a link opens its socket, says HELLO and PING, and gives its
 * router up.
 *
 * A pure state machine: it is told what happened and the time, and says what
 * to do.  A router that is silent for half the timeout is suspected: the
 * socket is reopened, for an inproc connection never heals by itself.  After
 * the whole timeout the actor learns that it is down.
 */
#ifndef FEDMQ_BROKER_SESSION_H
#define FEDMQ_BROKER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    FMQ_SESSION_CLOSED,  /* no socket; waits for the back-off */
    FMQ_SESSION_JOINING, /* has said HELLO */
    FMQ_SESSION_JOINED,  /* welcome */
    FMQ_SESSION_ENDED    /* refused, or closed by the actor */
} fmq_session_state_t;

typedef enum {
    FMQ_SESSION_NOTHING,
    FMQ_SESSION_OPEN,  /* open a socket, then call fmq_session_opened() */
    FMQ_SESSION_CLOSE, /* close it */
    FMQ_SESSION_HELLO, /* send one */
    FMQ_SESSION_PING
} fmq_session_action_t;

typedef struct {
    fmq_session_state_t state;
    uint32_t heartbeat_ms, timeout_ms;
    uint32_t backoff_ms;
    uint32_t vain;     /* openings since the last WELCOME */
    int64_t open_ms;   /* CLOSED: when to open */
    int64_t opened_ms; /* when it was */
    int64_t heard_ms;  /* last message of the router */
    int64_t said_ms;   /* last HELLO or PING */
    bool up;           /* what the actor shall believe */
} fmq_session_t;

void fmq_session_init(fmq_session_t *self, uint32_t heartbeat_ms, uint32_t timeout_ms);
/* What is to be done now; call again until it is nothing. */
fmq_session_action_t fmq_session_step(fmq_session_t *self, int64_t now_ms);
void fmq_session_opened(fmq_session_t *self, bool well, int64_t now_ms);
/* What step() wanted to be said could not be sent: it will want it again. */
void fmq_session_unsaid(fmq_session_t *self);
/* Any message came from the router. */
void fmq_session_heard(fmq_session_t *self, int64_t now_ms);
/* The router said WELCOME, and counts us as lost after its timeout. */
void fmq_session_welcome(fmq_session_t *self, uint32_t router_timeout_ms, int64_t now_ms);
/* The router said WHO: it has forgotten us. */
void fmq_session_who(fmq_session_t *self);
void fmq_session_end(fmq_session_t *self);
/* Milliseconds until step() may want something; at most most_ms. */
int fmq_session_wait(const fmq_session_t *self, int64_t now_ms, int most_ms);

#endif
