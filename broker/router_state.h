/*
 * router_state.h - what the router's thread knows, shared by the files that
 * make it up: router.c (life and loop) and routing.c (messages).
 */
#ifndef FEDMQ_BROKER_ROUTER_STATE_H
#define FEDMQ_BROKER_ROUTER_STATE_H

#include <stdatomic.h>

#include "broker/catalog.h"
#include "broker/relay.h"
#include "broker/retained.h"
#include "broker/roster.h"
#include "fedmq/broker/router.h"

/* Written by the router's thread, read by any. */
typedef struct {
    atomic_uint_fast64_t messages_in, messages_out, bytes_in, bytes_out;
    atomic_uint_fast64_t malformed, denied, limit, unroutable;
    atomic_uint_fast32_t members;
} fmq_tally_t;

typedef struct {
    zsock_t *socket;    /* owned; the ROUTER */
    fmq_store_t *store; /* borrowed */
    fmq_log_t *log;     /* borrowed, may be NULL */
    fmq_tally_t *tally; /* borrowed */
    uint32_t heartbeat_ms, timeout_ms;
    uint64_t session; /* chosen anew by every router */
    int64_t now_ms;   /* of the turn of the loop that is going on */
    int64_t ticked_ms;
    fmq_roster_t *roster;
    fmq_retained_t *retained;
    fmq_catalog_t *catalog;
    fmq_relays_t *relays;
    zlistx_t *lost;              /* names whose connections turned out to be gone; owned */
    uint32_t complaints, unsaid; /* of this second: logged, and not */
    int64_t complained_ms;
} fmq_router_state_t;

int fmq_router_state_init(fmq_router_state_t *self, fmq_error_t *err);
void fmq_router_state_release(fmq_router_state_t *self);

/* Takes messages off the socket, at most `most`, and acts on them. */
void fmq_router_state_receive(fmq_router_state_t *self, unsigned most);
/* Does what time demands, at most every 50 ms, or 5 when sending is blocked. */
void fmq_router_state_tick(fmq_router_state_t *self);
/* Milliseconds until the next tick. */
int fmq_router_state_wait(const fmq_router_state_t *self);

#endif
