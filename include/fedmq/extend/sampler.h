/*
 * sampler.h - which clients take part in a round.
 *
 * The choice is a pure function of the seed, the round and the set of
 * candidates: neither their order nor anything that happened before counts, so that
 * a resumed run asks whom it would have asked.
 */
#ifndef FEDMQ_EXTEND_SAMPLER_H
#define FEDMQ_EXTEND_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/config.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

typedef struct {
    uint64_t seed;
    uint32_t round;
    const uint32_t *candidates; /* distinct client numbers in any order */
    size_t size;
    size_t wanted; /* more than size: all */
} fmq_sampling_t;

/* A way to sample; a new one is a row of actors/strategy/sampler.c, or an extension's. */
typedef struct fmq_sampler {
    const char *name; /* of federate.sampler */
    const char *help;
    /* Writes min(wanted, size) client numbers into chosen (room for size), ascending, and
     * *count.  -1 with err, such as FMQ_ERR_NOMEM. */
    int (*choose)(const fmq_sampling_t *sampling, uint32_t *chosen, size_t *count,
                  fmq_error_t *err);
} fmq_sampler_t;

/* By federate.sampler's name; NULL with FMQ_ERR_UNSUPPORTED naming those that
 * exist. */
const fmq_sampler_t *fmq_sampler_find(const char *name, fmq_error_t *err);
/* The one that a configuration asks for, also of an extension. */
const fmq_sampler_t *fmq_sampler_of(const fmq_config_t *config, fmq_error_t *err);
/* choose(), whose answer is looked at: FMQ_ERR_INTERNAL when it is not what is asked for. */
int fmq_sampler_choose(const fmq_sampler_t *self, const fmq_sampling_t *sampling, uint32_t *chosen,
                       size_t *count, fmq_error_t *err);
/* The name of each, and what it is; NULL behind the last. */
const char *fmq_sampler_at(size_t index, const char **help);

/* How many a round asks for: rate in (0, 1] goes before number (FS-LLM), an
 * invalid number means all; never 0 unless participating is. */
size_t fmq_sampler_wanted(int64_t number, double rate, size_t participating);

FMQ_API_END

#endif
