/*
 * strategy.c - the calls of a method's table, and what holds where it says nothing.
 */
#include "actors/strategy/strategy.h"

int fmq_strategy_make(fmq_strategy_t *self, const fmq_strategy_ops_t *ops,
                      const fmq_strategy_setup_t *setup, fmq_error_t *err)
{
    *self = (fmq_strategy_t){.ops = ops};
    return ops->new ? ops->new (setup, &self->self, err) : 0;
}

void fmq_strategy_close(fmq_strategy_t *self)
{
    if (self->self)
        self->ops->destroy(self->self);
    *self = (fmq_strategy_t){0};
}

size_t fmq_strategy_exchanges(const fmq_strategy_t *self, fmq_exchange_t out[FMQ_EXCHANGES_MAX])
{
    if (self->ops->exchanges)
        return self->ops->exchanges(self->self, out);
    out[0] = (fmq_exchange_t){.task = FMQ_TASK_TRAIN};
    return 1;
}

int fmq_strategy_accept(const fmq_strategy_t *self, size_t exchange, uint32_t client,
                        const fmq_message_report_t *report, fmq_error_t *why)
{
    return self->ops->accept ? self->ops->accept(self->self, exchange, client, report, why) : 0;
}

uint32_t fmq_strategy_prepared(const fmq_strategy_t *self)
{
    return self->ops->prepared ? self->ops->prepared(self->self) : 0;
}

fmq_step_t fmq_strategy_prepare(const fmq_strategy_t *self, const fmq_strategy_host_t *host,
                                const float *state, fmq_error_t *err)
{
    return self->ops->prepare ? self->ops->prepare(self->self, host, state, err) : FMQ_STEP_DONE;
}

fmq_step_t fmq_strategy_aggregate(const fmq_strategy_t *self, const fmq_strategy_host_t *host,
                                  const fmq_updates_t *updates, float *state, fmq_error_t *err)
{
    return self->ops->aggregate ? self->ops->aggregate(self->self, host, updates, state, err)
                                : FMQ_STEP_DONE;
}

void fmq_strategy_sections(const fmq_strategy_t *self, fmq_sections_t *out)
{
    if (self->ops->sections)
        self->ops->sections(self->self, out);
}

const float *fmq_strategy_beside(const fmq_strategy_t *self, const fmq_schema_t **schema)
{
    return self->ops->beside ? self->ops->beside(self->self, schema) : NULL;
}

int fmq_strategy_export(const fmq_strategy_t *self, const fmq_strategy_host_t *host,
                        fmq_error_t *err)
{
    return self->ops->export ? self->ops->export(self->self, host, err) : 0;
}

size_t fmq_strategy_passes(const fmq_strategy_ops_t *ops, const fmq_config_t *config,
                           fmq_pass_t out[FMQ_PASSES_MAX])
{
    if (ops->passes)
        return ops->passes(config, out);
    out[0] = (fmq_pass_t){.from = FMQ_FROM_SHARED, .sends = true, .prefix = ""};
    return 1;
}

bool fmq_strategy_shares(const fmq_strategy_ops_t *ops)
{
    return ops->aggregate != NULL;
}
