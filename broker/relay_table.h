/*
 * relay_table.h - the relays by reader and by ticket; relay.c's own.
 *
 * Knows how relays are found, begun and swept away, not what moves them.
 */
#ifndef FEDMQ_BROKER_RELAY_TABLE_H
#define FEDMQ_BROKER_RELAY_TABLE_H

#include <czmq.h>

#include "broker/assembly.h"
#include "broker/backlog.h"
#include "broker/stream.h"

typedef enum {
    FMQ_SOURCE_NONE,  /* for a source */
    FMQ_SOURCE_STORE, /* from the store */
    FMQ_SOURCE_OWNER, /* the owner */
    FMQ_SOURCE_DONE   /* to be swept away */
} fmq_source_t;

typedef struct {
    uint32_t ticket;                  /* ours, quoted by the owner; new for every asking */
    char reader[FMQ_MEMBER_NAME_MAX]; /* empty: a pull */
    fmq_role_t role;                  /* the reader's */
    uint32_t reader_ticket;
    char owner[FMQ_MEMBER_NAME_MAX];
    fmq_digest_t digest;
    uint32_t next;   /* chunk to come from the owner */
    uint32_t credit; /* chunks the reader may still get */
    uint32_t told;   /* of these, as many as the owner knows of */
    fmq_source_t source;
    int64_t since_ms;      /* WAITING since */
    fmq_stream_t stream;   /* SERVING */
    fmq_backlog_t backlog; /* what the reader could not take yet */
    bool complete;         /* the owner has sent all of it */
    fmq_assembly_t pulled; /* a pull's object so far */
} fmq_relay_t;

typedef struct {
    zhashx_t *relays;  /* "reader ticket" -> fmq_relay_t, owned */
    zhashx_t *tickets; /* our ticket -> fmq_relay_t, borrowed */
    zlistx_t *done;    /* fmq_relay_t, borrowed: to be swept away */
    uint32_t ticket;
} fmq_relay_table_t;

int fmq_relay_table_init(fmq_relay_table_t *self);
void fmq_relay_table_release(fmq_relay_table_t *self);

/* A relay like the one given, whose parts it takes over.  NULL with err. */
fmq_relay_t *fmq_relay_table_add(fmq_relay_table_t *self, const fmq_relay_t *like,
                                 fmq_error_t *err);
fmq_relay_t *fmq_relay_table_of_reader(fmq_relay_table_t *self, const char *reader,
                                       uint32_t ticket);
fmq_relay_t *fmq_relay_table_of_ticket(fmq_relay_table_t *self, uint32_t ticket);
/* Gives the owner a ticket that it has never seen, so that chunks of an
 * earlier asking can be told apart. */
int fmq_relay_table_renew_ticket(fmq_relay_table_t *self, fmq_relay_t *relay);

/* The relays as they are now, for walks that may begin others; the caller
 * destroys the list, which owns nothing. */
zlistx_t *fmq_relay_table_list(fmq_relay_table_t *self);

/* Marks a relay as done.  It is freed by the next sweep only, at the end of
 * what was called from outside, so that no walk loses its footing. */
void fmq_relay_table_finish(fmq_relay_table_t *self, fmq_relay_t *relay);
void fmq_relay_table_sweep(fmq_relay_table_t *self);

/* True when the reader is the router's store. */
bool fmq_relay_is_pull(const fmq_relay_t *relay);

#endif
