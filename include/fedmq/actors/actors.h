/*
 * actors.h - the actors of a federation, as zactor functions.
 *
 * Each is started with zactor_new(fn, options): options are copied before the
 * constructor returns, what they point to is borrowed until the actor is
 * destroyed.  $TERM ends an actor cleanly.  An actor that ends by itself
 * sends one message on its pipe: "DONE" + exit status + reason (zstr frames).
 * An actor that cannot start sends the same message.
 */
#ifndef FEDMQ_ACTORS_ACTORS_H
#define FEDMQ_ACTORS_ACTORS_H

#include <czmq.h>

#include "fedmq/actors/context.h"
#include "fedmq/actors/messages.h"
#include "fedmq/base/api.h"
#include "fedmq/base/writer.h"
#include "fedmq/broker/link.h"
#include "fedmq/llm/adapter.h"
#include "fedmq/llm/data.h"
#include "fedmq/llm/offsite.h"
#include "fedmq/llm/tokenizer.h"

FMQ_API_BEGIN

/* What a run tells whoever shows it; called from the server's thread. */
typedef enum {
    FMQ_RUN_WAITING,  /* value: clients present of clients */
    FMQ_RUN_ALIGNING, /* the emulator is: block of blocks, step of steps */
    FMQ_RUN_ROUND,    /* a round began */
    FMQ_RUN_PROGRESS, /* clients_done of clients, step of steps of the slowest */
    FMQ_RUN_AGGREGATED,
    FMQ_RUN_METRICS, /* merged metrics of a round */
    FMQ_RUN_ENDED
} fmq_run_event_type_t;

typedef struct {
    fmq_run_event_type_t type;
    uint32_t round, rounds;
    uint32_t clients, clients_done;
    uint64_t step, steps;
    bool evaluating;               /* PROGRESS: clients measure the state of a complete round */
    uint32_t block, blocks;        /* ALIGNING: from 1; blocks 0: the one after a round */
    uint64_t bytes_up, bytes_down; /* payload of updates and states so far, on whatever way */
    double train_loss;             /* NaN when unknown; ALIGNING: of the block before */
    const fmq_metrics_t *metrics;  /* METRICS */
    const char *source;            /* METRICS: "clients", "evaluator-..." */
    const char *reason;            /* ENDED; WAITING: who is missing, or NULL */
} fmq_run_event_t;

typedef void(fmq_run_event_fn)(void *argument, const fmq_run_event_t *event);

typedef struct {
    const fmq_context_t *context;
    const char *directory; /* of the run: journal, checkpoints, metrics.jsonl, adapter */
    fmq_run_event_fn *on_event;
    void *argument;
} fmq_server_options_t;

typedef struct {
    const fmq_context_t *context;
    uint32_t client;             /* 1 .. client_num */
    const llm_records_t *own[3]; /* own train, val, test; NULL: ask the splitter */
    const char *directory;       /* federate.save_client_model saves clients/client-<k> below
                                    it; must exist; NULL: nothing is saved */
    bool hosted;                 /* beside its server, which speaks for its clients: it stays to the
                                    end of the run, also when its data are of no use */
    fmq_link_notify_fn *notify;  /* of its link; for who gives it turns (crew.h) */
    void *notify_argument;
} fmq_client_options_t;

typedef struct {
    const fmq_context_t *context;
    const char *name;         /* "evaluator-1"; NULL: one is made up */
    const llm_records_t *own; /* own test records; NULL: the splitter's server-held */
    bool once;                /* measure the newest state and end */
    fmq_writer_t *out;        /* a line of JSON a measurement, may be NULL */
} fmq_evaluator_options_t;

typedef struct {
    const fmq_context_t *context;
} fmq_splitter_options_t;

void fmq_server_actor(zsock_t *pipe, void *options);
void fmq_client_actor(zsock_t *pipe, void *options);
void fmq_evaluator_actor(zsock_t *pipe, void *options);
void fmq_splitter_actor(zsock_t *pipe, void *options);

FMQ_API_END

#endif
