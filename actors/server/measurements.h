/*
 * measurements.h - what came of it: the metrics of clients, evaluators and the
 * server, and which of them decide.
 *
 * Those of strangers decide nothing when they are no possible numbers.
 */
#ifndef FEDMQ_ACTORS_SERVER_MEASUREMENTS_H
#define FEDMQ_ACTORS_SERVER_MEASUREMENTS_H

#include "actors/storage/metrics_log.h"
#include "fedmq/actors/messages.h"

struct fmq_coordinator;

typedef struct {
    fmq_metrics_log_t *history; /* owned: metrics.jsonl */
    fmq_metrics_t **answers;    /* owned: of the open exchange, client k at k - 1 */
    fmq_metrics_t own;          /* what the server measured in this evaluation */
    double train_loss;          /* of the last round; NaN: unknown */
    bool warned;                /* that the metric which decides is not measured */
} fmq_measurements_t;

/* Nothing is known yet; then the metrics log of the run's directory is opened. */
void fmq_measurements_init(struct fmq_coordinator *self);
int fmq_measurements_open(struct fmq_coordinator *self, fmq_error_t *err);
void fmq_measurements_release(struct fmq_coordinator *self);

/* A client's of the open exchange; none counts of the one before. */
int fmq_measurements_keep(struct fmq_coordinator *self, uint32_t client,
                          const fmq_metrics_t *metrics, fmq_error_t *err);
void fmq_measurements_forget(struct fmq_coordinator *self);
/* The server's own part of an evaluation; being told to stop is no failure. */
int fmq_measurements_measure(struct fmq_coordinator *self, fmq_error_t *err);

/* Merges the training metrics of the round that was just closed. */
int fmq_measurements_sum_up(struct fmq_coordinator *self, fmq_error_t *err);
/* Merges an evaluation, which may stop the run early; *best: no state was better. */
int fmq_measurements_judge(struct fmq_coordinator *self, bool *best, fmq_error_t *err);
/* What an evaluator measured. */
int fmq_measurements_note(struct fmq_coordinator *self, const char *source,
                          const fmq_message_metrics_t *note, fmq_error_t *err);
/* A line of metrics.jsonl, of the state after so many rounds. */
int fmq_measurements_write(struct fmq_coordinator *self, const fmq_metrics_log_key_t *key,
                           const fmq_metrics_t *metrics, fmq_error_t *err);
/* All that was written is on the disk. */
int fmq_measurements_sync(struct fmq_coordinator *self, fmq_error_t *err);

#endif
