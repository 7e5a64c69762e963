/*
 * coordinator.h - runs a federation from the first round to the last.
 *
 * The server without a language model: it knows schemas, initial vectors and
 * numbers, leaves to the run's strategy what makes its method (strategy.h), and the
 * writing of adapters and measuring to functions it is given.  They run in its thread, which hears
 * $TERM meanwhile; fmq_server_actor() (server.c) puts the model behind it.
 *
 * In its directory: journal/, checkpoints/, best/, metrics.jsonl, adapter/.  A
 * directory that holds checkpoints is a run that goes on.
 */
#ifndef FEDMQ_ACTORS_SERVER_COORDINATOR_H
#define FEDMQ_ACTORS_SERVER_COORDINATOR_H

#include <czmq.h>

#include "actors/server/settings.h"
#include "actors/strategy/fedbiot.h"
#include "fedmq/actors/actors.h"

/* Measures a state on data that the server holds. */
typedef struct {
    const float *state;
    llm_progress_fn *progress; /* other than 0: stop, with FMQ_ERR_STOPPED */
    void *argument;
} fmq_measuring_t;

typedef struct {
    const fmq_server_settings_t *settings;
    const char *endpoint;
    uint64_t first_version; /* of notes; 0: the directory says */
    fmq_store_t *store;     /* may be NULL */
    fmq_hub_t *hub;         /* of its link; may be NULL */
    fmq_log_t *log;         /* may be NULL */
    const fmq_schema_t *schema;
    const float *initial;    /* state of round 0 ... */
    float *state;            /* ... and where the state is kept from then on; NULL: in a copy */
    size_t state_kept_max;   /* bytes; 0: FMQ_STATE_KEPT_MAX (shared_state.h) */
    fmq_digest_t model;      /* of the base model */
    const char *meaning;     /* fmq_context_meaning(); NULL: "" */
    const char *computes;    /* fmq_context_computes(); NULL: "" */
    const char *config_text; /* effective configuration, for everybody to read */
    const char *directory;   /* created when absent */
    /* Tells people a line; may be NULL. */
    void (*say)(void *argument, const char *line);
    void *say_argument;
    /* Writes a state as an adapter directory; NULL: none is written. */
    int (*save)(void *argument, const float *state, const char *directory, fmq_error_t *err);
    void *save_argument;
    /* The same for federate.save_to and its relatives; NULL: save. */
    int (*save_copy)(void *argument, const float *state, const char *directory, fmq_error_t *err);
    void *save_copy_argument;
    const fmq_config_t *config;           /* for the strategy while it is made; NULL: defaults */
    const fmq_fedbiot_options_t *offsite; /* NULL: without offsite tuning */
    /* Publishes what clients make their model of; NULL: nothing. */
    int (*publish)(void *argument, fmq_link_t *link, fmq_digest_t *manifest, uint64_t *bytes,
                   fmq_error_t *err);
    void *publish_argument;
    /* Part of every evaluation; its metrics decide beside those of clients.
     * NULL: the server measures nothing. */
    int (*measure)(void *argument, const fmq_measuring_t *measuring, fmq_metrics_t *metrics,
                   fmq_error_t *err);
    void *measure_argument;
    /* The most examples that a client whose shard has so many can have used in a
     * round; NULL: nothing is known. */
    uint64_t (*samples_max)(void *argument, uint32_t client, uint64_t shard);
    void *samples_argument;
    /* Hears of every step that the server itself computes; may be NULL. */
    void (*moved)(void *argument);
    void *moved_argument;
    fmq_run_event_fn *on_event; /* may be NULL */
    void *event_argument;
} fmq_coordinator_options_t;

/* Runs until the end, $TERM on pipe, or a failure, and says DONE on pipe.
 * Everything options points to is borrowed.  Returns when it may be destroyed. */
void fmq_coordinator_run(zsock_t *pipe, const fmq_coordinator_options_t *options);

/* The same as an actor whose argument are the options. */
void fmq_coordinator_actor(zsock_t *pipe, void *options);

#endif
