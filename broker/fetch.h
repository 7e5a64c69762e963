/*
 * fetch.h - a link's fetches: chunks in order, against credit, for its actor.
 *
 * Each fetch has an id of the actor's, and a ticket on the wire that is new
 * whenever it has to ask again (after a reconnect, or a long silence), so that
 * what comes late is told apart.  One thread, no I/O, no clock.
 */
#ifndef FEDMQ_BROKER_FETCH_H
#define FEDMQ_BROKER_FETCH_H

#include "broker/frame.h"
#include "broker/wire.h"

typedef struct fmq_fetches fmq_fetches_t;

/* Sends a message to the router; -1 when it cannot be taken now. */
typedef int(fmq_fetches_send_fn)(void *argument, const fmq_message_t *message);

typedef struct {
    uint32_t window;   /* chunks in flight, 1 to FMQ_WIRE_CREDIT_MAX */
    uint32_t quiet_ms; /* ask again after such a silence */
    fmq_fetches_send_fn *send;
    void *argument;
} fmq_fetches_options_t;

typedef struct {
    uint32_t id;
    char owner[FMQ_MEMBER_NAME_MAX];
    fmq_digest_t digest;
    uint32_t first;
    uint64_t bytes_max;
    fmq_object_t *object; /* here already: NULL or borrowed for the call */
} fmq_fetch_options_t;

fmq_fetches_t *fmq_fetches_new(const fmq_fetches_options_t *options);
void fmq_fetches_destroy(fmq_fetches_t **self_p);

/* Begins; asks the router at once when connected. */
int fmq_fetches_begin(fmq_fetches_t *self, const fmq_fetch_options_t *options, int64_t now_ms);
void fmq_fetches_cancel(fmq_fetches_t *self, uint32_t id);

/* The router is there (anew): ask for what is missing; or it is not. */
void fmq_fetches_connect(fmq_fetches_t *self, int64_t now_ms);
void fmq_fetches_disconnect(fmq_fetches_t *self);

/* CHUNK takes *payload_p; one that nobody waits for is dropped. */
void fmq_fetches_chunk(fmq_fetches_t *self, const fmq_message_t *chunk, fmq_frame_t **payload_p,
                       int64_t now_ms);
void fmq_fetches_gone(fmq_fetches_t *self, const fmq_message_t *gone);

/* The actor is through with a chunk: its credit goes back. */
void fmq_fetches_consumed(fmq_fetches_t *self, uint32_t id);

/* Sends what could not be sent, and asks again where it was quiet too long. */
void fmq_fetches_tick(fmq_fetches_t *self, int64_t now_ms);

/* The next event for the actor: CHUNK with *payload_p (the caller's), FETCHED
 * or FAILED; *id says of which fetch.  False when there is none. */
bool fmq_fetches_next(fmq_fetches_t *self, fmq_event_t *event, fmq_frame_t **payload_p,
                      uint32_t *id);

size_t fmq_fetches_size(const fmq_fetches_t *self);

#endif
