/*
 * link_thread.h - the two ends of a link: the actor's (link.c) and the thread
 * that owns the socket (link_thread.c), and what passes between them.
 *
 * Commands and events are passed as pointers over the zactor pipe; whoever
 * receives one owns it.  At most FMQ_LINK_EVENTS_MAX events are under way, so
 * that the thread never blocks on a busy actor.
 */
#ifndef FEDMQ_BROKER_LINK_THREAD_H
#define FEDMQ_BROKER_LINK_THREAD_H

#include <stdatomic.h>

#include <czmq.h>

#include "broker/fetch.h"
#include "broker/frame.h"
#include "broker/wire.h"

#define FMQ_LINK_EVENTS_MAX 16u

typedef enum {
    FMQ_COMMAND_NOTE,
    FMQ_COMMAND_PUBLISH,
    FMQ_COMMAND_WITHDRAW,
    FMQ_COMMAND_FETCH,
    FMQ_COMMAND_CANCEL,
    FMQ_COMMAND_CONSUMED, /* the actor is through with an event */
    FMQ_COMMAND_CLOSE
} fmq_command_type_t;

typedef struct {
    fmq_command_type_t type;
    fmq_message_t head;       /* NOTE, PUBLISH, WITHDRAW (digest) */
    fmq_frame_t *body;        /* NOTE; owned */
    fmq_fetch_options_t want; /* FETCH; want.object is owned */
    uint32_t id;              /* CANCEL; CONSUMED: of the fetch, when it was a chunk */
    uint32_t linger_ms;       /* CLOSE */
} fmq_command_t;

void fmq_command_destroy(fmq_command_t **self_p);

typedef struct {
    fmq_event_t event;
    fmq_frame_t *frame; /* owned: what event.data points to, or NULL */
    uint32_t id;        /* CHUNK, FETCHED, FAILED: of which fetch */
    bool last;          /* the thread has done with the link */
} fmq_item_t;

void fmq_item_destroy(fmq_item_t **self_p);

/* Sends a pointer, or receives one without waiting (NULL: none).  The fence
 * orders memory for checkers that cannot see ZeroMQ's own barriers. */
int fmq_pass(void *pipe, void *pointer, atomic_uint *fence);
void *fmq_take(void *pipe, atomic_uint *fence);

/* Shared by both ends for a link's lifetime. */
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
    atomic_uint_fast64_t step, steps;
    atomic_uint_fast64_t payload_sent, payload_received, wire_sent, wire_received;
    atomic_uint to_thread, to_actor; /* fences */
} fmq_link_shared_t;

/* The thread: a zactor function; argument is a fmq_link_shared_t *. */
void fmq_link_thread(zsock_t *pipe, void *argument);

#endif
