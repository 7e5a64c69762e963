/*
 * sampler.h - which clients take part in a round.
 *
 * The choice is a pure function of the seed, the round and the set of
 * candidates: neither their order nor anything that happened before counts.
 */
#ifndef FEDMQ_ACTORS_STRATEGY_SAMPLER_H
#define FEDMQ_ACTORS_STRATEGY_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/error.h"

typedef struct {
    uint64_t seed;
    uint32_t round;
    const uint32_t *candidates; /* distinct client numbers in any order */
    size_t size;
    size_t wanted; /* more than size: all */
} fmq_sampling_t;

/* A way to sample; a new one is a new row of sampler.c. */
typedef struct {
    const char *name;
    const char *help;
    /* Writes min(wanted, size) client numbers into chosen, ascending, and
     * *count.  -1 with FMQ_ERR_NOMEM. */
    int (*choose)(const fmq_sampling_t *sampling, uint32_t *chosen, size_t *count,
                  fmq_error_t *err);
} fmq_sampler_t;

/* By federate.sampler's name; NULL with FMQ_ERR_UNSUPPORTED naming those that
 * exist. */
const fmq_sampler_t *fmq_sampler_find(const char *name, fmq_error_t *err);
/* The name of each, and what it is; NULL behind the last. */
const char *fmq_sampler_at(size_t index, const char **help);

/* How many a round asks for: rate in (0, 1] goes before number (FS-LLM), an
 * invalid number means all; never 0 unless participating is. */
size_t fmq_sampler_wanted(int64_t number, double rate, size_t participating);

#endif
