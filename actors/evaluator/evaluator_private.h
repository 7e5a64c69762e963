/*
 * evaluator_private.h - the evaluator actor's state, shared by its files.
 *
 * evaluator.c is the actor's life, fetch.c gets the vectors of a state.  Nobody
 * else includes this.
 */
#ifndef FEDMQ_ACTORS_EVALUATOR_PRIVATE_H
#define FEDMQ_ACTORS_EVALUATOR_PRIVATE_H

#include "actors/evaluator/follow.h"
#include "actors/protocol/download.h"
#include "actors/runtime/presence.h"
#include "actors/settings/settings.h"
#include "fedmq/actors/actors.h"

typedef struct {
    fmq_shared_t shared; /* what it points to is borrowed */
    bool once;
    fmq_writer_t *out; /* borrowed, or NULL */
    char name[FMQ_MEMBER_NAME_MAX];
    char server[FMQ_MEMBER_NAME_MAX];
    char splitter[FMQ_MEMBER_NAME_MAX];
    zsock_t *pipe; /* borrowed */
    fmq_link_t *link;
    fmq_note_run_t run;
    bool has_run;
    fmq_follow_t follow;
    fmq_note_shard_t shard;
    fmq_download_t shard_download;
    const llm_records_t *records; /* borrowed: own ones, or fetched */
    llm_records_t *fetched;       /* owned */
    llm_dataset_t *dataset;       /* owned */
    fmq_offsite_settings_t offsite;
    llm_prefix_cache_t *prefix, *plugin_prefix; /* owned: of the dataset, or NULL */
    uint64_t steps;                             /* of work, for the heartbeat */
    fmq_presence_t presence;                    /* of the server */
    bool terminated, done;
    char reason[FMQ_REASON_MAX];
    fmq_error_t fatal;
} evaluator_t;

/* Begins to fetch an item's state and, with offsite tuning, its emulator. */
void fmq_evaluator_start_fetch(evaluator_t *self, fmq_follow_item_t *item);
/* Takes an event of those fetches; the item is READY when both are done. */
void fmq_evaluator_take_state(evaluator_t *self, fmq_follow_item_t *item, const fmq_event_t *event);

#endif
