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

static bool evaluation_is_due(const fmq_rounds_facts_t *standing)
{
    uint32_t round = standing->round, freq = standing->eval_freq;
    return freq > 0 && standing->evaluated != round &&
           (round >= standing->rounds || (round > 0 && round % freq == 0));
}

const fmq_exchange_t *fmq_rounds_next(const fmq_rounds_facts_t *standing)
{
    const fmq_exchange_t *closed = standing->closed;
    if (closed && closed->close == FMQ_CLOSE_NEXT)
        return closed + 1;
    bool measured = closed && closed->close == FMQ_CLOSE_MEASURE;
    if (!measured && evaluation_is_due(standing))
        return &fmq_rounds_evaluation;
    return standing->stopped || standing->round >= standing->rounds ? NULL : standing->exchanges;
}

const fmq_exchange_t *fmq_rounds_aggregating(const fmq_exchange_t *exchanges, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (exchanges[i].close == FMQ_CLOSE_AGGREGATE)
            return &exchanges[i];
    return NULL;
}
