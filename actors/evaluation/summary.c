/*
 * summary.c - averages and spread of measurements over clients, as
 * federatedscope.core.monitors.monitor computes them.  Where numpy would give
 * the mean of nothing (the worst tenth of fewer than ten clients) one client
 * is taken instead.
 */
#include "actors/evaluation/summary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/real.h"

typedef struct {
    double *values;  /* owned: of the clients that have the metric */
    double *weights; /* owned: their totals */
    size_t size;
} column_t;

void fmq_merged_release(fmq_merged_t *self)
{
    free(self->items);
    memset(self, 0, sizeof *self);
}

const double *fmq_merged_get(const fmq_merged_t *self, const char *name)
{
    for (size_t i = 0; i < self->size; i++)
        if (strcmp(self->items[i].name, name) == 0)
            return &self->items[i].value;
    return NULL;
}

static int emit(fmq_merged_t *out, const char *name, const char *suffix, double value,
                fmq_error_t *err)
{
    if (out->size == out->capacity) {
        size_t capacity = out->capacity ? 2 * out->capacity : 16;
        fmq_merged_metric_t *items = realloc(out->items, capacity * sizeof *items);
        if (!items)
            return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for merged metrics");
        out->items = items;
        out->capacity = capacity;
    }
    fmq_merged_metric_t *item = &out->items[out->size++];
    (void)snprintf(item->name, sizeof item->name, "%s%s", name, suffix);
    item->value = value;
    return 0;
}

int fmq_merged_add(fmq_merged_t *self, const char *name, double value, fmq_error_t *err)
{
    return emit(self, name, "", value, err);
}

/* "test_avg_loss" -> "test_total", "plugin.test_loss" -> "plugin.test_total". */
static void total_name(const char *name, char out[FMQ_METRIC_NAME_MAX + 16])
{
    (void)snprintf(out, FMQ_METRIC_NAME_MAX + 16, "%.*s_total", (int)strcspn(name, "_"), name);
}

static bool is_total(const char *name)
{
    char total[FMQ_METRIC_NAME_MAX + 16];
    total_name(name, total);
    return strcmp(name, total) == 0;
}

/* Collects one metric of all clients, in their order. */
static void collect(const fmq_measured_t *measured, size_t size, const char *name, column_t *column)
{
    char total[FMQ_METRIC_NAME_MAX + 16];
    total_name(name, total);
    column->size = 0;
    for (size_t i = 0; i < size; i++) {
        const double *value = fmq_metrics_get(measured[i].metrics, name);
        const double *weight = fmq_metrics_get(measured[i].metrics, total);
        if (!value || !isfinite(*value))
            continue;
        column->values[column->size] = *value;
        column->weights[column->size++] = weight && isfinite(*weight) && *weight > 0 ? *weight : 0;
    }
}

static double mean(const double *values, size_t size)
{
    double sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += values[i];
    return sum / (double)size;
}

static int put_average(const char *name, const column_t *column, fmq_merged_t *out,
                       fmq_error_t *err)
{
    return emit(out, name, "", mean(column->values, column->size), err);
}

static int put_weighted(const char *name, const column_t *column, fmq_merged_t *out,
                        fmq_error_t *err)
{
    if (is_total(name))
        return put_average(name, column, out, err);
    double sum = 0, weight = 0;
    for (size_t i = 0; i < column->size; i++) {
        sum += column->weights[i] * column->values[i];
        weight += column->weights[i];
    }
    return weight > 0 ? emit(out, name, "", sum / weight, err) : 0;
}

static int ascending(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double deviation(const double *values, size_t size)
{
    double centre = mean(values, size), sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += (values[i] - centre) * (values[i] - centre);
    return sqrt(sum / (double)size);
}

/* Cosine between the values and the vector of ones. */
static double cosine_to_equal(const double *values, size_t size)
{
    double squares = 0;
    for (size_t i = 0; i < size; i++)
        squares += values[i] * values[i];
    squares = sqrt(squares / (double)size);
    return squares > 0 ? mean(values, size) / squares : 1;
}

static double entropy(const double *values, size_t size)
{
    double sum = 0, result = 0;
    for (size_t i = 0; i < size; i++)
        sum += values[i] + 1e-9;
    for (size_t i = 0; i < size; i++) {
        double share = (values[i] + 1e-9) / sum;
        result -= share > 0 ? share * fmq_log(share) : 0;
    }
    return result;
}

static int put_fairness(const char *name, const column_t *column, fmq_merged_t *out,
                        fmq_error_t *err)
{
    if (is_total(name))
        return put_average(name, column, out, err);
    double *v = column->values;
    size_t n = column->size, tenth = n / 10 > 0 ? n / 10 : 1;
    if (n < 2)
        return 0;
    qsort(v, n, sizeof *v, ascending);
    const struct {
        const char *suffix;
        double value;
    } rows[] = {
        {"_std", deviation(v, n)},
        {"_bottom_decile", v[n / 10]},
        {"_top_decile", v[n * 9 / 10]},
        {"_min", v[0]},
        {"_max", v[n - 1]},
        {"_bottom10%", mean(v, tenth)},
        {"_top10%", mean(v + n * 9 / 10, n - n * 9 / 10)},
        {"_cos1", cosine_to_equal(v, n)},
        {"_entropy", entropy(v, n)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (emit(out, name, rows[i].suffix, rows[i].value, err) < 0)
            return -1;
    return 0;
}

/* Was the name already met at an earlier client? */
static bool met_before(const fmq_measured_t *measured, size_t client, const char *name)
{
    for (size_t i = 0; i < client; i++)
        if (fmq_metrics_get(measured[i].metrics, name))
            return true;
    return false;
}

/* Calls put for every metric that any client has, in order of appearance. */
static int each_metric(const fmq_measured_t *measured, size_t size, fmq_merged_t *out,
                       int (*put)(const char *, const column_t *, fmq_merged_t *, fmq_error_t *),
                       fmq_error_t *err)
{
    int rc = -1;
    column_t column = {.values = calloc(size + 1, sizeof(double)),
                       .weights = calloc(size + 1, sizeof(double))};
    if (!column.values || !column.weights) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to merge metrics");
        goto fail;
    }
    for (size_t i = 0; i < size; i++) {
        for (size_t m = 0; m < measured[i].metrics->size; m++) {
            const char *name = measured[i].metrics->items[m].name;
            if (met_before(measured, i, name))
                continue;
            collect(measured, size, name, &column);
            if (column.size > 0 && put(name, &column, out, err) < 0)
                goto fail;
        }
    }
    rc = 0;
fail:
    free(column.values);
    free(column.weights);
    return rc;
}

static int merge_weighted(const fmq_measured_t *measured, size_t size, fmq_merged_t *out,
                          fmq_error_t *err)
{
    return each_metric(measured, size, out, put_weighted, err);
}

static int merge_average(const fmq_measured_t *measured, size_t size, fmq_merged_t *out,
                         fmq_error_t *err)
{
    return each_metric(measured, size, out, put_average, err);
}

static int merge_fairness(const fmq_measured_t *measured, size_t size, fmq_merged_t *out,
                          fmq_error_t *err)
{
    return each_metric(measured, size, out, put_fairness, err);
}

static const fmq_form_t forms[] = {
    {"weighted_avg", merge_weighted},
    {"avg", merge_average},
    {"fairness", merge_fairness},
};

const fmq_form_t *fmq_form_find(const char *name)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i].name, name) == 0)
            return &forms[i];
    return NULL;
}
