/*
 * rng.h - counter-based random numbers: Philox4x32-10.
 *
 * Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3"
 * (SC'11).  Every random choice of a run comes from a stream that is named by
 * (seed, purpose, client, round, step), so that it depends on nothing else:
 * not on threads, not on the order of arrival, not on the machine.
 *
 * Mapping: key = seed (low word, high word); counter words = {block index,
 * step, round, client << 8 | purpose}.  A stream gives 2^32 blocks of four
 * words and then wraps.  client < 2^24.
 */
#ifndef FEDMQ_BASE_RNG_H
#define FEDMQ_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"

FMQ_API_BEGIN

typedef enum {
    FMQ_RNG_TEST = 0,
    FMQ_RNG_MODEL_INIT,   /* random weights of a new model */
    FMQ_RNG_ADAPTER_INIT, /* LoRA A */
    FMQ_RNG_SPLIT,        /* train/val/test and clients */
    FMQ_RNG_SHUFFLE,      /* order of a client's examples in an epoch */
    FMQ_RNG_DROPOUT,
    FMQ_RNG_SAMPLER,  /* which clients take part in a round */
    FMQ_RNG_GENERATE, /* sampled text */
    FMQ_RNG_CODEC,    /* stochastic rounding */
    FMQ_RNG_DATA,     /* generated data sets */
    FMQ_RNG_ALIGN,    /* the server's alignment batches */
    FMQ_RNG_RELABEL   /* whose labels a client's model writes */
} fmq_rng_purpose_t;

typedef struct {
    uint64_t seed;
    fmq_rng_purpose_t purpose;
    uint32_t client;
    uint32_t round;
    uint32_t step;
} fmq_rng_name_t;

typedef struct {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    unsigned used; /* words of block already given, 4 = none left */
} fmq_rng_t;

/* The bare block function: out = Philox4x32-10(counter, key). */
void fmq_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Puts rng at the start of the stream called name. */
void fmq_rng_init(fmq_rng_t *rng, const fmq_rng_name_t *name);

uint32_t fmq_rng_u32(fmq_rng_t *rng);
uint64_t fmq_rng_u64(fmq_rng_t *rng);

/* Uniform in [0, 1) with 53 random bits. */
double fmq_rng_uniform(fmq_rng_t *rng);

/* Uniform in {0, ..., n - 1} without bias (Lemire's rejection); n > 0. */
uint32_t fmq_rng_below(fmq_rng_t *rng, uint32_t n);

/* Standard normal (Box-Muller, both values used in turn is NOT done: one pair
 * of uniforms a call, so that a stream's position is easy to reason about). */
double fmq_rng_normal(fmq_rng_t *rng);

/* Gamma(shape, 1), shape > 0 (Marsaglia and Tsang 2000; boosted below 1). */
double fmq_rng_gamma(fmq_rng_t *rng, double shape);

/* Fisher-Yates over n indices in place. */
void fmq_rng_shuffle(fmq_rng_t *rng, uint32_t *items, size_t n);

FMQ_API_END

#endif
