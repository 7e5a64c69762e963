/*
 * evaluator_private.h - the evaluator actor's state, shared by its files.
 *
 * evaluator.c is the actor's life, fetch.c gets the vectors of a state, records.c
 * what is measured on, standing.c tells the server whether to wait for it.
 * Nobody else includes this.
 */
#ifndef FEDMQ_ACTORS_EVALUATOR_PRIVATE_H
#define FEDMQ_ACTORS_EVALUATOR_PRIVATE_H

#include "actors/evaluator/follow.h"
#include "actors/protocol/download.h"
#include "actors/runtime/presence.h"
#include "actors/settings/settings.h"
#include "fedmq/actors/actors.h"

typedef struct {
    fmq_context_t context; /* what it points to is borrowed */
    bool once;
    fmq_writer_t *out; /* borrowed, or NULL */
    char name[FMQ_MEMBER_NAME_MAX];
    char server[FMQ_MEMBER_NAME_MAX];
    char splitter[FMQ_MEMBER_NAME_MAX];
    zsock_t *pipe; /* borrowed */
    fmq_link_t *link;
    fmq_message_run_t run;
    bool has_run;
    fmq_follow_t follow;
    fmq_message_shard_t shard;
    fmq_download_t shard_download;
    const llm_records_t *records; /* borrowed: own ones, or fetched */
    llm_records_t *fetched;       /* owned */
    llm_dataset_t *dataset;       /* owned */
    bool is_val;                  /* they are for validation, not for testing */
    int64_t lacking_ms;           /* records are lacking, and none came in, since then */
    fmq_message_report_t said;    /* what the server was told of us last, ... */
    bool has_said;                /* ... if anything */
    fmq_offsite_settings_t offsite;
    llm_prefix_cache_t *prefix, *plugin_prefix; /* owned: of the dataset, or NULL */
    uint64_t steps;                             /* of work, for the heartbeat */
    fmq_presence_t presence;                    /* of the server */
    bool terminated, done;
    bool stated;     /* a state to measure was heard of ... */
    bool reported;   /* ... and one was measured */
    bool run_failed; /* done: its reason */
    char reason[FMQ_REASON_MAX];
    fmq_error_t fatal;
} evaluator_t;

/* records.c: tokenizes what is measured; fatal is set when nothing can be. */
void fmq_evaluator_use_records(evaluator_t *self, const llm_records_t *records);
void fmq_evaluator_on_shard(void *self, const fmq_event_t *event, const void *message);
void fmq_evaluator_take_shard(evaluator_t *self, const fmq_event_t *event);
/* Says on both sides, in time, that records are lacking; fatal where none can come. */
void fmq_evaluator_tend_records(evaluator_t *self, int64_t now_ms);
/* Milliseconds until that has something to do, at most `most`. */
int fmq_evaluator_records_patience(const evaluator_t *self, int64_t now_ms, int most);
/* Why there is nothing to measure on. */
void fmq_evaluator_why_no_records(const evaluator_t *self, char out[FMQ_REASON_MAX]);

/* standing.c: tells the server, unless it knows, that this evaluator will report
 * (reason ""), or will not for now, or (failed) never. */
void fmq_evaluator_say(evaluator_t *self, bool failed, const char *reason);

/* Begins to fetch an item's state and, with offsite tuning, its emulator. */
void fmq_evaluator_start_fetch(evaluator_t *self, fmq_follow_item_t *item);
/* A vector of a ready item's state, the caller's, for it to be measured: one that
 * came is given away, one of this process is read now.  NULL: not this time, or
 * with fatal set. */
float *fmq_evaluator_take_vector(evaluator_t *self, fmq_follow_item_t *item);
/* Takes an event of those fetches; the item is READY when both are done. */
void fmq_evaluator_take_state(evaluator_t *self, fmq_follow_item_t *item, const fmq_event_t *event);

#endif
