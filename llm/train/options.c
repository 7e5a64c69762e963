/*
 * options.c - what a routine may be asked to do, and how long it takes.
 */
#include "llm/train/options.h"

#include <math.h>

uint64_t llm_train_epoch_batches(const llm_train_options_t *self, size_t examples)
{
    if (self->batch_size == 0)
        return 0;
    uint64_t whole = examples / self->batch_size;
    return whole + (!self->drop_last && examples % self->batch_size != 0);
}

static uint64_t multiply(uint64_t a, uint64_t b)
{
    return a != 0 && b > UINT64_MAX / a ? UINT64_MAX : a * b;
}

/* FS-LLM's rules, but for accumulation: it multiplies the steps by
 * grad_accum_count and then updates on every batch; here that many batches
 * make one update, and an epoch stays one pass over the data. */
uint64_t llm_train_batches(const llm_train_options_t *options, size_t examples)
{
    uint64_t per_epoch = llm_train_epoch_batches(options, examples);
    if (per_epoch == 0)
        return 0;
    return multiply(options->steps, options->by_epoch ? per_epoch : options->grad_accum);
}

uint64_t llm_train_steps(const llm_train_options_t *options, size_t examples)
{
    uint64_t batches = llm_train_batches(options, examples);
    uint64_t group = options->grad_accum ? options->grad_accum : 1;
    return batches / group + (batches % group != 0);
}

static int complain(fmq_error_t *err, const char *key, double value, const char *expected)
{
    return fmq_error_set(err, FMQ_ERR_CONFIG, "%s is %g, expected %s", key, value, expected);
}

static int not_negative(const char *key, double value, fmq_error_t *err)
{
    return isfinite(value) && value >= 0 ? 0 : complain(err, key, value, "at least 0");
}

static int below_one(const char *key, double value, fmq_error_t *err)
{
    return value >= 0 && value < 1 ? 0 : complain(err, key, value, "[0, 1)");
}

static int check_sgd(const llm_optimizer_t *self, fmq_error_t *err)
{
    if (not_negative("train.optimizer.momentum", self->momentum, err) < 0)
        return -1;
    if (!isfinite(self->dampening))
        return complain(err, "train.optimizer.dampening", self->dampening, "a number");
    if (self->nesterov && (self->momentum <= 0 || self->dampening != 0))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "train.optimizer.nesterov needs a momentum and zero dampening");
    return 0;
}

static int check_adam(const llm_optimizer_t *self, fmq_error_t *err)
{
    if (below_one("train.optimizer.betas[0]", self->beta1, err) < 0)
        return -1;
    if (below_one("train.optimizer.betas[1]", self->beta2, err) < 0)
        return -1;
    return not_negative("train.optimizer.eps", self->eps, err);
}

static int check_adagrad(const llm_optimizer_t *self, fmq_error_t *err)
{
    if (not_negative("train.optimizer.lr_decay", self->lr_decay, err) < 0)
        return -1;
    if (not_negative("train.optimizer.initial_accumulator_value", self->initial_accumulator, err) <
        0)
        return -1;
    return not_negative("train.optimizer.eps", self->eps, err);
}

static int check_rmsprop(const llm_optimizer_t *self, fmq_error_t *err)
{
    if (not_negative("train.optimizer.momentum", self->momentum, err) < 0)
        return -1;
    if (not_negative("train.optimizer.alpha", self->alpha, err) < 0)
        return -1;
    return not_negative("train.optimizer.eps", self->eps, err);
}

