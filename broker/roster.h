/*
 * roster.h - who is connected to a router, and when it was last heard.
 *
 * A member is a name; connections come and go under it.  A roster belongs to
 * one thread, does no I/O and reads no clock.
 */
#ifndef FEDMQ_BROKER_ROSTER_H
#define FEDMQ_BROKER_ROSTER_H

#include "broker/socket.h"

typedef struct fmq_member {
    char name[FMQ_MEMBER_NAME_MAX];
    fmq_role_t role;
    uint64_t incarnation; /* chosen anew by every link */
    fmq_route_t route;    /* valid while connected */
    bool connected;       /* there is a route that may be sent to */
    bool alive;
    int64_t seen_ms;  /* last sign of life */
    int64_t given_ms; /* last message sent to it */
    uint64_t step, steps;
    uint32_t offences; /* malformed or denied messages */
    int64_t barred_ms; /* nothing is taken from it before this time */
    uint64_t changed;  /* serial of its last change, unique */
    uint64_t shown; /* serial up to which it knows of changes: a server of all, others of servers */
    uint64_t rival; /* incarnation that wants this name, 0: none */
    int64_t rival_ms;                 /* since when */
    struct fmq_member *older, *newer; /* in the order of their last changes */
    uint32_t place;                   /* the roster's own */
} fmq_member_t;

typedef struct fmq_roster fmq_roster_t;

/* A member unheard for timeout_ms counts as gone. */
fmq_roster_t *fmq_roster_new(uint32_t timeout_ms, uint32_t heartbeat_ms, uint32_t members_max);
void fmq_roster_destroy(fmq_roster_t **self_p);

/* Borrowed, or NULL. */
fmq_member_t *fmq_roster_find(fmq_roster_t *self, const char *name);
fmq_member_t *fmq_roster_find_route(fmq_roster_t *self, const fmq_route_t *route);
uint32_t fmq_roster_size(const fmq_roster_t *self);  /* all */
uint32_t fmq_roster_alive(const fmq_roster_t *self); /* those alive */

typedef enum {
    FMQ_HELLO_NEW,    /* a new member, or a new incarnation of one */
    FMQ_HELLO_AGAIN,  /* the same link on a new connection, or repeating itself */
    FMQ_HELLO_WAIT,   /* the name is held by a connection that may be dead: say
                       * nothing; the link will ask again */
    FMQ_HELLO_REFUSED /* err says why */
} fmq_hello_t;

/* Judges a HELLO that came by route.  Before it, the caller should find out
 * whether the present holder of the name can still be reached, and if not say
 * so with fmq_roster_disconnect(). */
fmq_hello_t fmq_roster_hello(fmq_roster_t *self, const fmq_route_t *route,
                             const fmq_message_t *hello, int64_t now_ms, fmq_error_t *err);

/* A sign of life; a member that had been given up is alive again. */
void fmq_roster_touch(fmq_roster_t *self, fmq_member_t *member, int64_t now_ms);
void fmq_roster_progress(fmq_roster_t *self, fmq_member_t *member, uint64_t step, uint64_t steps);
/* It said BYE, or its connection is known to be gone: not alive, no route. */
void fmq_roster_leave(fmq_roster_t *self, fmq_member_t *member);
/* Its connection is gone, but it may come back in time. */
void fmq_roster_disconnect(fmq_roster_t *self, fmq_member_t *member);
/* The next member whose silence has lasted too long, marked as not alive;
 * NULL when there is none. */
fmq_member_t *fmq_roster_expire(fmq_roster_t *self, int64_t now_ms);

/* The member with the smallest `changed` above serial, or NULL; the others
 * follow by `newer`. */
fmq_member_t *fmq_roster_changed_after(fmq_roster_t *self, uint64_t serial);

/* Walks all members in no order: first with NULL, NULL after the last.
 * Nobody may be added meanwhile. */
fmq_member_t *fmq_roster_next(fmq_roster_t *self, const fmq_member_t *member);

#endif
