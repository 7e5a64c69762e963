/*
 * router.h - the fabric's middle: a ROUTER socket that knows its members.
 *
 * It checks every frame (version, sender, role's permissions, limits) alike on
 * inproc and tcp, keeps the newest notes, stores published objects, notices
 * who is gone, and tells servers.  It runs in its own thread and never blocks
 * on disk or arithmetic.  It knows nothing of rounds or models.
 */
#ifndef FEDMQ_BROKER_ROUTER_H
#define FEDMQ_BROKER_ROUTER_H

#include "fedmq/base/api.h"
#include "fedmq/broker/link.h"

FMQ_API_BEGIN

#define FMQ_ROUTER_ENDPOINTS_MAX 8
#define FMQ_ROUTER_MEMBERS_MAX   65536

typedef struct {
    const char *endpoints[FMQ_ROUTER_ENDPOINTS_MAX]; /* NULL-terminated unless full; a tcp
                                                        port may be * (any free one) */
    bool insecure;         /* allow tcp on other addresses than loopback */
    fmq_store_t *store;    /* borrowed; NULL: its own */
    uint32_t heartbeat_ms; /* 0: 1000 */
    uint32_t timeout_ms;   /* a member unheard this long is gone; 0: 10000 */
    fmq_log_t *log;        /* borrowed, may be NULL */
} fmq_router_options_t;

typedef struct {
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t dropped_malformed, dropped_denied, dropped_limit, dropped_unroutable;
    uint32_t members;
} fmq_router_counters_t;

typedef struct fmq_router fmq_router_t;

/* In insecure mode, and on loopback, anybody who can connect may claim any
 * name and role that is free: keys will change that (docs/protocol.md). */

/* Binds everything and starts; returns when it is ready to be connected to.
 * NULL with err: FMQ_ERR_DENIED for a public tcp address without insecure,
 * FMQ_ERR_IO naming endpoint and reason. */
fmq_router_t *fmq_router_new(const fmq_router_options_t *options, fmq_error_t *err);
void fmq_router_destroy(fmq_router_t **self_p);

/* The endpoint as bound (a port of * resolved), borrowed; index as in options. */
const char *fmq_router_endpoint(const fmq_router_t *self, size_t index);
fmq_router_counters_t fmq_router_counters(fmq_router_t *self);

FMQ_API_END

#endif
