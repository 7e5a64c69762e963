/*
 * showing.h - what people see of the run, and that it gets on with what the server
 * computes itself.
 */
#ifndef FEDMQ_ACTORS_SERVER_SHOWING_H
#define FEDMQ_ACTORS_SERVER_SHOWING_H

#include "fedmq/actors/actors.h"

struct fmq_coordinator;

typedef struct {
    int64_t shown_ms;         /* progress was shown then */
    uint32_t ready;           /* clients that were shown as present */
    int64_t missing_ms;       /* who is missing is said again then, if nobody came ... */
    int64_t missing_pause_ms; /* ... and after that so much later */
    uint32_t block;           /* of what the strategy computes, from 1, of ...; 0: it does not */
    uint32_t blocks;          /* ... so many before round 0; 0: the one after a round */
    double block_loss;        /* of the last block; NaN: unknown */
} fmq_showing_t;

void fmq_showing_init(struct fmq_coordinator *self);
void fmq_showing_show(struct fmq_coordinator *self, fmq_run_event_type_t type);
/* Unless something was shown just before. */
void fmq_showing_show_now_and_then(struct fmq_coordinator *self, fmq_run_event_type_t type);
/* Who is waited for, when that changes and now and then. */
void fmq_showing_show_waiting(struct fmq_coordinator *self);

/* The strategy begins a block, has learnt its loss, is done computing. */
void fmq_showing_begin_block(struct fmq_coordinator *self, uint32_t block, uint32_t blocks);
void fmq_showing_block_loss(struct fmq_coordinator *self, double loss);
void fmq_showing_end_block(struct fmq_coordinator *self);
/* Heard and shown by everything that computes in this thread: other than 0
 * when it should stop. */
int fmq_showing_progress(void *self, uint64_t step, uint64_t steps, uint64_t tokens);

#endif
