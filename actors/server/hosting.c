/*
 * hosting.c - the strategy in the server: made, prepared, asked to aggregate, and
 * lent what it needs for that (fmq_strategy_host_t).
 */
#include <math.h>

#include "actors/server/coordinator_private.h"

static void began(void *argument, uint32_t block, uint32_t blocks)
{
    coordinator_t *self = argument;
    self->own_step = (progress_t){0, 0};
    self->block = block;
    self->blocks = blocks;
    fmq_coordinator_show(self, FMQ_RUN_ALIGNING);
}

static int note(void *argument, uint32_t round, const char *form, const fmq_metrics_t *metrics,
                fmq_error_t *err)
{
    coordinator_t *self = argument;
    fmq_metrics_log_key_t key = {round, "server", form};
    const double *loss = fmq_metrics_get(metrics, "align_loss");
    self->align_loss = loss ? *loss : NAN;
    return fmq_metrics_log_add_raw(self->history, &key, metrics, err);
}

static bool stopped(void *argument)
{
    return ((coordinator_t *)argument)->terminated;
}

static fmq_strategy_host_t host_of(coordinator_t *self)
{
    return (fmq_strategy_host_t){.round = self->mark.round,
                                 .checkpoints = self->checkpoints,
                                 .mark = &self->mark,
                                 .progress = fmq_coordinator_progress,
                                 .began = began,
                                 .note = note,
                                 .stopped = stopped,
                                 .argument = self};
}

int fmq_coordinator_open_strategy(coordinator_t *self, fmq_error_t *err)
{
    const fmq_strategy_setup_t setup = {.method = self->settings->method,
                                        .rule = self->settings->rule,
                                        .config = self->options.config,
                                        .schema = self->options.schema,
                                        .offsite = self->options.offsite,
                                        .log = self->options.log};
    if (fmq_strategy_open(&self->strategy, &setup, err) < 0)
        return -1;
    self->exchanges_size = fmq_strategy_exchanges(&self->strategy, self->exchanges);
    if (!fmq_rounds_aggregating(self->exchanges, self->exchanges_size))
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "method '%s' has rounds without an end",
                             self->strategy.ops->name);
    (void)fmq_sections_add(&self->sections, FMQ_SECTION_STATE, self->options.schema, self->state);
    fmq_strategy_sections(&self->strategy, &self->sections);
    return 0;
}

int fmq_coordinator_prepare(coordinator_t *self, fmq_error_t *err)
{
    for (;;) {
        fmq_strategy_host_t host = host_of(self);
        fmq_step_t step = fmq_strategy_prepare(&self->strategy, &host, self->state, err);
        self->block = 0;
        if (step == FMQ_STEP_FAILED)
            return -1;
        if (step == FMQ_STEP_OVER) {
            self->over = true;
            self->outcome = "aligned";
        }
        if (step != FMQ_STEP_AGAIN)
            return 0;
        if (fmq_checkpoint_put(self->checkpoints, &self->mark, &self->sections, err) < 0)
            return -1;
    }
}

int fmq_coordinator_aggregate(coordinator_t *self, const fmq_updates_t *updates, fmq_error_t *err)
{
    fmq_strategy_host_t host = host_of(self);
    fmq_step_t step = fmq_strategy_aggregate(&self->strategy, &host, updates, self->state, err);
    self->block = 0;
    return step == FMQ_STEP_FAILED ? -1 : 0;
}

int fmq_coordinator_export(coordinator_t *self, fmq_error_t *err)
{
    fmq_strategy_host_t host = host_of(self);
    return fmq_strategy_export(&self->strategy, &host, err);
}

size_t fmq_coordinator_exchange(const coordinator_t *self)
{
    const fmq_exchange_t *newest = self->participants.exchange;
    bool of_round = newest && newest->close != FMQ_CLOSE_MEASURE;
    return of_round ? (size_t)(newest - self->exchanges) : 0;
}

bool fmq_coordinator_collects(const coordinator_t *self)
{
    const fmq_exchange_t *last = fmq_rounds_aggregating(self->exchanges, self->exchanges_size);
    return last->accept == FMQ_ACCEPT_UPDATE;
}

bool fmq_coordinator_shares(const coordinator_t *self)
{
    return !self->settings->method || fmq_strategy_shares(self->settings->method);
}
