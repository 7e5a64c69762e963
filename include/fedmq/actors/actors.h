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

#include "fedmq/actors/messages.h"
#include "fedmq/base/api.h"
#include "fedmq/base/config.h"
#include "fedmq/broker/link.h"
#include "fedmq/llm/adapter.h"
#include "fedmq/llm/data.h"
#include "fedmq/llm/offsite.h"
#include "fedmq/llm/tokenizer.h"

FMQ_API_BEGIN

/* How many may compute at once, and with how many threads each.  Holding a
 * permit gives a backend instance whose threads are the holder's alone. */
typedef struct fmq_permits fmq_permits_t;

#define FMQ_PERMITS_MAX 1024 /* of a process */

/* permits x threads CPU backends; model may later be opened with any.  A permit
 * has as many threads: its backend's, and the one of fmq_permits_do(). */
fmq_permits_t *fmq_permits_new(unsigned permits, unsigned threads, fmq_error_t *err);
/* The same on these devices (llm_backend_open()), to which the permits are dealt
 * round robin: number i is on devices[i % devices_size].  Who takes one is given
 * the device with the fewest permits taken, and among equals each in its turn. */
fmq_permits_t *fmq_permits_new_on(const char *const *devices, size_t devices_size, unsigned permits,
                                  unsigned threads, fmq_error_t *err);
void fmq_permits_destroy(fmq_permits_t **self_p);
/* Waits for a permit, calling stop(argument) every 100 ms (NULL: never): a
 * value other than 0 gives up and returns NULL. */
llm_backend_t *fmq_permits_take(fmq_permits_t *self, int (*stop)(void *), void *argument);
void fmq_permits_give(fmq_permits_t *self, llm_backend_t **backend_p);
/* Does work(argument) in a thread that belongs to this permit, whose holder the
 * caller is, and waits for its end.  What the C library keeps of a computation
 * for its thread is then kept once a permit, and not by all who ever computed. */
void fmq_permits_do(fmq_permits_t *self, const llm_backend_t *permit, void (*work)(void *),
                    void *argument);

/* A thing that lies with a permit from one holder to the next: leave puts it
 * there, in the place of what lies there, and forget() ends it when nobody picks
 * it up; pick_up gives it to the holder, who owns it then; NULL when there is
 * none.  For the holder of permit only. */
void fmq_permits_leave(fmq_permits_t *self, const llm_backend_t *permit, void *thing,
                       void (*forget)(void *thing));
void *fmq_permits_pick_up(fmq_permits_t *self, const llm_backend_t *permit);
/* Ends what lies with this permit, for its holder; permit NULL, for anybody:
 * what lies with permits that nobody holds.  For who needs the memory. */
void fmq_permits_forget(fmq_permits_t *self, const llm_backend_t *permit);

/* Who computes with a permit says so at every step: to those who wait for one it
 * is a sign that their turn will come.  The number of such signs, of takings and
 * of givings; it stands still when everybody who has a permit hangs. */
void fmq_permits_move(fmq_permits_t *self);
uint64_t fmq_permits_moves(const fmq_permits_t *self);
size_t fmq_permits_size(const fmq_permits_t *self);
/* How many are taken. */
size_t fmq_permits_taken(fmq_permits_t *self);

/* What the actors of one process share, read-only once built. */
typedef struct {
    const fmq_config_t *config;
    const llm_model_t *model;     /* the full model; NULL where it is not needed (splitter) or, with
                                     offsite tuning, not held */
    const llm_adapter_t *adapter; /* what travels: over the full model's shape */
    /* Offsite tuning: clients, and evaluators for `emulator.`, compute with
     * this instead of the full model.  NULL: without. */
    const llm_offsite_t *offsite;
    llm_prefix_budget_t *prefixes; /* for prefix caches; NULL: nothing is kept */
    const llm_tokenizer_t *tokenizer;
    fmq_permits_t *permits;
    fmq_store_t *store; /* may be NULL */
    fmq_log_t *log;
    const char *endpoint; /* of the router */
    bool leads;           /* the run's server is in this process: nobody waits for it */
    /* Where the versions of notes begin, of every actor here (see link.h); 0:
     * a server asks its directory, the others the clock. */
    uint64_t first_version;
    /* Shows a line to whoever looks at the run; NULL: nobody does. */
    void (*say)(void *argument, const char *line);
    void *say_argument;
    /* With offsite tuning: the client's model is published, and this counts
     * who reads it.  NULL: nobody of another process can join the run. */
    struct fmq_lending *lending;
} fmq_shared_t;

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
    const fmq_shared_t *shared;
    const char *directory; /* of the run: journal, checkpoints, metrics.jsonl, adapter */
    fmq_run_event_fn *on_event;
    void *argument;
} fmq_server_options_t;

typedef struct {
    const fmq_shared_t *shared;
    uint32_t client;             /* 1 .. client_num */
    const llm_records_t *own[3]; /* own train, val, test; NULL: ask the splitter */
    const char *directory;       /* federate.save_client_model saves clients/client-<k> below
                                    it; must exist; NULL: nothing is saved */
    bool hosted;                 /* beside its server, which speaks for its clients: it stays to the
                                    end of the run, also when its data are of no use */
} fmq_client_options_t;

typedef struct {
    const fmq_shared_t *shared;
    const char *name;         /* "evaluator-1"; NULL: one is made up */
    const llm_records_t *own; /* own test records; NULL: the splitter's server-held */
    bool once;                /* measure the newest state and end */
    fmq_writer_t *out;        /* a line of JSON a measurement, may be NULL */
} fmq_evaluator_options_t;

typedef struct {
    const fmq_shared_t *shared;
} fmq_splitter_options_t;

/* The model that clients compute with: the offsite student, or the model. */
const llm_model_t *fmq_shared_client_model(const fmq_shared_t *self);
/* Its stack: with offsite tuning the adapter trains over the student and E's
 * vector is fixed. */
llm_stack_t fmq_shared_client_stack(const fmq_shared_t *self);

/* What server, clients and evaluators of a run must have in common beside the
 * model's and the schema's digests, so that the same numbers mean the same:
 * "eos_token_id=2 tokenizer=5f2e9b5d3c8a1704 " and llm_adapter_meaning(). */
void fmq_shared_meaning(const fmq_shared_t *self, char out[FMQ_REASON_MAX]);
/* The first difference between the server's text and one's own, in words that
 * name the key and both values; false when there is none. */
bool fmq_meaning_refused(const char *server, const char *here, char out[FMQ_REASON_MAX]);

void fmq_server_actor(zsock_t *pipe, void *options);
void fmq_client_actor(zsock_t *pipe, void *options);
void fmq_evaluator_actor(zsock_t *pipe, void *options);
void fmq_splitter_actor(zsock_t *pipe, void *options);

FMQ_API_END

#endif
