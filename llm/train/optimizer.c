/*
 * optimizer.c - drives the backend's optimizer loops, torch.optim's semantics.
 */
#include "llm/train/optimizer.h"

int llm_optimizer_init(llm_optimizer_state_t *self, const llm_optimizer_t *how, llm_backend_t *be,
                       const fmq_schema_t *schema, const size_t range[2], fmq_error_t *err)
{
    *self = (llm_optimizer_state_t){.how = how, .be = be, .n = range[1] - range[0]};
    if (llm_moments_init(&self->moments, how, be, schema, range, err) < 0)
        return -1;
    bool scratch = how->kind == LLM_ADAFACTOR || how->kind == LLM_ADAFACTOR_HF;
    size_t bytes = scratch ? self->moments.longest * sizeof(float) : 0;
    if (bytes > 0 && !(self->scratch = be->ops->alloc(be, bytes)))
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "cannot hold an update of %zu parameters: out of memory",
                             self->moments.longest);
    return 0;
}

void llm_optimizer_release(llm_optimizer_state_t *self)
{
    if (self->scratch)
        self->be->ops->release(self->be, self->scratch);
    llm_moments_release(&self->moments);
    *self = (llm_optimizer_state_t){0};
}

static bool has_momentum(const llm_optimizer_t *how)
{
    return how->kind == LLM_SGD || how->kind == LLM_RMSPROP;
}

llm_rates_t llm_optimizer_rates(const llm_optimizer_t *how, const llm_schedule_t *schedule,
                                uint64_t step)
{
    double momentum = has_momentum(how) ? how->momentum : how->beta1;
    return (llm_rates_t){.lr = llm_schedule_lr(schedule, how->lr, step),
                         .momentum = llm_schedule_momentum(schedule, momentum, step)};
}

llm_optimizer_t llm_optimizer_begun(const llm_optimizer_t *how, const llm_schedule_t *schedule)
{
    llm_optimizer_t begun = *how;
    double momentum = llm_optimizer_rates(how, schedule, 0).momentum;
    if (has_momentum(how))
        begun.momentum = momentum;
    else
        begun.beta1 = momentum;
    return begun;
}

static float *array(const llm_optimizer_state_t *self, size_t index)
{
    return self->moments.arrays[index].memory;
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
    self->be->ops->sgd_step(self->be, params, array(self, 0), grads, self->n, &sgd);
}

static llm_adam_t adam_of(const llm_optimizer_state_t *self, const llm_rates_t *rates)
{
    const llm_optimizer_t *how = self->how;
    return (llm_adam_t){.lr = (float)rates->lr,
                        .beta1 = (float)rates->momentum,
                        .beta2 = (float)how->beta2,
                        .eps = (float)how->eps,
                        .weight_decay = (float)how->weight_decay,
                        .decoupled = how->kind != LLM_ADAM,
                        .step = self->steps};
}

static void step_adam(llm_optimizer_state_t *self, float *params, const float *grads,
                      const llm_rates_t *rates)
{
    llm_adam_t adam = adam_of(self, rates);
    self->be->ops->adam_step(self->be, params, array(self, 0), array(self, 1), array(self, 2),
                             grads, self->n, &adam);
}

static void step_adagrad(llm_optimizer_state_t *self, float *params, const float *grads,
                         const llm_rates_t *rates)
{
    const llm_optimizer_t *how = self->how;
    double passed = (double)(self->steps - 1);
    llm_adagrad_t adagrad = {.lr = (float)(rates->lr / (1 + passed * how->lr_decay)),
                             .eps = (float)how->eps,
                             .weight_decay = (float)how->weight_decay};
    self->be->ops->adagrad_step(self->be, params, array(self, 0), grads, self->n, &adagrad);
}

static void step_rmsprop(llm_optimizer_state_t *self, float *params, const float *grads,
                         const llm_rates_t *rates)
{
    const llm_optimizer_t *how = self->how;
    llm_rmsprop_t rmsprop = {.lr = (float)rates->lr,
                             .alpha = (float)how->alpha,
                             .one_minus_alpha = (float)(1 - how->alpha),
                             .eps = (float)how->eps,
                             .weight_decay = (float)how->weight_decay,
                             .momentum = (float)rates->momentum};
    llm_rmsprop_state_t state = {
        .squares = array(self, 0), .means = array(self, 1), .momentum = array(self, 2)};
    self->be->ops->rmsprop_step(self->be, params, &state, grads, self->n, &rmsprop);
}

/* Moments of small tensors are floats, as bitsandbytes keeps them. */
static void step_coded(llm_optimizer_state_t *self, float *params, const float *grads,
                       const llm_rates_t *rates)
{
    llm_adam_t adam = adam_of(self, rates);
    const llm_moments_array_t *arrays = self->moments.arrays;
    for (size_t p = 0; p < self->moments.pieces_size; p++) {
        const llm_moments_piece_t *piece = &self->moments.pieces[p];
        if (!piece->narrow) {
            self->be->ops->adam_step(self->be, params + piece->at, array(self, 4) + piece->offset,
                                     array(self, 5) + piece->offset, NULL, grads + piece->at,
                                     piece->count, &adam);
            continue;
        }
        const llm_coded_moments_t moments = {.m = (uint8_t *)arrays[0].memory + piece->at,
                                             .v = (uint8_t *)arrays[1].memory + piece->at,
                                             .m_scales = array(self, 2) + piece->offset,
                                             .v_scales = array(self, 3) + piece->offset};
        self->be->ops->adam_coded_step(self->be, params + piece->at, &moments, grads + piece->at,
                                       piece->count, &adam);
    }
}

void llm_optimizer_step(llm_optimizer_state_t *self, float *params, const float *grads,
                        const llm_rates_t *rates)
{
    static void (*const steps[])(llm_optimizer_state_t *, float *, const float *,
                                 const llm_rates_t *) = {
        [LLM_SGD] = step_sgd,
        [LLM_ADAM] = step_adam,
        [LLM_ADAMW] = step_adam,
        [LLM_ADAGRAD] = step_adagrad,
        [LLM_RMSPROP] = step_rmsprop,
        [LLM_ADAFACTOR] = llm_optimizer_adafactor,
        [LLM_ADAFACTOR_HF] = llm_optimizer_adafactor,
        [LLM_ADAMW_8BIT] = step_coded,
    };
    self->steps++;
    steps[self->how->kind](self, params, grads, rates);
}

double llm_clip_factor(double norm, double limit)
{
    if (limit <= 0)
        return 1;
    double factor = limit / (norm + 1e-6);
    return factor < 1 ? factor : 1;
}
