/*
 * optimizer.h - an optimizer over one range of the trained vector.
 *
 * The arithmetic is the backend's; this keeps step numbers, and moments.h what is kept
 * of elements.
 */
#ifndef FEDMQ_LLM_TRAIN_OPTIMIZER_H
#define FEDMQ_LLM_TRAIN_OPTIMIZER_H

#include "llm/train/moments.h"

typedef struct {
    const llm_optimizer_t *how; /* borrowed */
    llm_backend_t *be;          /* borrowed */
    size_t n;
    llm_moments_t moments;
    float *scratch; /* owned, the backend's: an update of Adafactor's */
    uint32_t steps; /* done */
} llm_optimizer_state_t;

/* Of elements range[0] .. range[1] of the schema's vector, whose ends llm_moments_cut()
 * allows; schema may be NULL for optimizers to which tensors are nothing.  Release after
 * failure too. */
int llm_optimizer_init(llm_optimizer_state_t *self, const llm_optimizer_t *how, llm_backend_t *be,
                       const fmq_schema_t *schema, const size_t range[2], fmq_error_t *err);
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

/* One of either Adafactor: llm_optimizer_step()'s. */
void llm_optimizer_adafactor(llm_optimizer_state_t *self, float *params, const float *grads,
                             const llm_rates_t *rates);

/* torch's clip_grad_norm_ for a gradient of this norm: the factor to multiply
 * it by, 1 when limit <= 0 or the norm is within it. */
double llm_clip_factor(double norm, double limit);

#endif
