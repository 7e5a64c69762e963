/*
 * timers.h - which of many things is due next.
 *
 * A heap of timers that lie in their owners' structures.  Setting one costs the
 * logarithm of how many are set.  It reads no clock.  One thread.
 */
#ifndef FEDMQ_BASE_TIMERS_H
#define FEDMQ_BASE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/error.h"

/* Plain data, first in its owner's structure; all zero is not set. */
typedef struct {
    int64_t due_ms;
    size_t place; /* the heap's own; 0: not set */
} fmq_timer_t;

/* Plain data; all zero is empty. */
typedef struct {
    fmq_timer_t **heap; /* owned; from 1 on, borrowed each */
    size_t size, capacity;
} fmq_timers_t;

/* Room for so many timers, so that setting them cannot fail. */
int fmq_timers_reserve(fmq_timers_t *self, size_t most, fmq_error_t *err);
void fmq_timers_release(fmq_timers_t *self);

/* Sets a timer, anew where it was set; unset does nothing to one that is not. */
void fmq_timers_set(fmq_timers_t *self, fmq_timer_t *timer, int64_t due_ms);
void fmq_timers_unset(fmq_timers_t *self, fmq_timer_t *timer);

/* The timer that is due first, or NULL; it stays set. */
fmq_timer_t *fmq_timers_first(const fmq_timers_t *self);

/* Milliseconds until the first is due: 0 when it is, at most most_ms. */
int fmq_timers_wait(const fmq_timers_t *self, int64_t now_ms, int most_ms);

#endif
