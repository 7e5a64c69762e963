/*
 * registry.c - the methods by name, and which of them a run's server half is.
 */
#include <strings.h>

#include "actors/strategy/fedbiot.h"
#include "actors/strategy/methods.h"
#include "actors/strategy/names.h"

static const fmq_strategy_ops_t *const methods[] = {
    &fmq_average_ops, &fmq_fedopt_ops, &fmq_ditto_ops, &fmq_local_ops, &fmq_global_ops};

const char *fmq_strategy_at(size_t index, const char **help)
{
    const fmq_strategy_ops_t *method =
        index < sizeof methods / sizeof *methods ? methods[index] : NULL;
    *help = method ? method->help : NULL;
    return method ? method->name : NULL;
}

const fmq_strategy_ops_t *fmq_strategy_find(const char *name, fmq_error_t *err)
{
    static const fmq_names_t names = {"method", "federate.method", fmq_strategy_at, strcasecmp};
    int index = fmq_names_find(&names, name, err);
    return index < 0 ? NULL : methods[index];
}

/* FS-LLM turns FedAvg into FedOpt by fedopt.use alone. */
const fmq_strategy_ops_t *fmq_strategy_of(const fmq_config_t *config, fmq_error_t *err)
{
    const char *name = fmq_config_text(config, "federate.method");
    const fmq_strategy_ops_t *method = fmq_config_offered(config, "federate.method", name);
    if (method)
        return fmq_strategy_check_passes(method, config, err) < 0 ? NULL : method;
    method = fmq_strategy_find(name, err);
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
    return fmq_strategy_make(self, whole.offsite ? &fmq_fedbiot_ops : whole.method, &whole, err);
}
