/*
 * fake_emulator.h - an emulator without a model: a vector that is "aligned" by
 * arithmetic which depends on the block, on the state and on what it was.
 */
#ifndef FEDMQ_TESTS_FAKE_EMULATOR_H
#define FEDMQ_TESTS_FAKE_EMULATOR_H

#include <stdatomic.h>

#include "actors/server/coordinator.h"

#define FAKE_EMULATOR_SIZE 777 /* elements */

typedef struct {
    fmq_schema_t *schema; /* owned */
    float initial[FAKE_EMULATOR_SIZE];
    uint32_t first_blocks;
    uint32_t aligned; /* blocks that initial has been through */
    bool every_round, sent_once, exit_after_align;
    const char *save_to;
    uint32_t steps, step_ms;   /* of a block */
    uint32_t fails_in;         /* block that fails, from 1; 0: none */
    atomic_uint blocks;        /* that were finished */
    atomic_uint begun;         /* ... or only begun */
    fmq_fedbiot_options_t how; /* what fake_emulator_fill() lends the coordinator */
} fake_emulator_t;

/* Three steps of no time, one first block, and one after each round. */
void fake_emulator_init(fake_emulator_t *self);
void fake_emulator_release(fake_emulator_t *self);
void fake_emulator_fill(fake_emulator_t *self, fmq_coordinator_options_t *options);

/* What a block makes of emulator, in place. */
void fake_emulator_train(const fake_emulator_t *self, uint32_t block, const float *state,
                         float *emulator);
/* What it is when round 0 begins; the caller's. */
float *fake_emulator_first(const fake_emulator_t *self, const float *state);

#endif
