/*
 * average.c - FedAvg (McMahan et al. 2017): what the rule makes of the updates is
 * the next state.
 */
#include "actors/strategy/methods.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const fmq_rule_t *rule;
} average_t;

int fmq_average_new(const fmq_strategy_setup_t *setup, void **out, fmq_error_t *err)
{
    average_t *self = calloc(1, sizeof *self);
    if (!self)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a strategy");
    self->rule = setup->rule;
    *out = self;
    return 0;
}

static int take(void *argument, uint64_t first, uint64_t count, float *values, fmq_error_t *err)
{
    (void)err;
    memcpy((float *)argument + first, values, (size_t)count * sizeof *values);
    return 0;
}

fmq_step_t fmq_average_aggregate(void *argument, const fmq_strategy_host_t *host,
                                 const fmq_updates_t *updates, float *state, fmq_error_t *err)
{
    const average_t *self = argument;
    (void)host;
    if (!updates)
        return FMQ_STEP_DONE;
    return fmq_rule_run(self->rule, updates, take, state, err) < 0 ? FMQ_STEP_FAILED
                                                                   : FMQ_STEP_DONE;
}

const fmq_strategy_ops_t fmq_average_ops = {
    .name = "fedavg",
    .help = "the mean of the clients' updates, weighted by examples used",
    .create = fmq_average_new,
    .destroy = free,
    .aggregate = fmq_average_aggregate};

/* All data lie with one client: the mean of one. */
const fmq_strategy_ops_t fmq_global_ops = {.name = "global",
                                           .help = "one client that has all data",
                                           .create = fmq_average_new,
                                           .destroy = free,
                                           .aggregate = fmq_average_aggregate};
