/*
 * metrics_log.h - metrics.jsonl: one line of JSON a measurement.
 *
 * {"round":3,"source":"clients","form":"weighted_avg","metrics":{...},
 *  "time":"2026-01-31T23:59:59.123Z"}
 *
 * Lines are whole or absent: opening cuts off the half line of a crash.  A
 * round that is measured again after a resume has a second line; the last one
 * counts.  A number that is not finite is null.
 */
#ifndef FEDMQ_ACTORS_STORAGE_METRICS_LOG_H
#define FEDMQ_ACTORS_STORAGE_METRICS_LOG_H

#include "actors/evaluation/summary.h"

typedef struct fmq_metrics_log fmq_metrics_log_t;

fmq_metrics_log_t *fmq_metrics_log_open(const char *path, fmq_error_t *err);
void fmq_metrics_log_close(fmq_metrics_log_t **self_p);

typedef struct {
    uint32_t round;
    const char *source; /* "clients", "unseen", "client-3", "evaluator-1" */
    const char *form;   /* "weighted_avg", "avg", "fairness", "raw" */
} fmq_metrics_log_key_t;

int fmq_metrics_log_add(fmq_metrics_log_t *self, const fmq_metrics_log_key_t *key,
                        const fmq_merged_t *metrics, fmq_error_t *err);
int fmq_metrics_log_add_raw(fmq_metrics_log_t *self, const fmq_metrics_log_key_t *key,
                            const fmq_metrics_t *metrics, fmq_error_t *err);
/* What was added is on the disk: asked before a checkpoint that stands on it. */
int fmq_metrics_log_sync(fmq_metrics_log_t *self, fmq_error_t *err);

#endif
