/*
 * probe.h - what it is that answers at an address, when it is not a router.
 *
 * A short connection of its own beside ZeroMQ's, which does not say why it gets
 * nowhere.  It sends a ZeroMQ greeting and nothing of the fabric's, so a router
 * takes it for a connection that came to nothing.
 */
#ifndef FEDMQ_BROKER_PROBE_H
#define FEDMQ_BROKER_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#define FMQ_PROBE_SAID_MAX 160

typedef enum {
    FMQ_PROBE_UNREACHED, /* no connection */
    FMQ_PROBE_SILENT,    /* accepts, says nothing */
    FMQ_PROBE_OTHER,     /* speaks, but not as ZeroMQ does */
    FMQ_PROBE_ZEROMQ     /* greets as ZeroMQ does */
} fmq_probe_t;

/* Does anybody accept connections at place ("tcp://[::1]:50050", numbers only)
 * within this time? */
bool fmq_probe_accepts(const char *place, int timeout_ms);

/* Finds out within about this time; said is a sentence for people, with what
 * the other side said where that can be shown. */
fmq_probe_t fmq_probe(const char *place, int timeout_ms, char said[FMQ_PROBE_SAID_MAX]);

#endif
