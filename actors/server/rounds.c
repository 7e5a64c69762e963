/*
 * rounds.c - the order of a run's steps.
 */
#include "actors/server/rounds.h"

#include <string.h>

const fmq_exchange_t fmq_rounds_evaluation = {.task = FMQ_TASK_EVALUATE,
                                              .who = FMQ_WHO_EVERYBODY,
                                              .accept = FMQ_ACCEPT_REPORT,
                                              .close = FMQ_CLOSE_MEASURE};

/* What is announced has a checkpoint, and what a checkpoint is made of is on the
 * disk before. */
static const struct {
    size_t size;
    fmq_round_step_t steps[FMQ_ROUND_STEPS_MAX];
} closings[] = {
    [FMQ_CLOSE_AGGREGATE] = {6,
                             {FMQ_STEP_COMMIT, FMQ_STEP_CALL_OFF, FMQ_STEP_AGGREGATE,
                              FMQ_STEP_CHECKPOINT, FMQ_STEP_ANNOUNCE, FMQ_STEP_SUM_UP}},
    [FMQ_CLOSE_NEXT] = {1, {FMQ_STEP_CALL_OFF}},
    [FMQ_CLOSE_MEASURE] = {2, {FMQ_STEP_CALL_OFF, FMQ_STEP_JUDGE}},
};

size_t fmq_rounds_closing(const fmq_exchange_t *exchange, fmq_round_step_t out[FMQ_ROUND_STEPS_MAX])
{
    memcpy(out, closings[exchange->close].steps, sizeof closings[exchange->close].steps);
    return closings[exchange->close].size;
}

int fmq_rounds_init(fmq_rounds_t *self, const fmq_strategy_t *strategy, uint32_t rounds,
                    uint32_t eval_freq, fmq_error_t *err)
{
    *self = (fmq_rounds_t){.rounds = rounds, .eval_freq = eval_freq, .evaluated = -1};
    self->size = fmq_strategy_exchanges(strategy, self->exchanges);
    if (!fmq_rounds_aggregating(self))
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "method '%s' has rounds without an end",
                             strategy->ops->name);
    return 0;
}

void fmq_rounds_measured(fmq_rounds_t *self, uint32_t round)
{
    self->evaluated = round;
}

void fmq_rounds_stop(fmq_rounds_t *self)
{
    self->stopped = true;
}

static bool evaluation_is_due(const fmq_rounds_t *self, uint32_t round)
{
    uint32_t freq = self->eval_freq;
    return freq > 0 && self->evaluated != round &&
           (round >= self->rounds || (round > 0 && round % freq == 0));
}

fmq_round_step_t fmq_rounds_next(const fmq_rounds_t *self, const fmq_exchange_t *closed,
                                 uint32_t round, const fmq_exchange_t **next)
{
    if (closed && closed->close == FMQ_CLOSE_NEXT) {
        *next = closed + 1;
        return FMQ_STEP_REQUEST;
    }
    bool measured = closed && closed->close == FMQ_CLOSE_MEASURE;
    if (!measured && evaluation_is_due(self, round)) {
        *next = &fmq_rounds_evaluation;
        return FMQ_STEP_EVALUATE;
    }
    bool ends = self->stopped || round >= self->rounds;
    *next = ends ? NULL : self->exchanges;
    return ends ? FMQ_STEP_END : FMQ_STEP_BEGIN;
}

const fmq_exchange_t *fmq_rounds_aggregating(const fmq_rounds_t *self)
{
    for (size_t i = 0; i < self->size; i++)
        if (self->exchanges[i].close == FMQ_CLOSE_AGGREGATE)
            return &self->exchanges[i];
    return NULL;
}

bool fmq_rounds_collects(const fmq_rounds_t *self)
{
    return fmq_rounds_aggregating(self)->accept == FMQ_ACCEPT_UPDATE;
}

size_t fmq_rounds_index(const fmq_rounds_t *self, const fmq_exchange_t *exchange)
{
    bool of_round = exchange && exchange->close != FMQ_CLOSE_MEASURE;
    return of_round ? (size_t)(exchange - self->exchanges) : 0;
}
