/*
 * hosting.c - the strategy in the server: prepared, asked to aggregate, and
 * lent what it needs for that (fmq_strategy_host_t).
 */
#include <math.h>

#include "actors/server/coordinator_private.h"

static void began(void *argument, uint32_t block, uint32_t blocks)
{
    coordinator_t *self = argument;
    fmq_attention_begin(&self->attention);
    fmq_showing_begin_block(self, block, blocks);
}

static int note(void *argument, uint32_t round, const char *form, const fmq_metrics_t *metrics,
                fmq_error_t *err)
{
    coordinator_t *self = argument;
    const fmq_metrics_log_key_t key = {round, "server", form};
    const double *loss = fmq_metrics_get(metrics, "align_loss");
    fmq_showing_block_loss(self, loss ? *loss : NAN);
    return fmq_measurements_write(self, &key, metrics, err);
}

static bool stopped(void *argument)
{
    return ((const coordinator_t *)argument)->attention.terminated;
}

static fmq_strategy_host_t host_of(coordinator_t *self)
{
    return (fmq_strategy_host_t){.round = self->checkpoints.mark.round,
                                 .checkpoints = self->checkpoints.directory,
                                 .mark = fmq_checkpoints_mark(&self->checkpoints),
                                 .prepared = self->checkpoints.mark.prepared,
                                 .progress = fmq_showing_progress,
                                 .began = began,
                                 .note = note,
                                 .stopped = stopped,
                                 .argument = self};
}

fmq_step_t fmq_coordinator_prepare(coordinator_t *self, fmq_error_t *err)
{
    for (;;) {
        fmq_strategy_host_t host = host_of(self);
        fmq_step_t step = fmq_strategy_prepare(&self->strategy, &host, self->shared.vector, err);
        fmq_showing_end_block(self);
        if (step != FMQ_STEP_AGAIN)
            return step;
        if (fmq_checkpoints_complete_step(&self->checkpoints, err) < 0)
            return FMQ_STEP_FAILED;
    }
}

int fmq_coordinator_aggregate(coordinator_t *self, const fmq_updates_t *updates, fmq_error_t *err)
{
    fmq_strategy_host_t host = host_of(self);
    fmq_step_t step =
        fmq_strategy_aggregate(&self->strategy, &host, updates, self->shared.vector, err);
    fmq_showing_end_block(self);
    return step == FMQ_STEP_FAILED ? -1 : 0;
}

int fmq_coordinator_export(coordinator_t *self, fmq_error_t *err)
{
    fmq_strategy_host_t host = host_of(self);
    return fmq_strategy_export(&self->strategy, &host, err);
}

bool fmq_coordinator_shares(const coordinator_t *self)
{
    return !self->settings->method || fmq_strategy_shares(self->settings->method);
}
