/*
 * aggregate.c - the aggregation rules.
 *
 * FedAvg (McMahan et al. 2017): state = sum(n_i x_i) / sum(n_i).  The products
 * of a float and a count are exact in double, so the only rounding is that of
 * the running sum, whose order is the order of the updates.
 */
#include "actors/server/aggregate.h"

#include <stdlib.h>
#include <string.h>

#include "fedmq/broker/state.h"

/* Counts that are all zero would divide by zero: everybody counts alike then. */
static bool all_alike(const fmq_updates_t *updates)
{
    for (size_t i = 0; updates->samples && i < updates->size; i++)
        if (updates->samples[i] > 0)
            return false;
    return true;
}

static int average_range(const fmq_updates_t *updates, uint32_t chunk, uint64_t count, double *sum,
                         float *values, fmq_error_t *err)
{
    bool alike = all_alike(updates);
    double total = 0;
    memset(sum, 0, (size_t)count * sizeof *sum);
    for (size_t i = 0; i < updates->size; i++) {
        double weight = alike ? 1 : (double)updates->samples[i];
        if (weight == 0)
            continue;
        if (updates->read(updates->argument, i, chunk, values, err) < 0)
            return -1;
        for (uint64_t j = 0; j < count; j++)
            sum[j] += weight * (double)values[j];
        total += weight;
    }
    for (uint64_t j = 0; j < count; j++)
        values[j] = (float)(sum[j] / total);
    return 0;
}

static int fold_average(const fmq_updates_t *updates, const fmq_schema_t *schema, float *state,
                        fmq_error_t *err)
{
    int rc = -1;
    double *sum = malloc(FMQ_STATE_RANGE_MAX * sizeof *sum);
    float *values = malloc(FMQ_STATE_RANGE_MAX * sizeof *values);
    if (!sum || !values) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to aggregate");
        goto fail;
    }
    for (uint32_t chunk = 0; chunk < fmq_state_chunks(schema); chunk++) {
        uint64_t first, count;
        fmq_state_range(schema, chunk, &first, &count);
        if (average_range(updates, chunk, count, sum, values, err) < 0)
            goto fail;
        memcpy(state + first, values, (size_t)count * sizeof *values);
    }
    rc = 0;
fail:
    free(sum);
    free(values);
    return rc;
}

static const fmq_aggregation_t rules[] = {
    {"fedavg", "mean of the updates, weighted by examples used", fold_average},
};

const fmq_aggregation_t *fmq_aggregation_find(const char *name, fmq_error_t *err)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    (void)fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                        "there is no aggregation rule '%s'; fedmq has: fedavg "
                        "(aggregator.robust_rule)",
                        name);
    return NULL;
}
