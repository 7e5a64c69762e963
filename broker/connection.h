/*
 * connection.h - the DEALER sockets of a hub, each shared by the ports whose
 * router is at the same endpoint.
 *
 * A port that mistrusts its connection gives it back as stale: nobody joins it
 * any more, those that are on it may stay, and the next to ask gets a new
 * socket.  One thread.
 */
#ifndef FEDMQ_BROKER_CONNECTION_H
#define FEDMQ_BROKER_CONNECTION_H

#include "broker/probe.h"
#include "broker/socket.h"

struct fmq_port;

/* Ports in order; each is in one list at most. */
typedef struct fmq_port_list {
    struct fmq_port *first, *last; /* borrowed */
} fmq_port_list_t;

typedef struct fmq_connection {
    char endpoint[FMQ_ENDPOINT_MAX];
    zsock_t *socket; /* owned */
    uint32_t users;
    bool stale;
    bool blocked;            /* it takes no more until it says so */
    fmq_port_list_t waiting; /* that have something to send */
    struct fmq_connection *next;
} fmq_connection_t;

/* Plain data; all zero is empty. */
typedef struct {
    fmq_connection_t *first; /* owned */
    size_t size;
    char probed[FMQ_ENDPOINT_MAX]; /* what was found out last, where and when */
    char said[FMQ_ERROR_TEXT_MAX];
    int64_t probed_ms;
} fmq_connections_t;

/* A connection to endpoint for one more user; NULL with err. */
fmq_connection_t *fmq_connections_join(fmq_connections_t *self, const char *endpoint,
                                       uint32_t timeout_ms, fmq_error_t *err);
/* One user fewer; *connection_p becomes NULL. */
void fmq_connections_part(fmq_connections_t *self, fmq_connection_t **connection_p, bool stale);

/* Who, if anybody, answers at endpoint, as a sentence; takes a second at most
 * for each of its addresses, and asks but once in two. */
const char *fmq_connections_find_out(fmq_connections_t *self, const char *endpoint, int64_t now_ms);

#endif
