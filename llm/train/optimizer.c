/*
 * optimizer.c - drives the backend's optimizer loops, torch.optim's semantics.
 */
#include "llm/train/optimizer.h"

static float *zeros(llm_backend_t *be, size_t n)
{
    float *memory = be->ops->alloc(be, n * sizeof *memory);
    if (memory)
        be->ops->zero(be, memory, n * sizeof *memory);
    return memory;
}

int llm_optimizer_init(llm_optimizer_state_t *self, const llm_optimizer_t *how, llm_backend_t *be,
                       size_t n, fmq_error_t *err)
{
    *self = (llm_optimizer_state_t){.how = how, .be = be, .n = n};
    bool needs_first = how->kind != LLM_SGD || how->momentum > 0;
    bool needs_second = how->kind != LLM_SGD;
    if (n > SIZE_MAX / sizeof(float) || (needs_first && !(self->first = zeros(be, n))) ||
        (needs_second && !(self->second = zeros(be, n))))
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "cannot hold an optimizer for %zu parameters: out of memory", n);
    return 0;
}

void llm_optimizer_release(llm_optimizer_state_t *self)
{
    if (self->first)
        self->be->ops->release(self->be, self->first);
    if (self->second)
        self->be->ops->release(self->be, self->second);
    *self = (llm_optimizer_state_t){0};
}

llm_rates_t llm_optimizer_rates(const llm_optimizer_t *how, const llm_schedule_t *schedule,
                                uint64_t step)
{
    double momentum = how->kind == LLM_SGD ? how->momentum : how->beta1;
    return (llm_rates_t){.lr = llm_schedule_lr(schedule, how->lr, step),
                         .momentum = llm_schedule_momentum(schedule, momentum, step)};
}

llm_optimizer_t llm_optimizer_begun(const llm_optimizer_t *how, const llm_schedule_t *schedule)
{
    llm_optimizer_t begun = *how;
    double momentum = llm_optimizer_rates(how, schedule, 0).momentum;
    if (how->kind == LLM_SGD)
        begun.momentum = momentum;
    else
        begun.beta1 = momentum;
    return begun;
}

static void step_sgd(llm_optimizer_state_t *self, float *params, const float *grads,
                     const llm_rates_t *rates)
{
    const llm_optimizer_t *how = self->how;
    llm_sgd_t sgd = {.lr = (float)rates->lr,
                     .momentum = (float)rates->momentum,
                     .dampening = (float)how->dampening,
                     .weight_decay = (float)how->weight_decay,
                     .nesterov = how->nesterov,
                     .first = self->steps == 1};
    self->be->ops->sgd_step(self->be, params, self->first, grads, self->n, &sgd);
}

static void step_adam(llm_optimizer_state_t *self, float *params, const float *grads,
                      const llm_rates_t *rates)
{
    const llm_optimizer_t *how = self->how;
    llm_adam_t adam = {.lr = (float)rates->lr,
                       .beta1 = (float)rates->momentum,
                       .beta2 = (float)how->beta2,
                       .eps = (float)how->eps,
                       .weight_decay = (float)how->weight_decay,
                       .decoupled = how->kind == LLM_ADAMW,
                       .step = self->steps};
    self->be->ops->adam_step(self->be, params, self->first, self->second, grads, self->n, &adam);
}

void llm_optimizer_step(llm_optimizer_state_t *self, float *params, const float *grads,
                        const llm_rates_t *rates)
{
    self->steps++;
    if (self->how->kind == LLM_SGD)
        step_sgd(self, params, grads, rates);
    else
        step_adam(self, params, grads, rates);
}

double llm_clip_factor(double norm, double limit)
{
    if (limit <= 0)
        return 1;
    double factor = limit / (norm + 1e-6);
    return factor < 1 ? factor : 1;
}
