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

static double constant(const llm_schedule_t *self, uint64_t step)
{
    return step < self->total ? self->start_factor : 1;
}

static double polynomial(const llm_schedule_t *self, uint64_t step)
{
    if (self->total == 0)
        return 1;
    double left = step < self->total ? 1 - (double)step / (double)self->total : 0;
    return left > 0 ? fmq_pow(left, self->power) : self->power > 0 ? 0 : 1;
}

static double half_wave(double from, double to, double share)
{
    return to + (from - to) * (1 + fmq_cos(acos(-1.0) * share)) / 2;
}

/* Every period is t_mult times as long as the one before. */
static double restarts(const llm_schedule_t *self, double lr, uint64_t step)
{
    uint64_t length = self->t_max ? self->t_max : 1;
    if (self->t_mult <= 1)
        step %= length;
    while (step >= length) {
        step -= length;
        length = length > UINT64_MAX / self->t_mult ? UINT64_MAX : length * self->t_mult;
    }
    return half_wave(lr, self->eta_min, (double)step / (double)length);
}

/* Smith and Topin 2017: up from a to b in the first phase and back; with three phases
 * all the way down in the third, with two in the second.  A phase ends in a step of
 * its own. */
static double one_cycle(const llm_schedule_t *self, uint64_t step, const double from_to[3])
{
    const llm_one_cycle_t *cycle = &self->cycle;
    double total = (double)self->total, first = cycle->pct_start * total - 1;
    double ends[3] = {first, total - 1, total - 1};
    double rates[4] = {from_to[0], from_to[1], from_to[2], from_to[2]};
    int last = cycle->three_phase ? 2 : 1, phase = 0;
    if (cycle->three_phase) {
        ends[1] = 2 * cycle->pct_start * total - 2;
        rates[2] = from_to[0];
    }
    double at = step < self->total ? (double)step : total - 1;
    while (phase < last && at > ends[phase])
        phase++;
    double start = phase ? ends[phase - 1] : 0, length = ends[phase] - start;
    double share = length > 0 ? (at - start) / length : 1;
    return cycle->linear ? rates[phase] + (rates[phase + 1] - rates[phase]) * share
                         : half_wave(rates[phase], rates[phase + 1], share);
}

static double one_cycle_lr(const llm_schedule_t *self, uint64_t step)
{
    const llm_one_cycle_t *cycle = &self->cycle;
    double divided = cycle->div_factor > 0 ? cycle->max_lr / cycle->div_factor : cycle->max_lr;
    double lowest = cycle->final_div_factor > 0 ? divided / cycle->final_div_factor : divided;
    return one_cycle(self, step, (double[3]){divided, cycle->max_lr, lowest});
}

double llm_schedule_momentum(const llm_schedule_t *self, double momentum, uint64_t step)
{
    const llm_one_cycle_t *cycle = &self->cycle;
    if (self->kind != LLM_SCHEDULE_ONE_CYCLE || !cycle->cycle_momentum)
        return momentum;
    double most = cycle->max_momentum;
    return one_cycle(self, step, (double[3]){most, cycle->base_momentum, most});
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
    case LLM_SCHEDULE_CONSTANT:
        return lr * constant(self, step);
    case LLM_SCHEDULE_POLYNOMIAL:
        return lr * polynomial(self, step);
    case LLM_SCHEDULE_RESTARTS:
        return restarts(self, lr, step);
    case LLM_SCHEDULE_ONE_CYCLE:
        return self->total ? one_cycle_lr(self, step) : lr;
    case LLM_SCHEDULE_WARMUP:
        return warmup(self, lr, step);
    }
    return lr;
}

static int complain(fmq_error_t *err, const char *what)
{
    return fmq_error_set(err, FMQ_ERR_CONFIG, "train.scheduler: %s", what);
}

static int check_one_cycle(const llm_schedule_t *self, fmq_error_t *err)
{
    const llm_one_cycle_t *cycle = &self->cycle;
    if (self->total == 0)
        return complain(err, "OneCycleLR needs total_steps");
    if (!(isfinite(cycle->max_lr) && cycle->max_lr >= 0))
        return complain(err, "OneCycleLR's max_lr must be a number of at least 0");
    if (!(cycle->pct_start >= 0 && cycle->pct_start <= 1))
        return complain(err, "OneCycleLR's pct_start must be from 0 to 1");
    if (!(isfinite(cycle->div_factor) && cycle->div_factor > 0) ||
        !(isfinite(cycle->final_div_factor) && cycle->final_div_factor > 0))
        return complain(err, "OneCycleLR's div_factor and final_div_factor must be above 0");
    if (!(cycle->base_momentum >= 0 && cycle->base_momentum < 1) ||
        !(cycle->max_momentum >= 0 && cycle->max_momentum < 1))
        return complain(err, "OneCycleLR's momenta must be in [0, 1)");
    return 0;
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
    if (self->kind == LLM_SCHEDULE_CONSTANT && !isfinite(self->start_factor))
        return complain(err, "ConstantLR's factor must be a number");
    if (self->kind == LLM_SCHEDULE_POLYNOMIAL && !(isfinite(self->power) && self->power >= 0))
        return complain(err, "PolynomialLR's power must be a number of at least 0");
    if (self->kind == LLM_SCHEDULE_RESTARTS && (self->t_max == 0 || self->t_mult == 0))
        return complain(err, "CosineAnnealingWarmRestarts needs T_0 and T_mult of at least 1");
    if (self->kind == LLM_SCHEDULE_RESTARTS && !isfinite(self->eta_min))
        return complain(err, "eta_min must be a number");
    if (self->kind == LLM_SCHEDULE_ONE_CYCLE)
        return check_one_cycle(self, err);
    if (self->kind == LLM_SCHEDULE_MULTISTEP && self->milestones_size > LLM_MILESTONES_MAX)
        return complain(err, "MultiStepLR has too many milestones");
    return 0;
}
