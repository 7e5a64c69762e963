/*
 * announce.h - what a server tells others: the notes it leaves, and the objects that
 * these name.
 *
 * Notes are latest-value, so each may be left again.  What is announced is durable
 * before (perform.c).
 */
#ifndef FEDMQ_ACTORS_SERVER_ANNOUNCE_H
#define FEDMQ_ACTORS_SERVER_ANNOUNCE_H

#include "fedmq/actors/messages.h"

struct fmq_coordinator;

/* The newest object of a kind, and the one before, which somebody may still be
 * fetching. */
typedef struct {
    fmq_digest_t now, before;
    uint64_t bytes; /* of the newest */
} fmq_published_t;

typedef struct {
    fmq_published_t state, beside; /* beside: what the strategy lets clients have with it */
    fmq_digest_t manifest;         /* of what clients make their model of; bytes 0: nothing */
    uint64_t manifest_bytes;
    fmq_digest_t *told;  /* owned, client k at k - 1: what it was last told of that lies beside */
    uint64_t bytes_down; /* of what clients were told to fetch */
} fmq_announce_t;

int fmq_announce_open(struct fmq_coordinator *self, fmq_error_t *err);
void fmq_announce_release(struct fmq_coordinator *self);

/* Which run this is, and what its clients' model is made of. */
int fmq_announce_run(struct fmq_coordinator *self, fmq_error_t *err);
/* Publishes the state, which from then on is not written to, and tells evaluators and observers;
 * `last`: none follows. */
int fmq_announce_state(struct fmq_coordinator *self, bool last, fmq_error_t *err);
int fmq_announce_task(struct fmq_coordinator *self, uint32_t client, fmq_task_kind_t kind,
                      fmq_error_t *err);
/* What answers to a task of this kind, in the exchange that is open, quote. */
uint64_t fmq_announce_serial(const struct fmq_coordinator *self, fmq_task_kind_t kind);
/* This process leaves a run that is not over: who takes part waits. */
int fmq_announce_away(struct fmq_coordinator *self, fmq_error_t *err);
int fmq_announce_done(struct fmq_coordinator *self, bool failed, const char *reason,
                      fmq_error_t *err);

#endif
