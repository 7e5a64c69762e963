/*
 * rng.c - Philox4x32-10 streams and the distributions drawn from them.
 *
 * The word order of every distribution is part of the contract: changing how
 * many words a call takes changes every run ever made.
 */
#include "fedmq/base/rng.h"

#include <math.h>

#include "base/real.h"

#define ROUNDS 10

/* Multipliers and key increments of the paper, section 3 and table 2. */
#define MULTIPLIER_0 UINT32_C(0xD2511F53)
#define MULTIPLIER_1 UINT32_C(0xCD9E8D57)
#define WEYL_0       UINT32_C(0x9E3779B9)
#define WEYL_1       UINT32_C(0xBB67AE85)

void fmq_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t product0 = (uint64_t)MULTIPLIER_0 * c0;
        uint64_t product1 = (uint64_t)MULTIPLIER_1 * c2;
        uint32_t next0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        uint32_t next2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)product1;
        c3 = (uint32_t)product0;
        c0 = next0;
        c2 = next2;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void fmq_rng_init(fmq_rng_t *rng, const fmq_rng_name_t *name)
{
    *rng = (fmq_rng_t){
        .key = {(uint32_t)name->seed, (uint32_t)(name->seed >> 32)},
        .counter = {0, name->step, name->round, name->client << 8 | (uint32_t)name->purpose},
        .used = 4,
    };
}

uint32_t fmq_rng_u32(fmq_rng_t *rng)
{
    if (rng->used >= 4) {
        fmq_philox4x32(rng->counter, rng->key, rng->block);
        rng->counter[0]++;
        rng->used = 0;
    }
    return rng->block[rng->used++];
}

uint64_t fmq_rng_u64(fmq_rng_t *rng)
{
    uint64_t low = fmq_rng_u32(rng);
    uint64_t high = fmq_rng_u32(rng);
    return high << 32 | low;
}

double fmq_rng_uniform(fmq_rng_t *rng)
{
    return (double)(fmq_rng_u64(rng) >> 11) * 0x1p-53;
}

/* Lemire, "Fast random integer generation in an interval" (TOMACS 2019). */
uint32_t fmq_rng_below(fmq_rng_t *rng, uint32_t n)
{
    uint64_t product = (uint64_t)fmq_rng_u32(rng) * n;
    if ((uint32_t)product < n) {
        uint32_t threshold = (0u - n) % n;
        while ((uint32_t)product < threshold)
            product = (uint64_t)fmq_rng_u32(rng) * n;
    }
    return (uint32_t)(product >> 32);
}

double fmq_rng_normal(fmq_rng_t *rng)
{
    const double two_pi = 6.283185307179586476925;
    double radius = 1.0 - fmq_rng_uniform(rng); /* (0, 1]: its logarithm is finite */
    double angle = fmq_rng_uniform(rng);
    return sqrt(-2.0 * fmq_log(radius)) * fmq_cos(two_pi * angle);
}

double fmq_rng_gamma(fmq_rng_t *rng, double shape)
{
    /* Gamma(a) = Gamma(a + 1) U^(1/a) brings a shape below 1 into the method's range. */
    double boost = 1.0;
    if (shape < 1.0) {
        boost = fmq_pow(1.0 - fmq_rng_uniform(rng), 1.0 / shape);
        shape += 1.0;
    }
    double d = shape - 1.0 / 3.0;
    double c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        double x = fmq_rng_normal(rng);
        double v = 1.0 + c * x;
        double u = 1.0 - fmq_rng_uniform(rng);
        if (v <= 0.0)
            continue;
        v = v * v * v;
        if (fmq_log(u) < 0.5 * x * x + d - d * v + d * fmq_log(v))
            return boost * d * v;
    }
}

void fmq_rng_shuffle(fmq_rng_t *rng, uint32_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = fmq_rng_below(rng, (uint32_t)i);
        uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}
