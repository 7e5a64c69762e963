/*
 * routine.c - the local routine: batches, gradients, steps, statistics.
 *
 * A group is the batches of one optimizer step.  What it did to the statistics
 * is kept aside until the step is made, so that a group whose gradient turns
 * out to be NaN leaves neither a trace in the parameters nor in the numbers.
 */
#include <math.h>
#include <string.h>

#include "fedmq/base/clock.h"
#include "llm/train/loader.h"
#include "llm/train/merged.h"
#include "llm/train/options.h"
#include "llm/train/prefix_batch.h"
#include "llm/train/proximal.h"
#include "llm/train/routine.h"
#include "llm/train/update.h"

typedef struct {
    uint64_t tried, good; /* batches */
    uint64_t samples, tokens, supervised;
    double loss, parts[LLM_ROUTINE_PARTS]; /* sums over batches */
    double loss_sum, proximal_loss;
} group_t;

typedef struct {
    const llm_routine_t *how; /* borrowed, as what follows */
    llm_workspace_t *ws;
    llm_backend_t *be;
    float *params, *grads;
    size_t n;
    const llm_train_options_t *options;
    llm_loader_t *loader; /* owned */
    llm_prefix_batch_t prefix;
    llm_update_t update;
    llm_proximal_t proximal;
    llm_merged_t merged;
    llm_optimizer_t optimizer; /* with the momentum that the schedule begins with */
    uint64_t per_epoch;
    uint64_t planned, drawn; /* batches; planned grows with every retry */
    uint32_t retries;        /* made */
    uint64_t nan_tail;       /* batches since the last one whose loss was a number */
    uint64_t good;           /* where in its epoch that one stood, and which epoch */
    uint64_t good_epoch;
    group_t group;
    llm_routine_result_t result;
} routine_t;

/* What pulls towards the start has to know the start. */
static int remember_start(routine_t *self, fmq_error_t *err)
{
    const llm_train_options_t *options = self->options;
    if (options->proximal_mu > 0 && llm_proximal_init(&self->proximal, self->be, self->params,
                                                      options->proximal_anchor, self->n, err) < 0)
        return -1;
    return options->proximal_merged > 0
               ? llm_merged_init(&self->merged, llm_workspace_adapter(self->ws), self->be,
                                 self->params, err)
               : 0;
}

static int routine_init(routine_t *self, const llm_dataset_t *dataset, fmq_error_t *err)
{
    const llm_train_options_t *options = self->options;
    size_t examples = llm_dataset_size(dataset);
    if (llm_train_check(options, examples, err) < 0)
        return -1;
    uint64_t n = llm_workspace_elements(self->ws);
    self->be = llm_workspace_backend(self->ws);
    self->params = llm_workspace_params(self->ws);
    self->grads = llm_workspace_grads(self->ws);
    if (n == 0 || n > SIZE_MAX / sizeof(float) || !self->params || !self->grads)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "there is nothing to train: the workspace has %llu parameters and %s",
                             (unsigned long long)n, self->grads ? "gradients" : "no gradients");
    self->n = (size_t)n;
    self->per_epoch = llm_train_epoch_batches(options, examples);
    self->planned = llm_train_batches(options, examples);
    self->optimizer = llm_optimizer_begun(&options->optimizer, &options->schedule);
    self->loader = llm_loader_new(dataset, options->batch_size, err);
    self->prefix =
        (llm_prefix_batch_t){.ws = self->ws, .team = options->team, .cache = options->prefix};
    if (!self->loader ||
        llm_prefix_batch_init(&self->prefix, dataset, options->batch_size, err) < 0 ||
        llm_update_init(&self->update, self->ws, options->team, &self->optimizer, err) < 0 ||
        (options->kept && options->kept->size > 0 &&
         llm_update_resume(&self->update, options->kept, err) < 0) ||
        remember_start(self, err) < 0)
        return -1;
    return llm_update_begin(&self->update, err);
}

static void routine_release(routine_t *self)
{
    llm_loader_destroy(&self->loader);
    llm_prefix_batch_release(&self->prefix);
    llm_update_release(&self->update);
    llm_proximal_release(&self->proximal);
    llm_merged_release(&self->merged);
}

static fmq_rng_name_t stream(const routine_t *self, fmq_rng_purpose_t purpose, uint64_t step)
{
    return (fmq_rng_name_t){.seed = self->options->seed,
                            .purpose = purpose,
                            .client = self->options->client,
                            .round = self->options->round,
                            .step = (uint32_t)step};
}

