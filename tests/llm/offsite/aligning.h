/*
 * aligning.h - a small emulator, public examples and vectors, ready to be
 * aligned.  Every failure in here fails the running test.
 */
#ifndef FEDMQ_TESTS_OFFSITE_ALIGNING_H
#define FEDMQ_TESTS_OFFSITE_ALIGNING_H

#include "fedmq/llm/align.h"
#include "tests/llm/offsite/small.h"

#define ALIGNING_EXAMPLES 10

typedef struct {
    llm_backend_t *be;
    llm_model_t *teacher;
    llm_emulator_t *emulator;
    llm_dataset_t *data;
    float *adapter, *state; /* vectors of A and E; host */
    size_t adapter_size, state_size;
    llm_align_options_t options;
    llm_align_t align; /* of all that */
} aligning_t;

typedef struct {
    const char *family;
    uint32_t l, r; /* of 6 layers */
    llm_adapter_spec_t adapter;
} aligning_how_t;

/* LLaMA, layers [1, 5) emulated by two, LoRA of rank 4 on all modules. */
aligning_how_t aligning_usual(void);

/* Takes be.  A is trained a little, E as it begins; AdamW, batches of 3. */
void aligning_open(aligning_t *self, const aligning_how_t *how, llm_backend_t *be);
void aligning_close(aligning_t *self);

/* Trains a copy of state, which it returns: the caller's. */
float *aligning_run(aligning_t *self, llm_align_stats_t *stats);
llm_align_stats_t aligning_measure(aligning_t *self, const float *state);

#endif
