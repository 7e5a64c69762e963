/*
 * summary.h - the measurements of many clients as one: FS-LLM's report forms.
 *
 * "<split>_total" is the number of examples behind every "<split>_..."
 * measurement.  In every form a total itself is the plain mean over clients.
 * A value that is missing or not finite is left out of its sum.
 */
#ifndef FEDMQ_ACTORS_EVALUATION_SUMMARY_H
#define FEDMQ_ACTORS_EVALUATION_SUMMARY_H

#include "fedmq/actors/messages.h"

typedef struct {
    uint32_t client;
    const fmq_metrics_t *metrics; /* borrowed */
} fmq_measured_t;

typedef struct {
    char name[FMQ_METRIC_NAME_MAX + 16]; /* room for a suffix */
    double value;
} fmq_merged_metric_t;

typedef struct {
    fmq_merged_metric_t *items; /* owned */
    size_t size, capacity;
} fmq_merged_t;

/* A report form; a new one is a new row of summary.c. */
typedef struct {
    const char *name;
    int (*merge)(const fmq_measured_t *measured, size_t size, fmq_merged_t *out, fmq_error_t *err);
} fmq_form_t;

/* "weighted_avg", "avg" or "fairness" ("raw" is no merging); or NULL. */
const fmq_form_t *fmq_form_find(const char *name);

void fmq_merged_release(fmq_merged_t *self);
/* One more, which is not there yet. */
int fmq_merged_add(fmq_merged_t *self, const char *name, double value, fmq_error_t *err);
/* NULL when absent. */
const double *fmq_merged_get(const fmq_merged_t *self, const char *name);

#endif