/* Packs the next batch, in a new order where an epoch begins, and gives it
 * its prefix. */
static int draw(routine_t *self, llm_batch_t *batch, const uint32_t **examples, fmq_error_t *err)
{
    uint64_t epoch = self->drawn / self->per_epoch, index = self->drawn % self->per_epoch;
    if (index == 0) {
        fmq_rng_name_t name = stream(self, self->how->order, epoch);
        llm_loader_arrange(self->loader, self->options->shuffle ? &name : NULL);
    }
    llm_loader_pack(self->loader, (size_t)index, batch);
    self->drawn++;
    *examples = llm_loader_examples(self->loader, (size_t)index);
    return llm_prefix_batch_fill(&self->prefix, *examples, batch, err);
}

static int forget_group(routine_t *self, fmq_error_t *err)
{
    self->result.stats.nan_batches += self->group.good;
    self->group = (group_t){.tried = self->group.tried};
    return llm_update_forget(&self->update, err);
}

/* A NaN batch is left out; a retry puts one more behind the others. */
static int skip_batch(routine_t *self, fmq_error_t *err)
{
    bool finite;
    self->result.stats.nan_batches++;
    if (self->options->retry_on_nan && self->retries < self->options->retries_max) {
        self->retries++;
        self->planned++;
    } else {
        self->group.tried++;
    }
    if (llm_update_is_finite(&self->update, &finite, err) < 0)
        return -1;
    return finite ? 0 : forget_group(self, err);
}

static void count_batch(group_t *group, const llm_batch_t *batch, const llm_routine_loss_t *loss)
{
    group->tried++;
    group->good++;
    group->samples += batch->sequences;
    group->tokens += batch->starts[batch->sequences];
    group->supervised += batch->supervised;
    group->loss += loss->loss;
    group->loss_sum += loss->loss * (double)batch->sequences;
    for (size_t i = 0; i < LLM_ROUTINE_PARTS; i++)
        group->parts[i] += loss->parts[i];
}

/* Forward and backward of one batch, which counts 1/grad_accum towards the
 * step. */
static int train_batch(routine_t *self, fmq_error_t *err)
{
    llm_batch_t packed;
    fmq_rng_name_t dropout = stream(self, FMQ_RNG_DROPOUT, self->drawn);
    llm_routine_batch_t batch = {
        .batch = &packed, .divisor = (double)self->options->grad_accum, .dropout = &dropout};
    llm_routine_loss_t loss = {0};
    if (draw(self, &packed, &batch.examples, err) < 0 ||
        self->how->pass(self->how->argument, &batch, &loss, err) < 0)
        return -1;
    if (!isfinite(loss.loss)) {
        self->nan_tail++;
        return skip_batch(self, err);
    }
    self->nan_tail = 0;
    self->good = (self->drawn - 1) % self->per_epoch;
    self->good_epoch = (self->drawn - 1) / self->per_epoch;
    count_batch(&self->group, &packed, &loss);
    return 0;
}

static void count_group(routine_t *self)
{
    const group_t *group = &self->group;
    llm_train_stats_t *stats = &self->result.stats;
    stats->steps++;
    stats->samples += group->samples;
    stats->tokens += group->tokens;
    stats->supervised += group->supervised;
    stats->loss_sum += group->loss_sum;
    stats->proximal_loss = group->proximal_loss;
    self->result.batches += group->good;
    self->result.loss += group->loss;
    for (size_t i = 0; i < LLM_ROUTINE_PARTS; i++)
        self->result.parts[i] += group->parts[i];
}

/* Adds the terms that pull towards the start to the gradient; of a team, to its
 * lead's, before all are added up. */
static void pull_back(routine_t *self)
{
    const llm_train_options_t *options = self->options;
    if (options->proximal_mu > 0)
        llm_proximal_add(&self->proximal, options->proximal_mu, self->params, self->grads);
    if (options->proximal_merged > 0)
        self->group.proximal_loss =
            llm_merged_add(&self->merged, options->proximal_merged, self->params,
                           options->proximal_inert ? NULL : self->grads);
}

/* One optimizer step with the group's mean gradient. */
static int step(routine_t *self, fmq_error_t *err)
{
    const llm_train_options_t *options = self->options;
    double squares, accumulated = (double)options->grad_accum;
    /* A short group counts as the mean of what it has. */
    if (self->group.good != options->grad_accum &&
        llm_update_scale(&self->update, (float)(accumulated / (double)self->group.good), err) < 0)
        return -1;
    pull_back(self);
    if (llm_update_gather(&self->update, &squares, err) < 0)
        return -1;
    double norm = sqrt(squares);
    if (!isfinite(norm))
        return forget_group(self, err);
    llm_rates_t rates =
        llm_optimizer_rates(&self->optimizer, &options->schedule, llm_update_steps(&self->update));
    if (llm_update_step(&self->update, llm_clip_factor(norm, options->grad_clip), &rates, err) < 0)
        return -1;
    count_group(self);
    return 0;
}

