/*
 * coordinator.h - runs a federation from the first round to the last.
 *
 * The server without a language model: it knows a schema, an initial vector
 * and numbers, and leaves the writing of adapters to a function it is given.
 * fmq_server_actor() (server.c) puts the model behind it.
 *
 * In its directory: journal/, checkpoints/, best/, metrics.jsonl, adapter/.  A
 * directory that holds checkpoints is a run that goes on.
 */
#ifndef FEDMQ_ACTORS_SERVER_COORDINATOR_H
#define FEDMQ_ACTORS_SERVER_COORDINATOR_H

#include <czmq.h>

#include "actors/server/agenda.h"
#include "fedmq/actors/actors.h"

#define FMQ_EVALUATOR_WAIT_MS 60000 /* for a sign of work on the last state */
#define FMQ_EMPTY_ROUNDS_MAX  3     /* in a row, then the run fails */

typedef struct {
    const fmq_agenda_t *agenda;
    const char *endpoint;
    fmq_store_t *store; /* may be NULL */
    fmq_log_t *log;     /* may be NULL */
    const fmq_schema_t *schema;
    const float *initial;    /* state of round 0 */
    fmq_digest_t model;      /* of the base model */
    const char *config_text; /* effective configuration, for everybody to read */
    const char *directory;   /* created when absent */
    /* Writes a state as an adapter directory; NULL: none is written. */
    int (*save)(void *argument, const float *state, const char *directory, fmq_error_t *err);
    void *save_argument;
    fmq_run_event_fn *on_event; /* may be NULL */
    void *event_argument;
} fmq_coordinator_options_t;

/* Runs until the end, $TERM on pipe, or a failure, and says DONE on pipe.
 * Everything options points to is borrowed.  Returns when it may be destroyed. */
void fmq_coordinator_run(zsock_t *pipe, const fmq_coordinator_options_t *options);

/* The same as an actor whose argument are the options. */
void fmq_coordinator_actor(zsock_t *pipe, void *options);

#endif
