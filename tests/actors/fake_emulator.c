/*
 * fake_emulator.c - see fake_emulator.h.
 */
#include "fake_emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"
#include "fedmq/base/rng.h"

static void noise(uint64_t seed, uint32_t block, float *out)
{
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = seed, .round = block});
    for (size_t i = 0; i < FAKE_EMULATOR_SIZE; i++)
        out[i] = (float)fmq_rng_uniform(&rng);
}

void fake_emulator_init(fake_emulator_t *self)
{
    memset(self, 0, sizeof *self);
    self->schema = fmq_schema_new(FMQ_F32);
    (void)fmq_schema_add(self->schema, "emulator", 1, (const uint64_t[]){FAKE_EMULATOR_SIZE}, NULL);
    noise(70, 0, self->initial);
    self->first_blocks = 1;
    self->every_round = true;
    self->save_to = "";
    self->steps = 3;
}

void fake_emulator_release(fake_emulator_t *self)
{
    fmq_schema_destroy(&self->schema);
}

void fake_emulator_train(const fake_emulator_t *self, uint32_t block, const float *state,
                         float *emulator)
{
    float drawn[FAKE_EMULATOR_SIZE];
    (void)self;
    noise(71, block, drawn);
    for (size_t i = 0; i < FAKE_EMULATOR_SIZE; i++)
        emulator[i] = 0.5F * emulator[i] + drawn[i] + 0.125F * state[i];
}

float *fake_emulator_first(const fake_emulator_t *self, const float *state)
{
    float *emulator = malloc(sizeof self->initial);
    memcpy(emulator, self->initial, sizeof self->initial);
    for (uint32_t block = self->aligned; block < self->first_blocks; block++)
        fake_emulator_train(self, block, state, emulator);
    return emulator;
}

/* Spoils the vector before it is told whether to stop, as a routine does that
 * keeps its promise only at the end. */
static int align(void *argument, const fmq_alignment_t *block, fmq_metrics_t *metrics,
                 fmq_error_t *err)
{
    fake_emulator_t *self = argument;
    float *trained = malloc(sizeof self->initial);
    memcpy(trained, block->emulator, sizeof self->initial);
    int rc = 0;
    atomic_fetch_add(&self->begun, 1);
    for (uint32_t step = 1; step <= self->steps && rc == 0; step++) {
        if (self->step_ms > 0)
            zclock_sleep((int)self->step_ms);
        if (block->progress(block->argument, step, self->steps, 0) != 0)
            rc = fmq_error_set(err, FMQ_ERR_STOPPED, "stopped in step %u", step);
    }
    if (rc == 0 && self->fails_in == block->block + 1)
        rc = fmq_error_set(err, FMQ_ERR_NUMERIC, "every batch was NaN");
    if (rc == 0) {
        fake_emulator_train(self, block->block, block->state, trained);
        memcpy(block->emulator, trained, sizeof self->initial);
        atomic_fetch_add(&self->blocks, 1);
        rc = fmq_metrics_set(metrics, "align_loss", 1.0 / (1 + block->block), err);
    }
    free(trained);
    return rc;
}

static int save(void *argument, const float *emulator, const char *directory, fmq_error_t *err)
{
    char path[512];
    (void)argument;
    if (fmq_directory_make(directory, err) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/emulator.bin", directory);
    return fmq_file_save(path, emulator, FAKE_EMULATOR_SIZE * sizeof *emulator, err);
}

void fake_emulator_fill(fake_emulator_t *self, fmq_coordinator_options_t *options)
{
    self->how = (fmq_fedbiot_options_t){.schema = self->schema,
                                        .initial = self->initial,
                                        .aligned = self->aligned,
                                        .first_blocks = self->first_blocks,
                                        .every_round = self->every_round,
                                        .sent_once = self->sent_once,
                                        .exit_after_align = self->exit_after_align,
                                        .save_to = self->save_to,
                                        .align = align,
                                        .save = save,
                                        .argument = self};
    options->offsite = &self->how;
}
