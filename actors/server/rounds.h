/*
 * rounds.h - what follows what in a run, as data: no I/O, no clock, no state of
 * its own.
 *
 * A round is the list of exchanges that its strategy gives (strategy.h); between
 * rounds clients measure when that is due.  participants.h says when an exchange is over;
 * this file says what is done then, step by step, and which exchange comes next.
 * perform.c does the steps, in this order.
 */
#ifndef FEDMQ_ACTORS_SERVER_ROUNDS_H
#define FEDMQ_ACTORS_SERVER_ROUNDS_H

#include "actors/strategy/strategy.h"

typedef enum {
    FMQ_STEP_COMMIT,     /* whose answers count is on the disk */
    FMQ_STEP_CALL_OFF,   /* those who did not answer need not go on */
    FMQ_STEP_AGGREGATE,  /* the strategy makes the next state */
    FMQ_STEP_CHECKPOINT, /* it is on the disk: the round is done */
    FMQ_STEP_ANNOUNCE,   /* everybody may know of it */
    FMQ_STEP_SUM_UP,     /* what the training came to */
    FMQ_STEP_JUDGE       /* what was measured decides what is best and when to stop */
} fmq_round_step_t;

#define FMQ_ROUND_STEPS_MAX 8

/* The steps that close an exchange. */
size_t fmq_rounds_closing(const fmq_exchange_t *exchange,
                          fmq_round_step_t out[FMQ_ROUND_STEPS_MAX]);

/* Where a run stands when an exchange is closed, or none was open. */
typedef struct {
    const fmq_exchange_t *exchanges; /* of a round, borrowed */
    size_t size;
    const fmq_exchange_t *closed; /* among them, or fmq_rounds_evaluation, or NULL */
    uint32_t round, rounds;       /* done, and wanted */
    uint32_t eval_freq;           /* rounds; 0: clients never measure */
    int64_t evaluated;            /* the round that they measured last; -1: none */
    bool stopped;                 /* early */
} fmq_rounds_facts_t;

/* Between rounds: everybody who is here measures. */
extern const fmq_exchange_t fmq_rounds_evaluation;

/* The exchange that comes next; NULL: the run ends. */
const fmq_exchange_t *fmq_rounds_next(const fmq_rounds_facts_t *standing);

/* The exchange whose updates become the next state. */
const fmq_exchange_t *fmq_rounds_aggregating(const fmq_exchange_t *exchanges, size_t size);

#endif
