/*
 * ranks.h - ranks that exchange vectors, each in a thread of its own.
 */
#ifndef FEDMQ_TESTS_LLM_TRAIN_RANKS_H
#define FEDMQ_TESTS_LLM_TRAIN_RANKS_H

#include <stddef.h>

#include "fedmq/base/error.h"

#define RANKS_RUN_MAX 8

typedef int(ranks_work_fn)(void *room, unsigned rank, fmq_error_t *err);

typedef struct {
    int result;
    fmq_error_t err;
} ranks_end_t;

/* Every rank does work(room, rank); returns when all have.  ends gets one a rank;
 * NULL: asserts that nobody fails. */
void ranks_run(unsigned ranks, ranks_work_fn *work, void *room, ranks_end_t *ends);

/* Numbers whose sums round, differently in another order. */
float ranks_number(unsigned rank, size_t i);

#endif
