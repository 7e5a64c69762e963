/*
 * early_stop.h - has a measurement stopped getting better?
 *
 * FS-LLM's two rules.  "best": as many evaluations in a row as patience says
 * that were worse than the best so far.  "mean": an evaluation that is worse
 * than the mean of the last patience ones.  Plain data, so that a checkpoint
 * can hold it; a measurement that is not a number counts as worse.
 */
#ifndef FEDMQ_ACTORS_EVALUATION_EARLY_STOP_H
#define FEDMQ_ACTORS_EVALUATION_EARLY_STOP_H

#include <stdbool.h>
#include <stdint.h>

#define FMQ_EARLY_STOP_WINDOW_MAX 256 /* evaluations whose mean is taken */

typedef enum { FMQ_EARLY_STOP_BEST, FMQ_EARLY_STOP_MEAN } fmq_early_stop_mode_t;

typedef struct {
    fmq_early_stop_mode_t mode;
    uint32_t patience; /* evaluations; 0: never stop */
    double delta;      /* slack */
    bool larger;       /* larger is better */
} fmq_early_stop_rule_t;

typedef struct {
    bool any; /* best holds something */
    double best;
    uint32_t worse; /* in a row */
    uint32_t size;  /* entries of last, newest at the end */
    double last[FMQ_EARLY_STOP_WINDOW_MAX];
} fmq_early_stop_t;

/* Takes the newest measurement; true when the run should stop. */
bool fmq_early_stop_update(fmq_early_stop_t *self, const fmq_early_stop_rule_t *rule, double value);

/* True for measurements that grow when things get better (accuracy, match,
 * F1); losses do not. */
bool fmq_metric_larger_is_better(const char *name);

/* The best measurement so far and where it was. */
typedef struct {
    bool any;
    double value;
    uint32_t round;
} fmq_best_t;

/* True when value is better than the best so far, which it then becomes. */
bool fmq_best_update(fmq_best_t *self, bool larger, double value, uint32_t round);

#endif
