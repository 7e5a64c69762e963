/*
 * link.h - an actor's end of the fabric.
 *
 * A link keeps its actor connected to a router: it says hello, sends
 * heartbeats from its hub's thread (training never silences it), reconnects with
 * back-off and re-announces.  Through it an actor
 *   - leaves *notes*: latest-value records for a member or a role.  A note is
 *     repeated until the router has it, kept there, and repeated to every
 *     addressee, late ones too, until acknowledged.  Only the newest version
 *     of (from, to, topic) matters, so nothing one-shot is ever load-bearing;
 *   - publishes and fetches *objects*, chunk by chunk, with credit: at most a
 *     window of chunks is in flight, and fetching resumes after a reconnect.
 *
 * A link over tcp that gets no answer says so in its log after 5 s, and then
 * less and less often: the endpoint, and what is found there.
 *
 * All functions are for one thread, the actor's, except
 * fmq_link_set_progress() and fmq_link_traffic().
 *
 * The first link or router of a process raises its limits of open files and
 * sockets, so that it can hold a thousand links, and turns CZMQ's signal
 * handlers off: whoever wants Ctrl-C installs a handler and sets
 * zsys_interrupted in it.
 */
#ifndef FEDMQ_BROKER_LINK_H
#define FEDMQ_BROKER_LINK_H

#include <stdbool.h>

#include "fedmq/base/api.h"
#include "fedmq/base/log.h"
#include "fedmq/broker/endpoint.h"
#include "fedmq/broker/hub.h"
#include "fedmq/broker/store.h"

FMQ_API_BEGIN

#define FMQ_MEMBER_NAME_MAX 64 /* bytes with the final NUL; [a-z0-9-] */
#define FMQ_TOPIC_MAX       32
#define FMQ_NOTE_MAX        (32u * 1024) /* bytes of a note's body */

typedef enum {
    FMQ_ROLE_SERVER = 0,
    FMQ_ROLE_CLIENT,
    FMQ_ROLE_EVALUATOR,
    FMQ_ROLE_SPLITTER,
    FMQ_ROLE_OBSERVER,
    FMQ_ROLES
} fmq_role_t;

const char *fmq_role_name(fmq_role_t role); /* "server", "client", ... */

/* Events begin to wait.  Called in the hub's thread: it must not wait, nor call
 * functions of the link. */
typedef void(fmq_link_notify_fn)(void *argument);

typedef struct {
    const char *endpoint; /* "inproc://..." or "tcp://host:port" */
    const char *name;     /* "server", "client-3"; unique; a second one is refused */
    fmq_role_t role;
    fmq_store_t *store;         /* of this process, borrowed; NULL: the link makes its own */
    fmq_hub_t *hub;             /* the same; many links need one hub */
    uint32_t heartbeat_ms;      /* 0: 1000 */
    uint32_t timeout_ms;        /* without a sign of life the router counts as lost; 0: 10000 */
    uint32_t connect_ms;        /* REFUSED with FMQ_ERR_TIMEOUT when no router has answered for the
                                   first time by then; 0: tries for ever */
    uint64_t first_version;     /* of its notes: above those of all former lives under that name; 0:
                                 * from the clock, and from what the router knows */
    uint32_t window;            /* chunks in flight of a fetch; 0: 8 */
    fmq_log_t *log;             /* borrowed, may be NULL */
    fmq_link_notify_fn *notify; /* NULL: fmq_link_wait() and receive wait themselves */
    void *notify_argument;
} fmq_link_options_t;

typedef struct fmq_link fmq_link_t;

typedef enum {
    FMQ_EVENT_UP,      /* connected and welcomed; notes are being re-announced */
    FMQ_EVENT_DOWN,    /* the router has not been heard for timeout_ms */
    FMQ_EVENT_MEMBER,  /* for servers: a member came, went, or made progress; for others: a
                        server came or went */
    FMQ_EVENT_NOTE,    /* the newest version of a note for us */
    FMQ_EVENT_CHUNK,   /* one chunk of a fetch, in order, verified in sequence only */
    FMQ_EVENT_FETCHED, /* all chunks came; the digest is right, if they began with chunk 0 */
    FMQ_EVENT_FAILED,  /* a fetch failed for good: error says why */
    FMQ_EVENT_REFUSED  /* the router will never take us, or never answered: error says why */
} fmq_event_type_t;

