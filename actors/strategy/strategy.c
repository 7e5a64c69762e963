/*
 * strategy.c - the calls of a method's table, and what holds where it says nothing.
 */
#include "actors/strategy/strategy.h"

#include <string.h>

/* The last exchange of a round closes it, the others lead on to the next. */
static int check_exchanges(const fmq_strategy_t *self, fmq_error_t *err)
{
    fmq_exchange_t exchanges[FMQ_EXCHANGES_MAX] = {{0}};
    size_t size = fmq_strategy_exchanges(self, exchanges);
    bool right = size > 0 && size <= FMQ_EXCHANGES_MAX;
    for (size_t i = 0; right && i < size; i++)
        right = exchanges[i].close == (i + 1 < size ? FMQ_CLOSE_NEXT : FMQ_CLOSE_AGGREGATE) &&
                (exchanges[i].task == FMQ_TASK_TRAIN || exchanges[i].task == FMQ_TASK_EVALUATE);
    if (right)
        return 0;
    return fmq_error_set(err, FMQ_ERR_INTERNAL,
                         "method '%s': a round is 1 to %d exchanges that train or evaluate, of "
                         "which the last, and no other, closes with FMQ_CLOSE_AGGREGATE",
                         self->ops->name, FMQ_EXCHANGES_MAX);
}

static int check_sections(const fmq_strategy_t *self, fmq_error_t *err)
{
    fmq_sections_t sections = {.size = 0};
    fmq_strategy_sections(self, &sections);
    for (size_t i = 0; i < sections.size && i < FMQ_SECTIONS_MAX; i++) {
        const fmq_section_t *section = &sections.items[i];
        bool fedbiot = strcmp(section->name, FMQ_SECTION_EMULATOR) == 0;
        size_t length = strlen(section->name);
        if ((fedbiot ||
             strncmp(section->name, FMQ_SECTION_METHOD, strlen(FMQ_SECTION_METHOD)) == 0) &&
            length < FMQ_SECTION_NAME_MAX &&
            (section->schema ? !!section->vector : !!section->bytes))
            continue;
        return fmq_error_set(err, FMQ_ERR_INTERNAL,
                             "method '%s': section '%.80s' of its checkpoints has no content, or a "
                             "name that does not begin with '%s' or is too long",
                             self->ops->name, section->name, FMQ_SECTION_METHOD);
    }
    return 0;
}

int fmq_strategy_check_passes(const fmq_strategy_ops_t *ops, const fmq_config_t *config,
                              fmq_error_t *err)
{
    fmq_pass_t passes[FMQ_PASSES_MAX] = {{0}};
    size_t size = fmq_strategy_passes(ops, config, passes), sending = 0, keeping = 0;
    bool right = size > 0 && size <= FMQ_PASSES_MAX;
    for (size_t i = 0; right && i < size; i++) {
        sending += passes[i].sends;
        keeping += passes[i].keeps;
        right = passes[i].prefix && strlen(passes[i].prefix) < FMQ_METRIC_NAME_MAX / 2;
    }
    if (right && sending == 1 && keeping <= 1)
        return 0;
    return fmq_error_set(err, FMQ_ERR_INTERNAL,
                         "method '%s': a task is 1 to %d trainings with a prefix (\"\" is one), of "
                         "which one sends and at most one keeps",
                         ops->name, FMQ_PASSES_MAX);
}

int fmq_strategy_make(fmq_strategy_t *self, const fmq_strategy_ops_t *ops,
                      const fmq_strategy_setup_t *setup, fmq_error_t *err)
{
    *self = (fmq_strategy_t){.ops = ops};
    if (ops->create && ops->create(setup, &self->self, err) < 0)
        return -1;
    if (check_exchanges(self, err) == 0 && check_sections(self, err) == 0)
        return 0;
    fmq_strategy_close(self);
    return -1;
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
    return self->ops->deliver ? self->ops->deliver(self->self, host, err) : 0;
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
