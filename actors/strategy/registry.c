/*
 * registry.c - the methods by name, and what holds where a method says nothing.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "actors/storage/file.h"
#include "actors/strategy/fedbiot.h"
#include "actors/strategy/methods.h"

static const fmq_strategy_ops_t *const methods[] = {
    &fmq_average_ops, &fmq_fedopt_ops, &fmq_ditto_ops, &fmq_local_ops, &fmq_global_ops};

const fmq_strategy_ops_t *fmq_strategy_at(size_t index)
{
    return index < sizeof methods / sizeof *methods ? methods[index] : NULL;
}

const fmq_strategy_ops_t *fmq_strategy_find(const char *name, fmq_error_t *err)
{
    char names[256] = "";
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        size_t used = strlen(names);
        if (strcasecmp(methods[i]->name, name) == 0)
            return methods[i];
        (void)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                       methods[i]->name);
    }
    (void)fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                        "there is no method '%s'; fedmq has: %s (federate.method)", name, names);
    return NULL;
}

/* FS-LLM turns FedAvg into FedOpt by fedopt.use alone. */
const fmq_strategy_ops_t *fmq_strategy_of(const fmq_config_t *config, fmq_error_t *err)
{
    const fmq_strategy_ops_t *method =
        fmq_strategy_find(fmq_config_text(config, "federate.method"), err);
    return method == &fmq_average_ops && fmq_config_bool(config, "fedopt.use") ? &fmq_fedopt_ops
                                                                               : method;
}

int fmq_strategy_open(fmq_strategy_t *self, const fmq_strategy_setup_t *setup, fmq_error_t *err)
{
    fmq_strategy_setup_t whole = *setup;
    if (!whole.method)
        whole.method = &fmq_average_ops;
    if (!whole.rule && !(whole.rule = fmq_rule_find("fedavg", err)))
        return -1;
    *self = (fmq_strategy_t){.ops = whole.offsite ? &fmq_fedbiot_ops : whole.method};
    return self->ops->new ? self->ops->new (&whole, &self->self, err) : 0;
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

char *fmq_prefixed_path(const char *save_to, const char *prefix, fmq_error_t *err)
{
    const char *slash = strrchr(save_to, '/');
    int head = slash ? (int)(slash - save_to) + 1 : 0;
    return fmq_file_path(err, "%.*s%s_%s", head, save_to, prefix, save_to + head);
}
