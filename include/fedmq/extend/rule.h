/*
 * rule.h - many updates become one vector, range by range.
 *
 * A rule never sees where updates come from: it reads ranges of them, in any
 * order and as often as it likes, so that memory does not grow with their number.
 * Rules know no rounds and keep nothing; what a method does with what a rule
 * gives is the method's (strategy.h).
 */
#ifndef FEDMQ_EXTEND_RULE_H
#define FEDMQ_EXTEND_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/config.h"
#include "fedmq/base/error.h"
#include "fedmq/broker/state.h"

FMQ_API_BEGIN

#define FMQ_RULE_RANGE_MAX     FMQ_STATE_RANGE_MAX /* elements folded at once */
#define FMQ_RULE_WINDOW_VALUES (UINT64_C(4) << 20) /* floats that a rule holds of all updates */

typedef struct {
    size_t size;             /* updates, at least one */
    const uint64_t *samples; /* borrowed: examples behind each; NULL: all count alike */
    uint64_t elements;       /* of each */
    /* Gives elements first .. first + count of update `index`, of at most
     * FMQ_RULE_RANGE_MAX that lie in one chunk of a state; cheapest for whole
     * chunks whose first ascends. */
    int (*read)(void *argument, size_t index, uint64_t first, uint64_t count, float *values,
                fmq_error_t *err);
    void *argument; /* borrowed */
} fmq_updates_t;

/* A rule; a new one is a row of actors/strategy/rule.c, or an extension's. */
typedef struct fmq_rule {
    const char *name; /* of aggregator.robust_rule */
    const char *help;
    /* Bytes of working memory for so many updates. */
    size_t (*scratch)(size_t updates);
    /* out[count] = what the updates' elements from first on come to. */
    int (*fold)(const fmq_updates_t *updates, uint64_t first, uint64_t count, void *scratch,
                float *out, fmq_error_t *err);
} fmq_rule_t;

/* By aggregator.robust_rule's name; NULL with FMQ_ERR_UNSUPPORTED. */
const fmq_rule_t *fmq_rule_find(const char *name, fmq_error_t *err);
/* The one that a configuration asks for, also of an extension. */
const fmq_rule_t *fmq_rule_of(const fmq_config_t *config, fmq_error_t *err);
/* The name of each, and what it is; NULL behind the last. */
const char *fmq_rule_at(size_t index, const char **help);

/* Folds range after range and hands each to take(), which may change values.
 * -1: reading or take() has failed. */
int fmq_rule_run(const fmq_rule_t *rule, const fmq_updates_t *updates,
                 int (*take)(void *argument, uint64_t first, uint64_t count, float *values,
                             fmq_error_t *err),
                 void *argument, fmq_error_t *err);

FMQ_API_END

#endif
