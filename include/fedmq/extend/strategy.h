/*
 * strategy.h - what makes one federated method differ from another.
 *
 * A method is one file with one table (fmq_strategy_ops_t) of two halves.  The
 * server's half says what a round asks (exchanges), what becomes of the updates
 * (aggregate), what clients get beside the state (beside) and what must not be
 * forgotten (sections).  The client's half says in passes what training starts
 * from, what pulls on it, what is sent and what is kept.  Everything else (who is
 * here, what is durable when, what is said to whom) is the server's and the
 * client's own, and the same for all methods.
 *
 * What a method needs not say is NULL: it then is as FedAvg is.  The halves run
 * in the threads of their actors.
 */
#ifndef FEDMQ_EXTEND_STRATEGY_H
#define FEDMQ_EXTEND_STRATEGY_H

#include "fedmq/actors/messages.h"
#include "fedmq/base/config.h"
#include "fedmq/base/log.h"
#include "fedmq/extend/rule.h"
#include "fedmq/extend/sections.h"
#include "fedmq/llm/train.h"

#define FMQ_EXCHANGES_MAX 8 /* of a round */
#define FMQ_PASSES_MAX    4 /* of a training */

/* One thing that a round asks of clients. */
typedef enum { FMQ_WHO_SAMPLED, FMQ_WHO_EVERYBODY } fmq_who_t;
typedef enum {
    FMQ_ACCEPT_UPDATE, /* an offer, once its update is durable in the round's log */
    FMQ_ACCEPT_REPORT  /* what the report says is all */
} fmq_accept_t;
typedef enum {
    FMQ_CLOSE_AGGREGATE, /* aggregate(), a checkpoint, the next round; the last of every round */
    FMQ_CLOSE_NEXT,      /* the next exchange of the round, with the same clients */
    FMQ_CLOSE_MEASURE    /* the metrics decide what is best and when to stop; the server's own */
} fmq_close_t;

typedef struct {
    fmq_task_kind_t task;
    fmq_who_t who;
    fmq_accept_t accept;
    fmq_close_t close;
    uint32_t quorum;     /* answers that are enough; 0: as the run's limits say */
    int64_t deadline_ms; /* 0: as the run's limits say */
} fmq_exchange_t;

/* One training of a client within a task. */
typedef enum {
    FMQ_FROM_SHARED,  /* the state that the task names */
    FMQ_FROM_PERSONAL /* this client's own, or the shared one before it has any */
} fmq_from_t;

typedef struct {
    fmq_from_t from;
    bool sends; /* what comes of it is the update; else nothing but the report goes out */
    bool keeps; /* ... is this client's own state from now on, durable before the report */
    /* Adds weight / 2 ||w - shared||^2 to the loss, whose gradient is weight (w - shared); 0: off.
     */
    double pull;
    int64_t steps;      /* in place of train.local_update_steps; below 1: as many as that */
    double rate;        /* in place of train.optimizer.lr; 0: that */
    const char *prefix; /* of its metrics' names; "" for the one that counts */
} fmq_pass_t;

/* What the server lends a strategy while that computes. */
typedef struct {
    uint32_t round;
    const char *checkpoints;           /* the directory, for files of its own */
    const struct fmq_checkpoint *mark; /* where the run stands; of fedmq's own methods alone */
    uint32_t prepared;                 /* steps of prepare() that are done */
    llm_progress_fn *progress;         /* after every step; other than 0: stop */
    /* Shows block `block` of `blocks` (from 1; blocks 0: one after a round). */
    void (*began)(void *argument, uint32_t block, uint32_t blocks);
    /* A line of the metrics log, of the state after so many rounds. */
    int (*note)(void *argument, uint32_t round, const char *form, const fmq_metrics_t *metrics,
                fmq_error_t *err);
    bool (*stopped)(void *argument);
    void *argument; /* of these */
} fmq_strategy_host_t;

typedef enum {
    FMQ_STEP_FAILED = -1,
    FMQ_STEP_DONE,    /* nothing is left to do */
    FMQ_STEP_AGAIN,   /* a step of prepare() is done: it counts, a checkpoint, and call again */
    FMQ_STEP_STOPPED, /* told to stop; what it was at has left no trace */
    FMQ_STEP_OVER     /* the run ends here */
} fmq_step_t;

struct fmq_fedbiot_options; /* of fedmq's own methods alone */

/* What a server half is made of; borrowed for as long as it lives, but config only
 * while it is made. */
typedef struct {
    const struct fmq_strategy_ops *method;     /* NULL: FedAvg */
    const fmq_rule_t *rule;                    /* NULL: the mean */
    const fmq_config_t *config;                /* NULL: keys are as they are by default */
    const fmq_schema_t *schema;                /* of the state */
    const struct fmq_fedbiot_options *offsite; /* NULL: no offsite tuning */
    fmq_log_t *log;                            /* may be NULL */
} fmq_strategy_setup_t;

typedef struct fmq_strategy_ops {
    const char *name; /* of federate.method, in small letters */
    const char *help; /* one line */

    /* Server.  create: *self is NULL on entry and stays so where nothing is kept. */
    int (*create)(const fmq_strategy_setup_t *setup, void **self, fmq_error_t *err);
    void (*destroy)(void *self);
    /* What a round asks, in this order.  NULL: training, of those sampled. */
    size_t (*exchanges)(const void *self, fmq_exchange_t out[FMQ_EXCHANGES_MAX]);
    /* Hears every answer of an exchange before it counts; -1 refuses it, and `why` is the reason
     * that its client is left out for.  What it remembers is lost by a kill: then a round that
     * is not closed asks from its first exchange on again.  NULL: every answer is welcome. */
    int (*accept)(void *self, size_t exchange, uint32_t client, const fmq_message_report_t *report,
                  fmq_error_t *why);
    /* Steps of prepare() that a new run has done already; NULL: none. */
    uint32_t (*prepared)(const void *self);
    /* Until it is done, before the first exchange of a process. */
    fmq_step_t (*prepare)(void *self, const fmq_strategy_host_t *host, const float *state,
                          fmq_error_t *err);
    /* state comes in as what the updates began from and goes out as that of the next
     * round; updates is NULL when nobody's is usable.  DONE, STOPPED or FAILED; after
     * the latter two state is undefined and the round is tried again from its log.
     * NULL: nothing is aggregated. */
    fmq_step_t (*aggregate)(void *self, const fmq_strategy_host_t *host,
                            const fmq_updates_t *updates, float *state, fmq_error_t *err);
    /* What is written into checkpoints and read back beside the state; names begin with
     * FMQ_SECTION_METHOD. */
    void (*sections)(void *self, fmq_sections_t *out);
    /* A vector that clients get with every task; NULL: none. */
    const float *(*beside)(void *self, const fmq_schema_t **schema);
    /* Saves what it has made for others; first: before round 0, else at the end. */
    int (*deliver)(void *self, const fmq_strategy_host_t *host, fmq_error_t *err);

    /* Client: the trainings of a task.  NULL: one, from the shared state, that is sent. */
    size_t (*passes)(const fmq_config_t *config, fmq_pass_t out[FMQ_PASSES_MAX]);
    bool measures_own; /* evaluation is of the client's own state */
} fmq_strategy_ops_t;

#endif
