/*
 * socket.h - the fabric's messages on ZeroMQ sockets.
 *
 * Opens ROUTER and DEALER sockets with the limits that keep a stranger from
 * filling memory, and moves whole messages.  It judges lengths and structure,
 * alike on inproc (which ignores ZeroMQ's own limits) and tcp; not meaning.
 */
#ifndef FEDMQ_BROKER_SOCKET_H
#define FEDMQ_BROKER_SOCKET_H

#include <czmq.h>

#include "broker/frame.h"
#include "broker/wire.h"

#define FMQ_ROUTE_MAX   255   /* bytes of a routing id */
#define FMQ_SOCKETS_MAX 65000 /* of a process; libzmq knows no more than 65535 */

/* The way to a member: the routing id of its connection to a ROUTER socket, of
 * no bytes at a DEALER's end, and the lane that is its own on that connection. */
typedef struct {
    uint32_t lane; /* 0: the one without a lane frame */
    uint8_t size;
    uint8_t bytes[FMQ_ROUTE_MAX];
} fmq_route_t;

bool fmq_route_equal(const fmq_route_t *a, const fmq_route_t *b);

/* Makes the process fit for sockets: one ZeroMQ context with room for many,
 * as many open files as the system allows, and no signal handlers of CZMQ's.
 * Once a process, however often it is called, from any thread. */
void fmq_fabric_init(void);
/* Raises the limit of open files as far as the system lets us. */
void fmq_files_raise(void);

/* Opens a ROUTER; endpoints are bound by fmq_socket_bind().  NULL with err. */
zsock_t *fmq_socket_router(fmq_error_t *err);
/* Binds and writes the endpoint as bound into resolved.  FMQ_ERR_DENIED for
 * a tcp address other than loopback unless insecure, FMQ_ERR_IO with what to do
 * when it is in use or not this machine's. */
int fmq_socket_bind(zsock_t *router, const char *endpoint, bool insecure,
                    char resolved[FMQ_ENDPOINT_MAX], fmq_error_t *err);

/* Gives an endpoint free at once, which closing the socket does not. */
void fmq_socket_unbind(zsock_t *router, const char *resolved);

/* Opens a DEALER that is connecting to endpoint; of a name with several
 * addresses, to the first one where somebody accepts, which is tried briefly.
 * NULL with err, FMQ_ERR_NOTFOUND when the name has no address (now). */
zsock_t *fmq_socket_dealer(const char *endpoint, uint32_t timeout_ms, fmq_error_t *err);

/* Sends a message without blocking; route NULL: a DEALER's, lane 0.  Takes
 * *payload_p on success (payload_p may be NULL).  Returns bytes sent, or -1
 * with errno EAGAIN (full), EHOSTUNREACH (no such peer), or another. */
int fmq_socket_send(zsock_t *socket, const fmq_route_t *route, const fmq_message_t *message,
                    fmq_frame_t **payload_p);

typedef struct {
    fmq_route_t route; /* without an id from a DEALER */
    fmq_message_t message;
    fmq_frame_t *payload; /* owned by whoever received it; NULL when there is none */
    size_t bytes;         /* of all frames but the route */
} fmq_received_t;

/* Receives without blocking.  1: *out filled; 0: nothing there; -1 with err: a
 * malformed message was taken off the socket and dropped; out->route and
 * out->bytes are valid then, and no payload is left. */
int fmq_socket_receive(zsock_t *socket, bool routed, fmq_received_t *out, fmq_error_t *err);

#endif
