/*
 * align.c - trains the emulator on public data, or measures how far it is from
 * what it stands for.  The order of batches and what becomes of gradients is
 * the training routine's.
 */
#include "fedmq/llm/align.h"

#include <math.h>
#include <stdlib.h>

#include "fedmq/base/clock.h"
#include "llm/offsite/align_pass.h"
#include "llm/train/loader.h"
#include "llm/train/options.h"
#include "llm/train/routine.h"

static int check_weight(const char *name, double value, fmq_error_t *err)
{
    if (isfinite(value) && value >= 0.0)
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG, "the weight of %s is %g, expected at least 0", name,
                         value);
}

static int check(const llm_align_t *self, fmq_error_t *err)
{
    const llm_align_options_t *options = self->options;
    const llm_offsite_t *offsite = self->offsite;
    if (check_weight("the similarity", options->sim_weight, err) < 0 ||
        check_weight("the divergence", options->kl_weight, err) < 0 ||
        check_weight("the language modelling loss", options->lm_weight, err) < 0)
        return -1;
    if (options->sim_weight + options->kl_weight + options->lm_weight == 0.0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the weights of all losses are 0, so that there is nothing to align "
                             "for; give one of them a weight");
    if (offsite->first >= offsite->behind ||
        offsite->behind > llm_model_shape(offsite->student)->layers || offsite->l >= offsite->r ||
        offsite->r > offsite->full->layers)
        return fmq_error_set(err, FMQ_ERR_INTERNAL,
                             "layers %u to %u of the client's model cannot stand for layers %u to "
                             "%u of the full one",
                             offsite->first, offsite->behind, offsite->l, offsite->r);
    if (llm_dataset_size(self->data) == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "there is no public example to align on");
    return 0;
}

static llm_align_start_t start_of(const llm_align_t *self, const float *adapter, const float *state)
{
    return (llm_align_start_t){
        .adapter = adapter,
        .state = state,
        .tokens_max = llm_train_tokens_max(self->data, self->options->train.batch_size)};
}

static int failed(fmq_error_t *err)
{
    return fmq_error_prefix(err, "alignment of the emulator");
}

static int train_batch(void *argument, const llm_routine_batch_t *batch, llm_routine_loss_t *loss,
                       fmq_error_t *err)
{
    llm_align_losses_t losses;
    llm_align_step_t step = {.batch = batch->batch,
                             .examples = batch->examples,
                             .scale = 1.0 / batch->divisor,
                             .dropout = batch->dropout};
    if (llm_align_pass_run(argument, &step, &losses, err) < 0)
        return -1;
    *loss = (llm_routine_loss_t){.loss = losses.loss, .parts = {losses.sim, losses.kl, losses.lm}};
    return 0;
}

static void fill_stats(llm_align_stats_t *stats, const llm_routine_result_t *result)
{
    double batches = (double)result->batches;
    *stats = (llm_align_stats_t){.steps = result->stats.steps,
                                 .samples = result->stats.samples,
                                 .tokens = result->stats.tokens,
                                 .nan_batches = result->stats.nan_batches,
                                 .loss = result->loss / batches,
                                 .sim = result->parts[0] / batches,
                                 .kl = result->parts[1] / batches,
                                 .lm = result->parts[2] / batches,
                                 .seconds = result->stats.seconds};
}

int llm_align_run(const llm_align_t *self, const float *adapter, float *state,
                  llm_align_stats_t *stats, fmq_error_t *err)
{
    llm_align_pass_t pass = {0};
    llm_align_start_t start = start_of(self, adapter, state);
    llm_routine_result_t result;
    start.training = true;
    int rc = check(self, err);
    if (rc == 0)
        rc = llm_train_check(&self->options->train, llm_dataset_size(self->data), err);
    if (rc == 0)
        rc = llm_align_pass_init(&pass, self, &start, err);
    if (rc == 0) {
        llm_routine_t routine = {.ws = pass.student,
                                 .pass = train_batch,
                                 .argument = &pass,
                                 .order = FMQ_RNG_ALIGN,
                                 .progress = self->progress,
                                 .progress_argument = self->argument};
        llm_train_options_t options = self->options->train;
        options.client = 0;
        options.prefix = NULL; /* the streams kept here are the teacher's */
        options.team = NULL;
        rc = llm_routine_run(&routine, self->data, &options, &result, err);
    }
    if (rc == 0) {
        llm_workspace_get_params(pass.student, state);
        if (stats)
            fill_stats(stats, &result);
    }
    llm_align_pass_release(&pass);
    return rc == 0 ? 0 : failed(err);
}

/* Adds one batch to the sums. */
static int measure_batch(llm_align_pass_t *pass, const llm_align_step_t *step,
                         llm_routine_result_t *sums, fmq_error_t *err)
{
    llm_align_losses_t losses;
    if (llm_align_pass_run(pass, step, &losses, err) < 0)
        return -1;
    if (!isfinite(losses.loss)) {
        sums->stats.nan_batches++;
        return 0;
    }
    sums->batches++;
    sums->stats.samples += step->batch->sequences;
    sums->stats.tokens += step->batch->starts[step->batch->sequences];
    sums->loss += losses.loss;
    sums->parts[0] += losses.sim;
    sums->parts[1] += losses.kl;
    sums->parts[2] += losses.lm;
    return 0;
}

static int measure_all(const llm_align_t *self, llm_align_pass_t *pass, llm_loader_t *loader,
                       llm_routine_result_t *sums, fmq_error_t *err)
{
    llm_train_options_t whole = {.batch_size = self->options->train.batch_size};
    uint64_t batches = llm_train_epoch_batches(&whole, llm_dataset_size(self->data));
    for (uint64_t i = 0; i < batches; i++) {
        llm_batch_t batch;
        llm_loader_pack(loader, (size_t)i, &batch);
        llm_align_step_t step = {.batch = &batch,
                                 .examples = llm_loader_examples(loader, (size_t)i)};
        if (measure_batch(pass, &step, sums, err) < 0)
            return -1;
        if (self->progress &&
            self->progress(self->argument, i + 1, batches, sums->stats.tokens) != 0)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "measuring was stopped after batch %llu",
                                 (unsigned long long)i + 1);
    }
    if (sums->batches == 0)
        return fmq_error_set(err, FMQ_ERR_NUMERIC, "the loss of all %llu batches was not a number",
                             (unsigned long long)batches);
    return 0;
}

int llm_align_measure(const llm_align_t *self, const float *adapter, const float *state,
                      llm_align_stats_t *stats, fmq_error_t *err)
{
    double began = fmq_clock_seconds();
    llm_align_pass_t pass = {0};
    llm_align_start_t start = start_of(self, adapter, state);
    llm_routine_result_t sums = {0};
    llm_loader_t *loader = NULL;
    int rc = check(self, err);
    if (rc == 0) {
        loader = llm_loader_new(self->data, self->options->train.batch_size, err);
        rc = loader ? llm_align_pass_init(&pass, self, &start, err) : -1;
    }
    if (rc == 0)
        rc = measure_all(self, &pass, loader, &sums, err);
    llm_loader_destroy(&loader);
    llm_align_pass_release(&pass);
    if (rc < 0)
        return failed(err);
    sums.stats.seconds = fmq_clock_seconds() - began;
    fill_stats(stats, &sums);
    return 0;
}
