/*
 * coordinator_private.h - the coordinator's inside, shared by its files:
 * coordinator.c (life and events), records.c (what clients' data come to), reports.c (what clients
 * say), stalls.c (who does not get on), watchers.c (evaluators), perform.c (the steps that rounds.h
 * orders), announce.c (notes that it leaves), outcome.c (metrics, best state), export.c (what is
 * saved), hosting.c (what it lends the strategy), showing.c (what people see), status.c (how the
 * run stands).
 */
#ifndef FEDMQ_ACTORS_SERVER_COORDINATOR_PRIVATE_H
#define FEDMQ_ACTORS_SERVER_COORDINATOR_PRIVATE_H

#include "actors/protocol/status.h"
#include "actors/server/collector.h"
#include "actors/server/coordinator.h"
#include "actors/server/rounds.h"
#include "actors/storage/checkpoint.h"
#include "actors/storage/dealt.h"
#include "actors/storage/metrics_log.h"
#include "broker/lent_state.h"
#include "fedmq/llm/dataset.h"

#define WATCHERS_MAX 64 /* evaluators whose last measurement is waited for */

typedef enum {
    WATCHER_UNKNOWN, /* it has not said or shown anything */
    WATCHER_READY,   /* it works, or has said that it will measure */
    WATCHER_EXCUSED  /* it has said why it will not */
} standing_t;

typedef struct {
    char name[FMQ_MEMBER_NAME_MAX];
    bool alive;
    standing_t standing;
    bool given_up;      /* at the end, aloud */
    bool measured;      /* ... the state of round `round` */
    uint64_t computing; /* fmq_coordinator_compare_computing() */
    uint32_t round;
    uint64_t step;    /* its progress ... */
    int64_t moved_ms; /* ... changed then */
} watcher_t;

typedef struct {
    uint64_t step, steps;
} progress_t;

/* The newest object of a kind, and the one before, which somebody may still be
 * fetching. */
typedef struct {
    fmq_digest_t now, before;
    uint64_t bytes; /* of the newest */
} published_t;

/* What was told of how the run stands, and when. */
typedef struct {
    int64_t began_ms, phase_ms, told_ms, file_ms;
    fmq_run_phase_t phase;
    uint32_t round;
    bool unsaved;   /* phase or round are others than in the file */
    bool unwritten; /* the file could not be written; that was said */
} told_status_t;

