/*
 * schedule.c - learning rates as closed forms of torch's schedulers.
 *
 * torch changes the rate step by step; these formulas say what comes out.  A
 * schedule keeps no state: a resumed routine needs its step number only.
 */
#include <math.h>
#include <stddef.h>

#include "base/real.h"
#include "llm/train/options.h"

/* HF's get_linear_schedule_with_warmup, FS-LLM's warmup_step. */
static double warmup_step(const llm_schedule_t *self, uint64_t step)
{
    if (step < self->warmup)
        return (double)step / (double)self->warmup;
    if (step >= self->total)
        return 0;
    uint64_t length = self->total > self->warmup ? self->total - self->warmup : 1;
    return (double)(self->total - step) / (double)length;
}

/* Vaswani et al. 2017, section 5.3, without the model's width. */
static double warmup_noam(const llm_schedule_t *self, uint64_t step)
{
    double s = step > 0 ? (double)step : 1;
    return fmin(fmq_pow(s, -0.5), s * fmq_pow((double)self->warmup, -1.5));
}

static double multistep(const llm_schedule_t *self, uint64_t step)
{
    double passed = 0;
    for (size_t i = 0; i < self->milestones_size && i < LLM_MILESTONES_MAX; i++)
        passed += self->milestones[i] <= step;
    return fmq_pow(self->gamma, passed);
}

/* eta_min + (lr - eta_min) (1 + cos(pi s / t_max)) / 2: Loshchilov and Hutter
 * 2016, without restarts. */
static double cosine(const llm_schedule_t *self, double lr, uint64_t step)
{
    double phase = acos(-1.0) * (double)step / (double)self->t_max;
    return self->eta_min + (lr - self->eta_min) * (1 + fmq_cos(phase)) / 2;
}

static double linear(const llm_schedule_t *self, uint64_t step)
{
    double share = step < self->total ? (double)step / (double)self->total : 1;
    return self->start_factor + (self->end_factor - self->start_factor) * share;
}

/* DeepSpeed sets the rate behind a step, for the next: the first one takes the
 * lowest. */
static double warmup(const llm_schedule_t *self, double lr, uint64_t step)
{
    double share = 1;
    uint64_t done = step > 0 ? step - 1 : 0;
    if (step == 0)
        share = 0;
    else if (done < self->warmup)
        share = self->logarithmic ? fmq_log((double)(done + 1)) / fmq_log((double)self->warmup)
                                  : (double)done / (double)self->warmup;
    else if (self->total > 0)
        share = done >= self->total
                    ? 0
                    : (double)(self->total - done) /
                          (double)(self->total > self->warmup ? self->total - self->warmup : 1);
    return self->eta_min + (lr - self->eta_min) * share;
}

double llm_schedule_lr(const llm_schedule_t *self, double lr, uint64_t step)
{
    switch (self->kind) {
    case LLM_SCHEDULE_NONE:
        return lr;
    case LLM_SCHEDULE_WARMUP_STEP:
        return lr * warmup_step(self, step);
    case LLM_SCHEDULE_WARMUP_NOAM:
        return lr * warmup_noam(self, step);
    case LLM_SCHEDULE_STEP:
        return lr * fmq_pow(self->gamma, (double)(step / (self->step_size ? self->step_size : 1)));
    case LLM_SCHEDULE_MULTISTEP:
        return lr * multistep(self, step);
    case LLM_SCHEDULE_EXPONENTIAL:
        return lr * fmq_pow(self->gamma, (double)step);
    case LLM_SCHEDULE_COSINE:
        return self->t_max ? cosine(self, lr, step) : lr;
    case LLM_SCHEDULE_LINEAR:
        return lr * linear(self, step);
    case LLM_SCHEDULE_WARMUP:
        return warmup(self, lr, step);
    }
    return lr;
}

static int complain(fmq_error_t *err, const char *what)
{
    return fmq_error_set(err, FMQ_ERR_CONFIG, "train.scheduler: %s", what);
}

int llm_schedule_check(const llm_schedule_t *self, fmq_error_t *err)
{
    bool decays = self->kind == LLM_SCHEDULE_STEP || self->kind == LLM_SCHEDULE_MULTISTEP ||
                  self->kind == LLM_SCHEDULE_EXPONENTIAL;
    if (decays && !(isfinite(self->gamma) && self->gamma >= 0))
        return complain(err, "gamma must be a number of at least 0");
    if (self->kind == LLM_SCHEDULE_STEP && self->step_size == 0)
        return complain(err, "StepLR needs a step_size of at least 1");
    if (self->kind == LLM_SCHEDULE_COSINE && self->t_max == 0)
        return complain(err, "CosineAnnealingLR needs a T_max of at least 1");
    if (self->kind == LLM_SCHEDULE_COSINE && !isfinite(self->eta_min))
        return complain(err, "eta_min must be a number");
    if (self->kind == LLM_SCHEDULE_WARMUP_STEP && self->total == 0)
        return complain(err, "warmup_step needs total_steps");
    if (self->kind == LLM_SCHEDULE_WARMUP_NOAM && self->warmup == 0)
        return complain(err, "warmup_noam needs warmup_steps of at least 1");
    if (self->kind == LLM_SCHEDULE_WARMUP && (self->warmup < 2 || !isfinite(self->eta_min)))
        return complain(err, "a warm-up needs at least 2 steps and a lowest rate that is a number");
    if (self->kind == LLM_SCHEDULE_LINEAR &&
        !(isfinite(self->start_factor) && isfinite(self->end_factor)))
        return complain(err, "LinearLR's factors must be numbers");
    if (self->kind == LLM_SCHEDULE_MULTISTEP && self->milestones_size > LLM_MILESTONES_MAX)
        return complain(err, "MultiStepLR has too many milestones");
    return 0;
}
