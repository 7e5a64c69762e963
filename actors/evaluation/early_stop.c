/*
 * early_stop.c - federatedscope.core.auxiliaries.early_stopper's two rules, on
 * plain numbers.
 */
#include "actors/evaluation/early_stop.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Worse than what it is compared with, delta taken as slack. */
static bool is_worse(const fmq_early_stop_rule_t *rule, double value, double against)
{
    if (!isfinite(value))
        return true;
    return rule->larger ? value < against + rule->delta : value > against - rule->delta;
}

static bool update_best(fmq_early_stop_t *self, const fmq_early_stop_rule_t *rule, double value)
{
    bool worse = self->any ? is_worse(rule, value, self->best) : !isfinite(value);
    if (!worse) {
        self->any = true;
        self->best = value;
        self->worse = 0;
        return false;
    }
    self->worse++;
    return self->worse >= rule->patience;
}

static bool update_mean(fmq_early_stop_t *self, const fmq_early_stop_rule_t *rule, double value)
{
    bool stop = false;
    uint32_t window =
        rule->patience < FMQ_EARLY_STOP_WINDOW_MAX ? rule->patience : FMQ_EARLY_STOP_WINDOW_MAX;
    if (self->size > window) /* patience was lowered on resuming */
        self->size = 0;
    if (self->size == window) {
        double sum = 0;
        for (uint32_t i = 0; i < self->size; i++)
            sum += self->last[i];
        stop = is_worse(rule, value, sum / self->size);
        memmove(self->last, self->last + 1, (self->size - 1) * sizeof *self->last);
        self->size--;
    }
    if (isfinite(value)) /* what is no number would spoil every mean that it is in */
        self->last[self->size++] = value;
    return stop;
}

bool fmq_early_stop_update(fmq_early_stop_t *self, const fmq_early_stop_rule_t *rule, double value)
{
    if (rule->patience == 0)
        return false;
    return rule->mode == FMQ_EARLY_STOP_BEST ? update_best(self, rule, value)
                                             : update_mean(self, rule, value);
}

bool fmq_metric_larger_is_better(const char *name)
{
    static const char *const growing[] = {"acc", "match", "f1", "roc_auc", "correct", "hits"};
    if (strstr(name, "loss"))
        return false;
    for (size_t i = 0; i < sizeof growing / sizeof *growing; i++)
        if (strstr(name, growing[i]))
            return true;
    return false;
}

bool fmq_best_update(fmq_best_t *self, bool larger, double value, uint32_t round)
{
    bool better =
        isfinite(value) && (!self->any || (larger ? value > self->value : value < self->value));
    if (better)
        *self = (fmq_best_t){.any = true, .value = value, .round = round};
    return better;
}
