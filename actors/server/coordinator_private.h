/*
 * coordinator_private.h - the coordinator's inside: what a run consists of, each part a
 * class that only the file of its name writes to (tests/house/test_owners.py).
 *
 * Its own members are coordinator.c's to write.  Files without state of their own do
 * things with the parts: reports.c takes clients' answers, request.c asks, export.c
 * saves, hosting.c lends the strategy what it needs.
 */
#ifndef FEDMQ_ACTORS_SERVER_COORDINATOR_PRIVATE_H
#define FEDMQ_ACTORS_SERVER_COORDINATOR_PRIVATE_H

#include "actors/server/announce.h"
#include "actors/server/attention.h"
#include "actors/server/checkpoints.h"
#include "actors/server/collector.h"
#include "actors/server/computing.h"
#include "actors/server/coordinator.h"
#include "actors/server/counts.h"
#include "actors/server/inbox.h"
#include "actors/server/measurements.h"
#include "actors/server/participants.h"
#include "actors/server/perform.h"
#include "actors/server/records.h"
#include "actors/server/round_log.h"
#include "actors/server/rounds.h"
#include "actors/server/run_status.h"
#include "actors/server/shared_state.h"
#include "actors/server/showing.h"
#include "actors/server/watchers.h"

typedef struct fmq_coordinator {
    fmq_coordinator_options_t options;
    const fmq_server_settings_t *settings; /* borrowed */
    fmq_link_t *link;
    fmq_strategy_t strategy;

    fmq_attention_t attention;       /* the time, $TERM, what this thread computes */
    fmq_participants_t participants; /* who is here, asked, has answered */
    fmq_rounds_t rounds;             /* what follows what */
    fmq_perform_t perform;
    fmq_checkpoints_t checkpoints; /* where the run stands */
    fmq_round_log_t round_log;     /* plan, closed list and updates of the round */
    fmq_collector_t *collector;    /* fetches them */
    fmq_shared_state_t shared;     /* the vector */
    fmq_announce_t announce;       /* what was told to whom */
    fmq_measurements_t measurements;
    fmq_records_t records;     /* how clients' data fit */
    fmq_counts_t counts;       /* how many examples each can have */
    fmq_inbox_t inbox;         /* what was said of messages that were refused */
    fmq_computing_t computing; /* who computes with something else */
    fmq_watchers_t watchers;   /* evaluators */
    fmq_showing_t showing;     /* what people see */
    fmq_run_status_t status;   /* what observers hear */

    bool over;         /* nothing is left to do */
    bool prepared;     /* ... because all there was to do is before round 0 */
    fmq_error_t fatal; /* code other than FMQ_OK: the run has failed */
} coordinator_t;

/* stalls.c: nobody is to blame for the time in which we did not listen; and who
 * is here without getting on is left out. */
void fmq_coordinator_excuse_if_deaf(coordinator_t *self);
void fmq_coordinator_drop_stalled(coordinator_t *self);

/* hosting.c: the strategy's part.  prepare: until it is done; OVER, or STOPPED, or FAILED.
 * aggregate: of the updates (NULL: none is usable); when told to stop the round is to be tried
 * again. */
fmq_step_t fmq_coordinator_prepare(coordinator_t *self, fmq_error_t *err);
int fmq_coordinator_aggregate(coordinator_t *self, const fmq_updates_t *updates, fmq_error_t *err);
int fmq_coordinator_export(coordinator_t *self, fmq_error_t *err);
/* Is there a state of the run? */
bool fmq_coordinator_shares(const coordinator_t *self);

/* export.c: best/ and save_to; "<round>_<save_to>" when it is due; adapter/,
 * "final_<save_to>" and what the strategy makes for others. */
int fmq_coordinator_save_best(coordinator_t *self, fmq_error_t *err);
int fmq_coordinator_save_periodic(coordinator_t *self, fmq_error_t *err);
int fmq_coordinator_save_final(coordinator_t *self, fmq_error_t *err);
/* Where they go must be known to work before a long run begins. */
int fmq_coordinator_make_places(coordinator_t *self, fmq_error_t *err);

#endif
