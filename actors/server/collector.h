/*
 * collector.h - fetches offered updates into the journal of the round.
 *
 * Clients offer, the collector fetches a few updates at a time, chunk by chunk,
 * and hands them to the journal.  What is wrong in itself (malformed, not
 * finite) is rejected for good; what got lost on the way (the client went,
 * withdrew, was cut off) is tried again (download.h).  Memory: one small slot a
 * client.
 */
#ifndef FEDMQ_ACTORS_SERVER_COLLECTOR_H
#define FEDMQ_ACTORS_SERVER_COLLECTOR_H

#include "actors/storage/update_log.h"
#include "fedmq/broker/link.h"

#define FMQ_COLLECTOR_FETCHES_MAX 16                  /* updates being fetched at once */
#define FMQ_COLLECTOR_SAMPLES_MAX (UINT64_C(1) << 40) /* of an update */

typedef struct {
    fmq_link_t *link;           /* borrowed */
    const fmq_schema_t *schema; /* borrowed */
    fmq_log_t *log;             /* borrowed, may be NULL */
    uint32_t clients;
    /* An update is durable; an offer was no good.  Called from within the
     * collector's functions. */
    void (*accepted)(void *argument, uint32_t client);
    void (*rejected)(void *argument, uint32_t client, const char *reason);
    void *argument;
} fmq_collector_options_t;

typedef struct fmq_collector fmq_collector_t;

fmq_collector_t *fmq_collector_new(const fmq_collector_options_t *options, fmq_error_t *err);
void fmq_collector_destroy(fmq_collector_t **self_p);

/* Begins to fill a journal (borrowed); an open one is closed first. */
void fmq_collector_open(fmq_collector_t *self, fmq_update_log_t *journal);
/* Drops whatever is not durable and forgets the journal. */
void fmq_collector_close(fmq_collector_t *self);

/* Client offers an update.  The same offer again changes nothing; another one
 * replaces what has not been accepted. */
void fmq_collector_offer(fmq_collector_t *self, uint32_t client,
                         const fmq_message_report_t *report);

/* Client is gone: its fetch is stopped and tried again when it is back. */
void fmq_collector_lost(fmq_collector_t *self, uint32_t client, int64_t now_ms);

/* Does its offer wait for us alone: for room, or for the commit? */
bool fmq_collector_is_queued(const fmq_collector_t *self, uint32_t client);
/* Nothing more is fetched of what client has offered. */
void fmq_collector_give_up(fmq_collector_t *self, uint32_t client);

/* CHUNK, FETCHED and FAILED events of the link.  -1: the disk failed, the run
 * cannot go on. */
int fmq_collector_event(fmq_collector_t *self, const fmq_event_t *event, int64_t now_ms,
                        fmq_error_t *err);

/* Starts fetches that have room or whose time to retry has come, for clients
 * that alive(argument, client) says are here.  -1: the disk failed. */
int fmq_collector_work(fmq_collector_t *self, bool (*alive)(void *, uint32_t), int64_t now_ms,
                       fmq_error_t *err);

/* Makes durable what has been fetched (one group commit), and calls accepted. */
int fmq_collector_commit(fmq_collector_t *self, fmq_error_t *err);
/* Bytes of all updates that were accepted, as offered; none when self is NULL. */
uint64_t fmq_collector_received(const fmq_collector_t *self);
/* Fetched and waiting for the commit; being fetched or waiting for it. */
size_t fmq_collector_pending(const fmq_collector_t *self);
size_t fmq_collector_busy(const fmq_collector_t *self);

#endif
