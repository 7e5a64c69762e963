/*
 * port.h - the hub's end of a link: what it is to a router, whatever its actor
 * does.
 *
 * A port moves messages between its lane of a connection and the pure tables
 * (session, contact, outbox, inbox, fetches, serving), and tells its actor the
 * news.  The hub says when: something was heard or is wanted, or its timer is
 * due.  One thread, the hub's; it never waits.
 */
#ifndef FEDMQ_BROKER_PORT_H
#define FEDMQ_BROKER_PORT_H

#include "base/timers.h"
#include "broker/backlog.h"
#include "broker/connection.h"
#include "broker/contact.h"
#include "broker/inbox.h"
#include "broker/link_pipe.h"
#include "broker/outbox.h"
#include "broker/serving.h"
#include "broker/session.h"

typedef struct fmq_port fmq_port_t;

struct fmq_port {
    fmq_timer_t timer; /* the hub's */
    fmq_port_list_t *list;
    fmq_port_t *before, *after; /* in list */
    fmq_link_pipe_t *pipe;      /* borrowed */
    fmq_connections_t *connections;
    fmq_connection_t *connection; /* NULL while closed */
    fmq_route_t route;            /* its lane */
    fmq_session_t session;
    fmq_contact_t contact;
    fmq_outbox_t *outbox;
    fmq_inbox_t *inbox;
    fmq_fetches_t *fetches;
    fmq_serving_t *serving;
    bool was_up;        /* what the actor was told */
    bool blocked;       /* the socket took no more */
    bool refused, told; /* by the router; and the actor knows */
    fmq_error_t refusal;
    int64_t now_ms;
    bool closing, over;
    bool homeless;        /* the hub had no slot for it */
    fmq_backlog_t unsent; /* said once, for the router to forget something */
    int64_t close_ms;     /* when patience ends */
};

/* NULL with FMQ_ERR_NOMEM.  The actor's thread may make it; from then on it is
 * the hub's. */
fmq_port_t *fmq_port_new(fmq_link_pipe_t *pipe, fmq_error_t *err);
/* Gives its connection back and tells the actor's end that it is gone. */
void fmq_port_destroy(fmq_port_t **self_p);

/* It will never get anywhere: its actor hears REFUSED. */
void fmq_port_refuse(fmq_port_t *self, const fmq_error_t *why);
/* Does what the actor wants. */
void fmq_port_obey(fmq_port_t *self, fmq_command_t *command, int64_t now_ms);
/* Takes a message of the router's. */
void fmq_port_hear(fmq_port_t *self, fmq_received_t *in, int64_t now_ms);
/* Does all there is to do now.  After it: `over` says that it has closed,
 * `blocked` that it waits for its connection. */
void fmq_port_attend(fmq_port_t *self, int64_t now_ms);
/* When it wants to be attended although nothing happens. */
int64_t fmq_port_due(const fmq_port_t *self);

/* Moves a port to the end of a list, out of the one it was in (list NULL: into
 * none); takes the first of a list out. */
void fmq_port_move(fmq_port_t *self, fmq_port_list_t *list);
fmq_port_t *fmq_port_list_take(fmq_port_list_t *self);

#endif
