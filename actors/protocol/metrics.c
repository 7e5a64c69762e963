/*
 * metrics.c - a small set of named numbers, in the order they were added.
 */
#include <stdio.h>
#include <string.h>

#include "fedmq/actors/messages.h"

static size_t find(const fmq_metrics_t *self, const char *name)
{
    size_t i = 0;
    while (i < self->size && strcmp(self->items[i].name, name) != 0)
        i++;
    return i;
}

int fmq_metrics_set(fmq_metrics_t *self, const char *name, double value, fmq_error_t *err)
{
    if (strlen(name) >= FMQ_METRIC_NAME_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "metric '%.80s' has a name of more than %d bytes",
                             name, FMQ_METRIC_NAME_MAX - 1);
    size_t at = find(self, name);
    if (at == FMQ_METRICS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "metric '%s' is one more than the %d that fit",
                             name, FMQ_METRICS_MAX);
    if (at == self->size) {
        (void)snprintf(self->items[at].name, sizeof self->items[at].name, "%s", name);
        self->size++;
    }
    self->items[at].value = value;
    return 0;
}

const double *fmq_metrics_get(const fmq_metrics_t *self, const char *name)
{
    size_t at = find(self, name);
    return at < self->size ? &self->items[at].value : NULL;
}
