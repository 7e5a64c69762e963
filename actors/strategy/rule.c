/*
 * rule.c - the aggregation rules, and the walk over a state's ranges.
 *
 * fedavg (McMahan et al. 2017): sum(n_i x_i) / sum(n_i).  The products of a float
 * and a count are exact in double, so the only rounding is that of the running
 * sum, whose order is the order of the updates.
 *
 * median (Yin et al. 2018): of every coordinate the median over the updates,
 * which all count alike; of an even number the mean of the two in the middle, as
 * numpy.median has it.  Reads windows that are the narrower the more updates
 * there are, so that memory stays what it is.
 */
#include "fedmq/extend/rule.h"

#include <stdlib.h>
#include <string.h>

#include "actors/strategy/names.h"

/* Counts that are all zero would divide by zero: everybody counts alike then. */
static bool all_alike(const fmq_updates_t *updates)
{
    for (size_t i = 0; updates->samples && i < updates->size; i++)
        if (updates->samples[i] > 0)
            return false;
    return true;
}

static size_t average_scratch(size_t updates)
{
    (void)updates;
    return FMQ_RULE_RANGE_MAX * (sizeof(double) + sizeof(float));
}

static int fold_average(const fmq_updates_t *updates, uint64_t first, uint64_t count, void *scratch,
                        float *out, fmq_error_t *err)
{
    double *sum = scratch;
    float *values = (float *)(sum + FMQ_RULE_RANGE_MAX);
    bool alike = all_alike(updates);
    double total = 0;
    memset(sum, 0, (size_t)count * sizeof *sum);
    for (size_t i = 0; i < updates->size; i++) {
        double weight = alike ? 1 : (double)updates->samples[i];
        if (weight == 0)
            continue;
        if (updates->read(updates->argument, i, first, count, values, err) < 0)
            return -1;
        for (uint64_t j = 0; j < count; j++)
            sum[j] += weight * (double)values[j];
        total += weight;
    }
    for (uint64_t j = 0; j < count; j++)
        out[j] = (float)(sum[j] / total);
    return 0;
}

/* Elements of every update that are held at once. */
static uint64_t window_of(size_t updates)
{
    uint64_t width = FMQ_RULE_WINDOW_VALUES / (updates ? updates : 1);
    return width < 1 ? 1 : width < FMQ_RULE_RANGE_MAX ? width : FMQ_RULE_RANGE_MAX;
}

static size_t median_scratch(size_t updates)
{
    return (size_t)(window_of(updates) + 1) * updates * sizeof(float);
}

static void swap(float *a, float *b)
{
    float kept = *a;
    *a = *b;
    *b = kept;
}

/* Moves the k-th smallest to its place, and what is smaller before it (Hoare's
 * selection, as Wirth has it). */
static void select_kth(float *v, size_t size, size_t k)
{
    ptrdiff_t low = 0, high = (ptrdiff_t)size - 1, place = (ptrdiff_t)k;
    while (low < high) {
        float pivot = v[place];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j)
                swap(&v[i++], &v[j--]);
        }
        if (j < place)
            low = i;
        if (place < i)
            high = j;
    }
}

static float median_of(float *v, size_t size)
{
    size_t middle = size / 2;
    select_kth(v, size, middle);
    if (size % 2 == 1)
        return v[middle];
    float below = v[0];
    for (size_t i = 1; i < middle; i++)
        below = v[i] > below ? v[i] : below;
    return (float)(((double)below + (double)v[middle]) / 2);
}

static int fold_median(const fmq_updates_t *updates, uint64_t first, uint64_t count, void *scratch,
                       float *out, fmq_error_t *err)
{
    uint64_t width = window_of(updates->size);
    float *window = scratch, *column = window + width * updates->size;
    for (uint64_t from = 0; from < count; from += width) {
        uint64_t part = count - from < width ? count - from : width;
        for (size_t i = 0; i < updates->size; i++)
            if (updates->read(updates->argument, i, first + from, part, window + i * width, err) <
                0)
                return -1;
        for (uint64_t j = 0; j < part; j++) {
            for (size_t i = 0; i < updates->size; i++)
                column[i] = window[i * width + j];
            out[from + j] = median_of(column, updates->size);
        }
    }
    return 0;
}

static const fmq_rule_t rules[] = {
    {"fedavg", "mean of the updates, weighted by examples used", average_scratch, fold_average},
    {"median", "median of every coordinate; all updates count alike", median_scratch, fold_median},
};

const char *fmq_rule_at(size_t index, const char **help)
{
    const fmq_rule_t *rule = index < sizeof rules / sizeof *rules ? &rules[index] : NULL;
    *help = rule ? rule->help : NULL;
    return rule ? rule->name : NULL;
}

const fmq_rule_t *fmq_rule_find(const char *name, fmq_error_t *err)
{
    static const fmq_names_t names = {"aggregation rule", "aggregator.robust_rule", fmq_rule_at,
                                      strcmp};
    int index = fmq_names_find(&names, name, err);
    return index < 0 ? NULL : &rules[index];
}

const fmq_rule_t *fmq_rule_of(const fmq_config_t *config, fmq_error_t *err)
{
    const char *name = fmq_config_text(config, "aggregator.robust_rule");
    const fmq_rule_t *own = fmq_config_offered(config, "aggregator.robust_rule", name);
    return own ? own : fmq_rule_find(name, err);
}

int fmq_rule_run(const fmq_rule_t *rule, const fmq_updates_t *updates,
                 int (*take)(void *argument, uint64_t first, uint64_t count, float *values,
                             fmq_error_t *err),
                 void *argument, fmq_error_t *err)
{
    int rc = -1;
    void *scratch = malloc(rule->scratch(updates->size));
    float *values = malloc(FMQ_RULE_RANGE_MAX * sizeof *values);
    if (!scratch || !values) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to aggregate");
        goto fail;
    }
    for (uint64_t first = 0; first < updates->elements; first += FMQ_RULE_RANGE_MAX) {
        uint64_t rest = updates->elements - first;
        uint64_t count = rest < FMQ_RULE_RANGE_MAX ? rest : FMQ_RULE_RANGE_MAX;
        if (rule->fold(updates, first, count, scratch, values, err) < 0 ||
            take(argument, first, count, values, err) < 0)
            goto fail;
    }
    rc = 0;
fail:
    free(scratch);
    free(values);
    return rc;
}
