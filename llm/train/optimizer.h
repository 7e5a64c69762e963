/*
 * optimizer.h - the state of SGD, Adam or AdamW over one vector.
 *
 * The arithmetic is the backend's; this keeps moments and step numbers, and
 * nothing of it outlives a routine.
 */
#ifndef FEDMQ_LLM_TRAIN_OPTIMIZER_H
#define FEDMQ_LLM_TRAIN_OPTIMIZER_H

#include "fedmq/llm/train.h"

typedef struct {
    const llm_optimizer_t *how; /* borrowed */
    llm_backend_t *be;          /* borrowed */
    size_t n;
    float *first, *second; /* owned, the backend's memory: momentum or m, and v */
    uint32_t steps;        /* done */
} llm_optimizer_state_t;

/* Takes zeroed moments for n parameters.  Release after failure too. */
int llm_optimizer_init(llm_optimizer_state_t *self, const llm_optimizer_t *how, llm_backend_t *be,
                       size_t n, fmq_error_t *err);
void llm_optimizer_release(llm_optimizer_state_t *self);

/* What a schedule gives a step: the rate, and momentum or Adam's first beta. */
typedef struct {
    double lr, momentum;
} llm_rates_t;

/* An optimizer as its schedule makes it: OneCycleLR gives momentum to SGD, too, that had
 * none. */
llm_optimizer_t llm_optimizer_begun(const llm_optimizer_t *how, const llm_schedule_t *schedule);

/* The rates of step number `step` (from 0). */
llm_rates_t llm_optimizer_rates(const llm_optimizer_t *how, const llm_schedule_t *schedule,
                                uint64_t step);

/* One step on params (n floats of the backend's memory). */
void llm_optimizer_step(llm_optimizer_state_t *self, float *params, const float *grads,
                        const llm_rates_t *rates);

/* torch's clip_grad_norm_ for a gradient of this norm: the factor to multiply
 * it by, 1 when limit <= 0 or the norm is within it. */
double llm_clip_factor(double norm, double limit);

#endif
