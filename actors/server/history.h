/*
 * history.h - metrics.jsonl: one line of JSON a measurement.
 *
 * {"round":3,"source":"clients","form":"weighted_avg","metrics":{...},
 *  "time":"2026-01-31T23:59:59.123Z"}
 *
 * Lines are whole or absent: opening cuts off the half line of a crash.  A
 * round that is measured again after a resume has a second line; the last one
 * counts.  A number that is not finite is null.
 */
#ifndef FEDMQ_ACTORS_SERVER_HISTORY_H
#define FEDMQ_ACTORS_SERVER_HISTORY_H

#include "actors/evaluation/summary.h"

typedef struct fmq_history fmq_history_t;

fmq_history_t *fmq_history_open(const char *path, fmq_error_t *err);
void fmq_history_close(fmq_history_t **self_p);

typedef struct {
    uint32_t round;
    const char *source; /* "clients", "unseen", "client-3", "evaluator-1" */
    const char *form;   /* "weighted_avg", "avg", "fairness", "raw" */
} fmq_history_key_t;

int fmq_history_add(fmq_history_t *self, const fmq_history_key_t *key, const fmq_merged_t *metrics,
                    fmq_error_t *err);
int fmq_history_add_raw(fmq_history_t *self, const fmq_history_key_t *key,
                        const fmq_metrics_t *metrics, fmq_error_t *err);
/* What was added is on the disk: asked before a checkpoint that stands on it. */
int fmq_history_sync(fmq_history_t *self, fmq_error_t *err);

#endif