typedef struct {
    fmq_coordinator_options_t options;
    const fmq_server_settings_t *settings; /* borrowed */
    int64_t now_ms;
    zsock_t *pipe; /* borrowed */
    fmq_link_t *link;

    char *journals, *checkpoints, *best; /* owned paths */
    fmq_metrics_log_t *history;
    fmq_checkpoint_t mark;  /* where the run stands */
    float *state;           /* of round mark.round, ... */
    float *own_state;       /* ... and owned, unless options say where it lies */
    fmq_lent_state_t *lent; /* of state while it is published; NULL: it may be written to */
    bool away;              /* the state is in its checkpoint only, and its memory given back */
    fmq_strategy_t strategy;
    fmq_exchange_t
        exchanges[FMQ_EXCHANGES_MAX]; /* of a round; the open one is participants.exchange */
    size_t exchanges_size;
    fmq_sections_t sections; /* of checkpoints: the state and what the strategy keeps */
    fmq_digest_t *fetched;   /* owned, client k at k - 1: what it was last told of that lies
                              * beside the state */
    fmq_digest_t manifest;
    uint64_t manifest_bytes;
    published_t published, published_beside;

    fmq_participants_t participants;
    fmq_update_log_t *journal; /* of the round in training, or NULL */
    fmq_collector_t *collector;
    fmq_metrics_t **answers;       /* owned: of this phase, client k at k - 1 */
    uint64_t bytes_up, bytes_down; /* of updates accepted, of states asked to be fetched */
    progress_t *progress;          /* owned, client k at k - 1 */
    watcher_t watchers[WATCHERS_MAX];
    size_t watchers_size;
    int64_t waiting_ms; /* the end says again then that it waits for them */

    fmq_dealt_t *dealt;  /* what the splitter says; NULL where clients bring their own data */
    uint64_t *computing; /* owned, client k at k - 1: fmq_coordinator_compare_computing() */
    bool computing_told; /* that somebody computes with something else */
    llm_fit_t *fits;     /* owned, client k at k - 1: how its records fit; records 0: unknown */
    bool fits_told;      /* those that were known then; others are told as they come */

    char left_out_because[256]; /* "client 3: reason", the newest of this round; "": nobody */

    int64_t listened_ms;      /* events were taken then */
    bool drained;             /* ... and none were left */
    int64_t shown_ms;         /* progress was shown then */
    uint32_t shown_ready;     /* clients that were shown as present */
    int64_t turned_ms;        /* a client that is none was spoken of then */
    int64_t missing_ms;       /* who is missing is said again then, if nobody came ... */
    int64_t missing_pause_ms; /* ... and after that so much later */
    double train_loss;        /* of the last round; NaN: unknown */
    int64_t evaluated;        /* the round that clients measured last; -1: none */
    bool unmeasured;          /* ... or rather all of them failed to */
    bool warned;              /* that the metric which decides is not measured */
    uint32_t block;           /* of alignment that runs, from 1, of ... */
    uint32_t blocks;          /* ... so many before round 0; 0: the one after a round */
    progress_t own_step;      /* of what this thread computes */
    double align_loss;        /* of the last block; NaN: unknown */
    fmq_metrics_t own;        /* what the server measured in this evaluation */
    bool busy;                /* this thread computed: events wait that decide too */
    bool begun;               /* enough clients were there once */
    bool stopped;             /* early */
    bool terminated;          /* $TERM */
    bool over;                /* nothing is left to do */
    const char *outcome;      /* how it ended when it ended well */
    told_status_t status;
    fmq_error_t told;  /* the failure elsewhere that $TERM came for */
    fmq_error_t fatal; /* code other than FMQ_OK: the run has failed */
} coordinator_t;

/* reports.c: takes a note of a client, and leaves out one from which nothing
 * usable comes in this phase. */
int fmq_coordinator_take_report(coordinator_t *self, uint32_t client, const fmq_event_t *event,
                                fmq_error_t *err);
void fmq_coordinator_leave_out(coordinator_t *self, uint32_t client, const char *reason);
/* outcome.c: what a client can have used in a round at most, of a shard of so many training
 * examples; what it was dealt counts where that is known. */
uint64_t fmq_coordinator_used_max(const coordinator_t *self, uint32_t client, uint64_t shard);

/* records.c: takes what a report says of its client's data. */
int fmq_coordinator_take_fit(coordinator_t *self, uint32_t client,
                             const fmq_message_report_t *report, fmq_error_t *err);
/* ... and what a splitter says that it was dealt. */
void fmq_coordinator_take_shard(coordinator_t *self, const fmq_event_t *event);
/* Says once, for all clients together, what of their records cannot be used. */
int fmq_coordinator_tell_fits(coordinator_t *self, fmq_error_t *err);
/* FMQ_ERR_CONFIG when every client that could train has said that it cannot. */
int fmq_coordinator_check_trainable(coordinator_t *self, fmq_error_t *err);

/* computing.c: says of a member that it computes with something else than the
 * server's settings say.  *known is 0 at first: what it was said of. */
void fmq_coordinator_compare_computing(coordinator_t *self, const char *member, uint64_t *known,
                                       const char *computes);

/* stalls.c: nobody is to blame for the time in which we did not listen; and who
 * is here without getting on is left out. */
void fmq_coordinator_excuse_if_deaf(coordinator_t *self);
void fmq_coordinator_drop_stalled(coordinator_t *self);

/* announce.c */
uint64_t fmq_coordinator_serial(const coordinator_t *self, fmq_task_kind_t kind);
int fmq_coordinator_post_run(coordinator_t *self, fmq_error_t *err);
/* Publishes the state, which from then on is not written to, and tells
 * evaluators; `last`: none follows. */
int fmq_coordinator_post_state(coordinator_t *self, bool last, fmq_error_t *err);
int fmq_coordinator_post_task(coordinator_t *self, uint32_t client, fmq_task_kind_t kind,
                              fmq_error_t *err);
/* The state may be written to, or is not needed any more: who still reads the
 * published one goes on in its checkpoint. */
