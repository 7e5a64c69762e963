/*
 * client_private.h - the client actor's state, shared by its files.
 *
 * events.c takes in what the link brings, actions.c does what the course asks
 * for, loading.c makes the examples, fetch.c gets a task's vectors, own.c keeps
 * this client's own states, passes.c trains, keepsake.c exports what was trained, client.c
 * is the actor's life.  Nobody else includes
 * this.
 */
#ifndef FEDMQ_ACTORS_CLIENT_PRIVATE_H
#define FEDMQ_ACTORS_CLIENT_PRIVATE_H

#include <stdatomic.h>

#include "actors/client/client.h"
#include "actors/client/course.h"
#include "actors/client/personal_state.h"
#include "actors/client/routine.h"
#include "actors/protocol/download.h"
#include "actors/runtime/presence.h"
#include "actors/settings/settings.h"
#include "actors/strategy/strategy.h"

struct fmq_client {
    fmq_context_t context; /* what it points to is borrowed */
    uint32_t number;
    bool hosted;                         /* see fmq_client_options_t */
    const llm_records_t *own[FMQ_PARTS]; /* borrowed */
    char name[FMQ_MEMBER_NAME_MAX];
    char server[FMQ_MEMBER_NAME_MAX]; /* who left the run's note */
    const fmq_config_t *config;       /* this client's view: borrowed, or */
    fmq_config_t *own_config;         /* ... this, owned, where settings are its own */
    fmq_link_t *link;
    zsock_t *pipe; /* borrowed; NULL where it has no thread of its own */
    atomic_bool told;
    char *keepsake; /* owned: where what was trained last is saved, or NULL */
    fmq_course_t course;
    fmq_examples_t examples;
    llm_prefix_cache_t *prefixes[FMQ_PARTS]; /* owned: of the examples; NULL: none */
    llm_train_options_t train;
    llm_recompute_t recomputes;     /* what training was last said to compute again */
    bool carrier_told;              /* whether it was said how its devices exchange vectors */
    fmq_offsite_settings_t offsite; /* use is false without offsite tuning */
    const fmq_strategy_ops_t *method;
    fmq_pass_t passes[FMQ_PASSES_MAX]; /* the trainings of a task */
    size_t passes_size;
    bool keeps; /* one of them makes this client's own state */
    bool keeps_optimizer;
    bool has_own; /* there is one, which this client trained last: */
    fmq_personal_mark_t trained;
    bool behind;                /* ... or an older one, for a server that fell back */
    fmq_personal_place_t place; /* of own states and optimizers: its directory is owned, or NULL */
    fmq_task_state_t state;     /* of the task at hand: the one that it names */
    fmq_task_state_t own_state; /* this client's, while a task is at it */
    fmq_download_t download;    /* of it, when it is not in this process */
    float *emulator;            /* owned: E's vector, kept from task to task */
    fmq_digest_t emulator_digest;
    bool has_emulator; /* emulator is complete */
    fmq_download_t emulator_download;
    fmq_download_t shard;
    uint64_t chunks; /* that have come, of whatever */
    fmq_message_shard_t shard_note;
    char splitter[FMQ_MEMBER_NAME_MAX]; /* who left the shard's note */
    bool wants_shard, has_shard_note, shard_is_here;
    fmq_digest_t offered; /* what is published */
    bool has_offered, terminated;
    fmq_presence_t presence; /* of the server */
    fmq_error_t refused;     /* by the router, or waited for in vain */
};

/* Reports the task at hand, or the loading of data, as failed. */
void fmq_client_fail(fmq_client_t *self, const fmq_error_t *err);

/* Begins to fetch the shard when it is wanted and its note has come; another
 * note than the one that is being fetched begins anew. */
void fmq_client_fetch_shard(fmq_client_t *self);
/* From whom and what; what: "state", "emulator", "shard". */
fmq_download_from_t fmq_client_from(const fmq_client_t *self, const char *what, const char *owner,
                                    const fmq_digest_t *digest);

/* Makes the examples of own records, or asks for the shard. */
void fmq_client_load(fmq_client_t *self);
/* Makes them of the shard that has come. */
void fmq_client_use_shard(fmq_client_t *self);

/* own.c, for methods whose clients keep a state: where these are kept; brings back
 * the one that the task at hand goes on from (none: it begins with the
 * server's), and keeps the one that was trained in it, before it is reported. */
int fmq_client_own_open(fmq_client_t *self, const char *directory, fmq_error_t *err);
void fmq_client_own_close(fmq_client_t *self);
int fmq_client_own_recall(fmq_client_t *self, fmq_error_t *err);
int fmq_client_own_keep(fmq_client_t *self, const fmq_message_report_t *outcome, fmq_error_t *err);
/* Is there no disk for it, so that the vector stays here? */
bool fmq_client_own_is_here(const fmq_client_t *self);
/* Has the task at hand been trained already, before this process perhaps?  Fills
 * what was reported then. */
bool fmq_client_own_trained(const fmq_client_t *self, fmq_message_report_t *outcome);

/* Does the task at hand need the state that it names? */
bool fmq_client_needs_shared(const fmq_client_t *self);

/* passes.c: all trainings of the task at hand; work: how, by default.  What is sent is in
 * state then, or in own_state where that pass keeps what it sends. */
int fmq_client_train(fmq_client_t *self, const fmq_routine_t *work, fmq_message_report_t *outcome,
                     fmq_error_t *err);
/* The vector that is sent. */
fmq_task_state_t *fmq_client_sent(fmq_client_t *self);

/* Fetches what the task at hand needs and is not here, and tells the course. */
void fmq_client_fetch_task(fmq_client_t *self);
/* A client that has nothing to compute holds no state. */
void fmq_client_put_state_away(fmq_client_t *self);
/* Takes an event of those fetches. */
void fmq_client_fetch_event(fmq_client_t *self, const fmq_event_t *event);
void fmq_client_fetch_cancel(fmq_client_t *self);
/* Tries again what is due, and says when something will be: milliseconds, or -1. */
int fmq_client_fetch_work(fmq_client_t *self);

/* Reads what has come, without waiting. */
void fmq_client_pump(fmq_client_t *self);

/* Below directory (NULL: nowhere) federate.save_client_model saves this
 * client's state; and saves it there, with nothing to do where it was not asked. */
int fmq_client_keepsake_open(fmq_client_t *self, const char *directory, fmq_error_t *err);
int fmq_client_keepsake_save(const fmq_client_t *self, fmq_error_t *err);

/* Does what the course asks for; FMQ_DO_NOTHING and FMQ_DO_END do nothing. */
void fmq_client_act(fmq_client_t *self, fmq_course_action_t action);

#endif
