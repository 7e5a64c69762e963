/*
 * hand.h - a thread that does what others ask for, one thing after another.
 *
 * The C library keeps, for every thread by itself, much of what that thread has
 * given back.  A thousand actors that compute now and then would keep it a
 * thousand times, so they have it done by the few hands of the permits.
 */
#ifndef FEDMQ_ACTORS_RUNTIME_HAND_H
#define FEDMQ_ACTORS_RUNTIME_HAND_H

#include "fedmq/base/error.h"

typedef struct fmq_hand fmq_hand_t;

fmq_hand_t *fmq_hand_new(fmq_error_t *err);
/* Nobody may be waiting for it. */
void fmq_hand_destroy(fmq_hand_t **self_p);
/* Does work(argument) and waits for its end.  One asker at a time. */
void fmq_hand_do(fmq_hand_t *self, void (*work)(void *), void *argument);

#endif
