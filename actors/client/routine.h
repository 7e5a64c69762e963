/*
 * routine.h - one task of a client, from a state to its outcome: train or
 * evaluate with a permit.
 *
 * It waits for a permit, takes the workspace that lies with it or makes one on its
 * backend, computes in the permit's thread, and gives the permit back.  While it
 * waits and while it trains it holds no copy of the state but the workspace's.  It knows nothing of
 * links; its owner hears of every step through progress(), called in that thread while the owner's
 * waits, and may stop it there.
 */
#ifndef FEDMQ_ACTORS_CLIENT_ROUTINE_H
#define FEDMQ_ACTORS_CLIENT_ROUTINE_H

#include "actors/client/examples.h"
#include "actors/client/task_state.h"
#include "fedmq/actors/actors.h"
#include "fedmq/llm/train.h"

typedef struct {
    const fmq_context_t *context;   /* the client's stack, permits */
    const float *emulator;          /* with offsite tuning: E's vector, borrowed */
    const fmq_config_t *config;     /* this client's view */
    const fmq_examples_t *examples; /* borrowed */
    /* Of the examples' parts, borrowed and tagged; NULL (itself or an entry):
     * nothing is kept. */
    llm_prefix_cache_t *const *prefixes;
    llm_train_options_t train;
    const char *prefix;        /* of the names of a training's metrics; NULL: none */
    bool keeps;                /* a state that fails to be trained is wanted as it was */
    llm_progress_fn *progress; /* other than 0: stop */
    int (*stop)(void *);       /* asked while waiting for a permit */
    /* Hears, in the permit's thread, what a training's workspace computes again
     and so spares; NULL: nobody does. */
    void (*planned)(void *argument, llm_recompute_t recompute, size_t spared);
    /* The same where several devices compute: what carries vectors between them, and
     * why nothing faster does, or NULL. */
    void (*shared)(void *argument, const char *carrier, const char *detour);
    void *argument; /* of these */
} fmq_routine_t;

/* Trains a state: on success it is the trained one, a vector.  outcome: samples,
 * seconds and metrics (train_loss, train_total, train_avg_loss,
 * train_token_loss; train_proximal_loss with FedBiOT's regulariser; with
 * federate.use_diff also val_avg_loss_before/after).
 * Without training examples the state stays and samples is 0.  -1, with
 * FMQ_ERR_STOPPED when stopped: the state is then as it was where `keeps` is
 * set, and given up otherwise. */
int fmq_routine_train(const fmq_routine_t *self, uint32_t round, fmq_task_state_t *state,
                      fmq_message_report_t *outcome, fmq_error_t *err);

/* Measures a state, which stays, on the parts that eval.split names: <split>_loss, <split>_total,
 * <split>_avg_loss, <split>_token_loss; with offsite tuning "emulator." stands
 * before them. */
int fmq_routine_evaluate(const fmq_routine_t *self, fmq_task_state_t *state,
                         fmq_message_report_t *outcome, fmq_error_t *err);

#endif