static int check_adafactor(const llm_optimizer_t *self, fmq_error_t *err)
{
    bool hf = self->kind == LLM_ADAFACTOR_HF;
    if (not_negative("train.optimizer.eps[0]", self->eps, err) < 0)
        return -1;
    if (not_negative("train.optimizer.eps[1]", self->eps2, err) < 0)
        return -1;
    if (hf && !(isfinite(self->clip) && self->clip > 0))
        return complain(err, "train.optimizer.clip_threshold", self->clip, "above 0");
    if (!hf && !(isfinite(self->clip) && self->clip >= 1))
        return complain(err, "train.optimizer.d", self->clip, "at least 1");
    if (!(isfinite(self->beta2_decay) && self->beta2_decay <= 0))
        return complain(err, hf ? "train.optimizer.decay_rate" : "train.optimizer.beta2_decay",
                        self->beta2_decay, "at most 0");
    if (below_one("train.optimizer.beta1", self->beta1, err) < 0)
        return -1;
    if (self->warmup_init && !self->relative_step)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "train.optimizer.warmup_init needs relative_step");
    return 0;
}

int llm_optimizer_check(const llm_optimizer_t *self, fmq_error_t *err)
{
    if (not_negative("train.optimizer.lr", self->lr, err) < 0)
        return -1;
    if (not_negative("train.optimizer.weight_decay", self->weight_decay, err) < 0)
        return -1;
    static int (*const checks[])(const llm_optimizer_t *, fmq_error_t *) = {
        [LLM_SGD] = check_sgd,
        [LLM_ADAM] = check_adam,
        [LLM_ADAMW] = check_adam,
        [LLM_ADAGRAD] = check_adagrad,
        [LLM_RMSPROP] = check_rmsprop,
        [LLM_ADAFACTOR] = check_adafactor,
        [LLM_ADAFACTOR_HF] = check_adafactor,
        [LLM_ADAMW_8BIT] = check_adam,
    };
    return checks[self->kind](self, err);
}

/* torch refuses to cycle a momentum that is not there. */
static int check_cycle(const llm_train_options_t *self, fmq_error_t *err)
{
    llm_optimizer_kind_t kind = self->optimizer.kind;
    bool without = kind == LLM_ADAGRAD || kind == LLM_ADAFACTOR || kind == LLM_ADAFACTOR_HF;
    if (without && self->schedule.kind == LLM_SCHEDULE_ONE_CYCLE &&
        self->schedule.cycle.cycle_momentum)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "train.scheduler.cycle_momentum must be False: this optimizer has no "
                             "momentum that OneCycleLR could cycle");
    return 0;
}

static int check_batches(const llm_train_options_t *self, size_t examples, fmq_error_t *err)
{
    if (examples == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "there is no example to train on; if all were dropped because their "
                             "prompts fill llm.tok_len, raise it");
    uint64_t batches = llm_train_batches(self, examples);
    if (batches == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "dataloader.drop_last leaves no batch of %u out of %zu examples",
                             self->batch_size, examples);
    if (batches > UINT32_MAX - (uint64_t)self->retries_max)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "train.local_update_steps %llu makes too many batches",
                             (unsigned long long)self->steps);
    return 0;
}

int llm_train_check(const llm_train_options_t *self, size_t examples, fmq_error_t *err)
{
    if (self->batch_size == 0)
        return complain(err, "dataloader.batch_size", 0, "at least 1");
    if (self->steps == 0)
        return complain(err, "train.local_update_steps", 0, "at least 1");
    if (self->grad_accum == 0)
        return complain(err, "grad.grad_accum_count", 0, "at least 1");
    if (!(self->label_smoothing >= 0 && self->label_smoothing <= 1))
        return complain(err, "fedmq.label_smoothing", self->label_smoothing, "[0, 1]");
    if (isnan(self->grad_clip))
        return complain(err, "grad.grad_clip", self->grad_clip, "a number");
    if (not_negative("fedprox.mu", self->proximal_mu, err) < 0)
        return -1;
    if (not_negative("llm.emu_align.train.lm_loss_weight (the clients' epsilon)",
                     self->proximal_merged, err) < 0)
        return -1;
    if (llm_optimizer_check(&self->optimizer, err) < 0 ||
        llm_schedule_check(&self->schedule, err) < 0 || check_cycle(self, err) < 0)
        return -1;
    return check_batches(self, examples, err);
}
