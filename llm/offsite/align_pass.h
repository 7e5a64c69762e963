/*
 * align_pass.h - one batch of alignment: both models forward, the losses of
 * align.h, and the gradient of the emulator's vector.
 *
 * A pass computes what the options' weights ask for and no more: without
 * logits it ends behind the emulator, in both directions.  It knows nothing of
 * optimizers and epochs.
 */
#ifndef FEDMQ_LLM_OFFSITE_ALIGN_PASS_H
#define FEDMQ_LLM_OFFSITE_ALIGN_PASS_H

#include "llm/offsite/similarity.h"
#include "llm/offsite/teacher.h"
#include "llm/pass/stages.h"

typedef struct {
    double loss, sim, kl, lm;
} llm_align_losses_t;

typedef struct {
    const llm_offsite_t *offsite; /* borrowed, as options */
    const llm_align_options_t *options;
    llm_workspace_t *student; /* owned */
    llm_teacher_t teacher;    /* unused when nothing is compared */
    llm_similarity_t similarity;
    bool compares, similar, words; /* asks the teacher; has sim; needs logits */
    int32_t *rows;                 /* owned: all rows of a batch */
} llm_align_pass_t;

/* Vectors are host memory; batches have at most tokens_max tokens and
 * options->train.batch_size examples of align->data. */
typedef struct {
    const float *adapter, *state;
    size_t tokens_max;
    bool training;
} llm_align_start_t;

/* Release after failure too. */
int llm_align_pass_init(llm_align_pass_t *self, const llm_align_t *align,
                        const llm_align_start_t *start, fmq_error_t *err);
void llm_align_pass_release(llm_align_pass_t *self);

/* What a batch is run with; sequence s is example examples[s]. */
typedef struct {
    const llm_batch_t *batch;
    const uint32_t *examples;
    double scale;                  /* of the gradient; 0: losses only */
    const fmq_rng_name_t *dropout; /* or NULL */
} llm_align_step_t;

/* Adds the gradient to the student's unless the loss is not finite. */
int llm_align_pass_run(llm_align_pass_t *self, const llm_align_step_t *step,
                       llm_align_losses_t *losses, fmq_error_t *err);

/* align_head.c: the terms that are made of logits, once both models' last
 * streams are there.  Adds their gradient to that of the student's. */
void llm_align_head(llm_align_pass_t *self, const llm_align_step_t *step,
                    llm_align_losses_t *losses);

#endif