int fmq_coordinator_reclaim_state(coordinator_t *self, fmq_error_t *err);
void fmq_coordinator_end_lending(coordinator_t *self);
/* While others compute, the memory of a large published state is theirs: it is in
 * its checkpoint.  It is brought back before the server itself reads it. */
void fmq_coordinator_put_state_away(coordinator_t *self);
int fmq_coordinator_bring_state(coordinator_t *self, fmq_error_t *err);
/* This process leaves a run that is not over: who takes part waits. */
int fmq_coordinator_post_away(coordinator_t *self, fmq_error_t *err);
int fmq_coordinator_post_done(coordinator_t *self, bool failed, const char *reason,
                              fmq_error_t *err);

/* showing.c: what people see of the run; unless something was shown just before. */
void fmq_coordinator_show(coordinator_t *self, fmq_run_event_type_t type);
void fmq_coordinator_show_now_and_then(coordinator_t *self, fmq_run_event_type_t type);
/* Heard and shown by everything that computes in this thread: other than 0
 * when it should stop. */
int fmq_coordinator_progress(void *self, uint64_t step, uint64_t steps, uint64_t tokens);

/* hosting.c: the strategy's part.  prepare: until it is done; over or terminated may
 * be set.  aggregate: of the updates (NULL: none is usable); terminated and the round
 * to be tried again when told to stop. */
int fmq_coordinator_open_strategy(coordinator_t *self, fmq_error_t *err);
int fmq_coordinator_prepare(coordinator_t *self, fmq_error_t *err);
int fmq_coordinator_aggregate(coordinator_t *self, const fmq_updates_t *updates, fmq_error_t *err);
int fmq_coordinator_export(coordinator_t *self, fmq_error_t *err);
/* Which of a round's exchanges is open, from 0; 0 between rounds too. */
size_t fmq_coordinator_exchange(const coordinator_t *self);
/* Does training bring updates, and is there a state of the run? */
bool fmq_coordinator_collects(const coordinator_t *self);
bool fmq_coordinator_shares(const coordinator_t *self);

/* perform.c: does what the facts call for, until they call for nothing. */
int fmq_coordinator_advance(coordinator_t *self, fmq_error_t *err);

/* status.c: tells, about once a second, how the run stands; and, once, how it ended. */
void fmq_coordinator_tell_status(coordinator_t *self);
void fmq_coordinator_tell_end(coordinator_t *self, const fmq_error_t *why);

/* watchers.c: whom of the evaluators the end waits for.  What the link, a
 * `metrics` note, and a `report` say of one: */
void fmq_coordinator_watch(coordinator_t *self, const fmq_event_t *event);
int fmq_coordinator_take_metrics(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err);
void fmq_coordinator_take_standing(coordinator_t *self, const fmq_event_t *event);
/* The last state is out: their time begins. */
void fmq_coordinator_begin_end(coordinator_t *self);
/* Is every evaluator done with the last state, or past waiting for?  Says for
 * whom the end waits, and whom it gives up. */
bool fmq_coordinator_may_end(coordinator_t *self);

/* outcome.c */
int fmq_coordinator_keep_answer(coordinator_t *self, uint32_t client, const fmq_metrics_t *metrics,
                                fmq_error_t *err);
void fmq_coordinator_drop_answers(coordinator_t *self);
/* Merges the training metrics of the round that was just closed. */
int fmq_coordinator_note_training(coordinator_t *self, fmq_error_t *err);
/* Merges an evaluation, keeps the best state, may set stopped. */
int fmq_coordinator_note_evaluation(coordinator_t *self, fmq_error_t *err);
/* What an evaluator measured. */
int fmq_coordinator_note_metrics(coordinator_t *self, const char *source,
                                 const fmq_message_metrics_t *note, fmq_error_t *err);
/* export.c: best/ and save_to; "<round>_<save_to>" when it is due; adapter/,
 * "final_<save_to>" and what the strategy makes for others. */
int fmq_coordinator_save_best(coordinator_t *self, fmq_error_t *err);
int fmq_coordinator_save_periodic(coordinator_t *self, fmq_error_t *err);
int fmq_coordinator_save_final(coordinator_t *self, fmq_error_t *err);

#endif
