/*
 * rounds.h - what follows what in a run: no I/O, no clock.
 *
 * A round is the list of exchanges that its strategy gives (strategy.h); between
 * rounds clients measure when that is due.  participants.h says when an exchange is
 * over; this file says what is done then, step by step, and what comes next.
 * perform.c does the steps, in this order.
 */
#ifndef FEDMQ_ACTORS_SERVER_ROUNDS_H
#define FEDMQ_ACTORS_SERVER_ROUNDS_H

#include "actors/strategy/strategy.h"

typedef enum {
    /* closing an exchange */
    FMQ_STEP_COMMIT,     /* whose answers count is on the disk */
    FMQ_STEP_CALL_OFF,   /* those who did not answer need not go on */
    FMQ_STEP_AGGREGATE,  /* the strategy makes the next state */
    FMQ_STEP_CHECKPOINT, /* it is on the disk: the round is done */
    FMQ_STEP_ANNOUNCE,   /* everybody may know of it */
    FMQ_STEP_SUM_UP,     /* what the training came to */
    FMQ_STEP_JUDGE,      /* what was measured decides what is best and when to stop */
    /* what comes then */
    FMQ_STEP_BEGIN,    /* the first exchange of a round: its log is opened, clients are asked */
    FMQ_STEP_REQUEST,  /* a later one: clients are asked */
    FMQ_STEP_EVALUATE, /* everybody is asked to measure, and the server measures */
    FMQ_STEP_END       /* the run ends */
} fmq_round_step_t;

#define FMQ_ROUND_STEPS_MAX 8

typedef struct {
    fmq_exchange_t exchanges[FMQ_EXCHANGES_MAX]; /* of a round */
    size_t size;
    uint32_t rounds;    /* wanted */
    uint32_t eval_freq; /* rounds; 0: clients never measure */
    int64_t evaluated;  /* the round that they measured last; -1: none */
    bool stopped;       /* early */
} fmq_rounds_t;

/* FMQ_ERR_INTERNAL when the strategy's rounds have no end. */
int fmq_rounds_init(fmq_rounds_t *self, const fmq_strategy_t *strategy, uint32_t rounds,
                    uint32_t eval_freq, fmq_error_t *err);

/* Facts: the state after so many rounds was measured; the run is to stop early. */
void fmq_rounds_measured(fmq_rounds_t *self, uint32_t round);
void fmq_rounds_stop(fmq_rounds_t *self);

/* Between rounds: everybody who is here measures. */
extern const fmq_exchange_t fmq_rounds_evaluation;

/* The steps that close an exchange. */
size_t fmq_rounds_closing(const fmq_exchange_t *exchange,
                          fmq_round_step_t out[FMQ_ROUND_STEPS_MAX]);

/* What comes when `closed` (of this run, or NULL: none was open) is closed and `round` rounds are
 * done: BEGIN, REQUEST or EVALUATE with the exchange to open, or END with NULL. */
fmq_round_step_t fmq_rounds_next(const fmq_rounds_t *self, const fmq_exchange_t *closed,
                                 uint32_t round, const fmq_exchange_t **next);

/* The exchange whose updates become the next state; and whether it brings any. */
const fmq_exchange_t *fmq_rounds_aggregating(const fmq_rounds_t *self);
bool fmq_rounds_collects(const fmq_rounds_t *self);
/* Which of a round's exchanges one is, from 0; 0 for NULL and between rounds too. */
size_t fmq_rounds_index(const fmq_rounds_t *self, const fmq_exchange_t *exchange);

#endif
