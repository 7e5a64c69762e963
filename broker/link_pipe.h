/*
 * link_pipe.h - what passes between the two ends of a link: the actor's
 * (link.c) and the port in the hub's thread (port.c).
 *
 * Events wait here for the actor, FMQ_LINK_EVENTS_MAX at most, so that the hub
 * never waits for a busy one; commands go through the hub's own queue (hub.h).
 * Whoever receives one owns it.
 */
#ifndef FEDMQ_BROKER_LINK_PIPE_H
#define FEDMQ_BROKER_LINK_PIPE_H

#include <pthread.h>
#include <stdatomic.h>

#include "broker/fetch.h"
#include "broker/frame.h"
#include "broker/wire.h"

#define FMQ_LINK_EVENTS_MAX 16u

typedef enum {
    FMQ_COMMAND_OPEN,
    FMQ_COMMAND_NOTE,
    FMQ_COMMAND_PUBLISH,
    FMQ_COMMAND_WITHDRAW,
    FMQ_COMMAND_FETCH,
    FMQ_COMMAND_CANCEL,
    FMQ_COMMAND_CONSUMED, /* there is room for events, or the actor is through with a chunk */
    FMQ_COMMAND_CLOSE
} fmq_command_type_t;

typedef struct fmq_command {
    fmq_command_type_t type;
    struct fmq_port *port;    /* borrowed: whose it is */
    struct fmq_command *next; /* the queue's */
    fmq_message_t head;       /* NOTE, PUBLISH, WITHDRAW (digest) */
    fmq_frame_t *body;        /* NOTE; owned */
    fmq_fetch_options_t want; /* FETCH; want.object is owned */
    uint32_t id;              /* CANCEL; CONSUMED: of the fetch, when it was a chunk */
    uint32_t linger_ms;       /* CLOSE */
} fmq_command_t;

void fmq_command_destroy(fmq_command_t **self_p);

typedef struct fmq_item {
    fmq_event_t event;
    fmq_frame_t *frame; /* owned: what event.data points to, or NULL */
    uint32_t id;        /* CHUNK, FETCHED, FAILED: of which fetch */
    struct fmq_item *next;
} fmq_item_t;

void fmq_item_destroy(fmq_item_t **self_p);

/* Known to both ends for a link's lifetime. */
typedef struct {
    char endpoint[FMQ_ENDPOINT_MAX];
    char name[FMQ_MEMBER_NAME_MAX];
    fmq_role_t role;
    fmq_store_t *store; /* borrowed */
    fmq_log_t *log;     /* borrowed, may be NULL */
    uint32_t heartbeat_ms, timeout_ms, window;
    uint32_t connect_ms;    /* without a first answer; 0: no limit */
    uint64_t incarnation;   /* random */
    uint64_t first_version; /* of notes */
    fmq_link_notify_fn *notify;
    void *notify_argument;
    atomic_uint_fast64_t step, steps;
    atomic_uint_fast64_t payload_sent, payload_received, wire_sent, wire_received;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t over;
    fmq_item_t *first, *last; /* owned: events that the actor has not taken */
    uint32_t size;
    bool starved;   /* the port had more to tell than there was room for */
    bool ended;     /* the port is gone */
    int descriptor; /* readable while events wait; -1: with notify */
} fmq_link_pipe_t;

/* After the fields above the lock were filled.  FMQ_ERR_NOMEM. */
int fmq_link_pipe_init(fmq_link_pipe_t *self, fmq_error_t *err);
void fmq_link_pipe_release(fmq_link_pipe_t *self);

/* The port: is there room for an event?  When there is not, the actor will say
 * CONSUMED once there is.  push takes the item. */
bool fmq_link_pipe_has_room(fmq_link_pipe_t *self);
void fmq_link_pipe_push(fmq_link_pipe_t *self, fmq_item_t *item);
void fmq_link_pipe_end(fmq_link_pipe_t *self);

/* The actor: the next event, or NULL; *wanted: the port waits for room. */
fmq_item_t *fmq_link_pipe_pop(fmq_link_pipe_t *self, bool *wanted);
void fmq_link_pipe_await_end(fmq_link_pipe_t *self);

#endif