/* What happened; everything it points to is borrowed until the next receive. */
typedef struct {
    fmq_event_type_t type;
    char member[FMQ_MEMBER_NAME_MAX]; /* MEMBER: who; NOTE: from whom; CHUNK..: owner */
    fmq_role_t role;                  /* MEMBER, NOTE: its role */
    bool alive;                       /* MEMBER */
    uint64_t step, steps;             /* MEMBER: its progress counters */
    char topic[FMQ_TOPIC_MAX];        /* NOTE */
    uint64_t version;                 /* NOTE */
    const void *data;                 /* NOTE: body; CHUNK: bytes */
    size_t size;
    fmq_digest_t digest;    /* CHUNK, FETCHED, FAILED */
    uint32_t index, chunks; /* CHUNK: which of how many */
    fmq_error_t error;      /* FAILED, REFUSED */
} fmq_event_t;

/* Starts the link and returns without waiting for the router (UP
 * says when).  NULL with err for a bad endpoint or name, or out of memory. */
fmq_link_t *fmq_link_open(const fmq_link_options_t *options, fmq_error_t *err);

/* Begins to close: says goodbye (so that the router need not time us out), once
 * the router has acknowledged all notes or linger_ms have passed.  No events
 * follow.  So that many links close together. */
void fmq_link_leave(fmq_link_t *self, uint32_t linger_ms);

/* Leaves, if the link has not yet, and waits until it has. */
void fmq_link_close(fmq_link_t **self_p, uint32_t linger_ms);

/* Waits up to timeout_ms (-1: for ever) for an event, not at all on a link with
 * notify.  1: event filled; 0: none; -1 with FMQ_ERR_STOPPED when interrupted. */
int fmq_link_receive(fmq_link_t *self, int timeout_ms, fmq_event_t *event, fmq_error_t *err);

/* Waits until an event waits, beside (a zsock_t *, such as the actor's pipe;
 * NULL: none) is readable, time is up or a signal came.  Not with notify. */
int fmq_link_wait(fmq_link_t *self, void *beside, int timeout_ms);

/* Leaves a note: to is a member's name, "@role" or "*".  body is copied.
 * FMQ_ERR_DENIED for somebody our role may not address (clients: only servers
 * and splitters), FMQ_ERR_LIMIT for a body or topic that is too long. */
int fmq_link_note(fmq_link_t *self, const char *to, const char *topic, const void *body,
                  size_t size, fmq_error_t *err);

/* Offers a sealed object to readers ("*", "@role", a name); takes its own
 * reference.  It is served from the hub's thread, or from the router's store
 * once that has it, until withdrawn or the link is closed.  Announced before
 * any note that is left later.  FMQ_ERR_DENIED for readers our role may not
 * address, FMQ_ERR_LIMIT when the store is full. */
int fmq_link_publish(fmq_link_t *self, fmq_object_t *object, const char *readers, fmq_error_t *err);
int fmq_link_withdraw(fmq_link_t *self, const fmq_digest_t *digest, fmq_error_t *err);

/* Begins to fetch an object that owner (a name) has published; chunks arrive
 * as events from chunk `first` on.  bytes_max bounds what is accepted.  A chunk's credit
 * goes back when the next event is received.  One fetch per digest at a time.
 * An object that is in this process's store for us comes from there, without
 * traffic.  While the owner is silent or has not published the object, the
 * router waits for its timeout; then the fetch FAILS (FMQ_ERR_NOTFOUND), as it
 * does at once when the owner says goodbye or we may not read (DENIED).  With
 * first > 0 the link cannot know the whole digest: the caller compares it,
 * with the chunks that it has already. */
int fmq_link_fetch(fmq_link_t *self, const char *owner, const fmq_digest_t *digest, uint32_t first,
                   uint64_t bytes_max, fmq_error_t *err);
/* A new reference to an object that is in this process's store for us, without
 * an event or a copy; NULL when it is not there and has to be fetched. */
fmq_object_t *fmq_link_find(fmq_link_t *self, const fmq_digest_t *digest);
/* Stops a fetch; no event follows. */
int fmq_link_cancel(fmq_link_t *self, const fmq_digest_t *digest, fmq_error_t *err);

/* Progress that heartbeats carry (step of steps).  Any thread. */
void fmq_link_set_progress(fmq_link_t *self, uint64_t step, uint64_t steps);

/* Payload bytes sent and received by this link so far (chunks only), and all
 * bytes with headers. */
typedef struct {
    uint64_t payload_sent, payload_received, wire_sent, wire_received;
} fmq_traffic_t;
fmq_traffic_t fmq_link_traffic(fmq_link_t *self);

FMQ_API_END

#endif