static bool group_ends(const routine_t *self)
{
    return self->group.tried >= self->options->grad_accum || self->drawn == self->planned;
}

static int run(routine_t *self, uint64_t steps, fmq_error_t *err)
{
    llm_progress_fn *progress = self->how->progress;
    while (self->drawn < self->planned) {
        if (train_batch(self, err) < 0)
            return -1;
        if (!group_ends(self))
            continue;
        uint64_t before = self->result.stats.steps;
        if (self->group.good > 0 && step(self, err) < 0)
            return -1;
        self->group = (group_t){0};
        if (self->result.stats.steps == before || !progress)
            continue;
        if (progress(self->how->progress_argument, self->result.stats.steps, steps,
                     self->result.stats.tokens) != 0)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "training was stopped after step %llu",
                                 (unsigned long long)self->result.stats.steps);
    }
    return 0;
}

/* After a step that went too far every loss is NaN although no parameter is: the
 * statistics, which leave such batches out, would not show it.  A batch that had
 * a loss before tells this from a batch that never has one.  Parameters have not
 * moved since the first batch of the tail. */
static int check_tail(routine_t *self, fmq_error_t *err)
{
    llm_batch_t packed;
    fmq_rng_name_t dropout = stream(self, FMQ_RNG_DROPOUT, self->drawn);
    llm_routine_batch_t batch = {
        .batch = &packed, .divisor = (double)self->options->grad_accum, .dropout = &dropout};
    llm_routine_loss_t loss = {.loss = NAN};
    if (self->nan_tail == 0)
        return 0;
    if (self->good_epoch == (self->drawn - 1) / self->per_epoch) {
        llm_loader_pack(self->loader, (size_t)self->good, &packed);
        batch.examples = llm_loader_examples(self->loader, (size_t)self->good);
        if (llm_prefix_batch_fill(&self->prefix, batch.examples, &packed, err) < 0 ||
            self->how->pass(self->how->argument, &batch, &loss, err) < 0)
            return -1;
    } else if (self->nan_tail < self->per_epoch) {
        return 0; /* too few to tell */
    }
    if (isfinite(loss.loss))
        return 0;
    return fmq_error_set(err, FMQ_ERR_NUMERIC,
                         "training diverged: no loss is a number after step %llu (the last %llu "
                         "batches); lower train.optimizer.lr or set grad.grad_clip",
                         (unsigned long long)self->result.stats.steps,
                         (unsigned long long)self->nan_tail);
}

static int check_result(routine_t *self, fmq_error_t *err)
{
    if (self->result.stats.samples == 0)
        return fmq_error_set(err, FMQ_ERR_NUMERIC,
                             "the loss of all %llu batches was not a number; check the model's "
                             "weights and lower train.optimizer.lr",
                             (unsigned long long)self->drawn);
    if (!isfinite(self->be->ops->sum_squares(self->be, self->params, self->n)))
        return fmq_error_set(err, FMQ_ERR_NUMERIC,
                             "training diverged: a parameter is not a number after %llu steps; "
                             "lower train.optimizer.lr or set grad.grad_clip",
                             (unsigned long long)self->result.stats.steps);
    return check_tail(self, err);
}

int llm_routine_run(const llm_routine_t *how, const llm_dataset_t *dataset,
                    const llm_train_options_t *options, llm_routine_result_t *result,
                    fmq_error_t *err)
{
    routine_t routine = {.how = how, .ws = how->ws, .options = options};
    double began = fmq_clock_seconds();
    int rc = routine_init(&routine, dataset, err);
    if (rc == 0)
        rc = run(&routine, llm_train_steps(options, llm_dataset_size(dataset)), err);
    if (rc == 0)
        rc = check_result(&routine, err);
    if (rc == 0 && options->kept)
        rc = llm_update_keep(&routine.update, options->kept, err);
    if (rc == 0) {
        llm_train_stats_t *stats = &routine.result.stats;
        stats->loss_avg = stats->loss_sum / (double)stats->samples;
        stats->seconds = fmq_clock_seconds() - began;
        *result = routine.result;
    }
    routine_release(&routine);
    return rc;
}
