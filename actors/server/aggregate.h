/*
 * aggregate.h - many updates become one state, range by range.
 *
 * A rule never sees where updates come from: it reads one range (a chunk) of
 * one update at a time, in the order of the updates, so that memory does not
 * depend on their number.
 */
#ifndef FEDMQ_ACTORS_SERVER_AGGREGATE_H
#define FEDMQ_ACTORS_SERVER_AGGREGATE_H

#include <stdbool.h>

#include "fedmq/base/schema.h"

typedef struct {
    size_t size;             /* updates, at least one */
    const uint64_t *samples; /* borrowed: examples behind each; NULL: all count alike */
    /* Gives range `chunk` of update `index`: values[count of the range]. */
    int (*read)(void *argument, size_t index, uint32_t chunk, float *values, fmq_error_t *err);
    void *argument; /* borrowed */
} fmq_updates_t;

/* A rule; a new one is a new row of aggregate.c.  state comes in as the state
 * that the updates began from and goes out aggregated; on failure its content
 * is undefined. */
typedef struct {
    const char *name;
    const char *help;
    int (*fold)(const fmq_updates_t *updates, const fmq_schema_t *schema, float *state,
                fmq_error_t *err);
} fmq_aggregation_t;

/* By aggregator.robust_rule's name; NULL with FMQ_ERR_UNSUPPORTED. */
const fmq_aggregation_t *fmq_aggregation_find(const char *name, fmq_error_t *err);

#endif
