/*
 * evaluate.c - losses over a dataset, batch by batch.  Nothing is trained and
 * no dropout applied.
 */
#include <math.h>

#include "llm/train/loader.h"
#include "llm/train/options.h"
#include "llm/train/prefix_batch.h"
#include "llm/train/team.h"

typedef struct {
    llm_workspace_t *ws;  /* borrowed */
    llm_loader_t *loader; /* owned */
    llm_prefix_batch_t prefix;
    uint64_t batches;
    const llm_eval_options_t *options; /* borrowed */
    llm_eval_stats_t sums;
} evaluation_t;

static int loss_of(const evaluation_t *self, const llm_batch_t *batch, double *loss,
                   fmq_error_t *err)
{
    llm_team_t *team = self->options->team;
    return team ? llm_team_loss(team, batch, loss, err)
                : llm_workspace_loss(self->ws, batch, loss, err);
}

/* Adds one batch to the sums; its sequences are these examples. */
static int measure(evaluation_t *self, const uint32_t *examples, llm_batch_t *batch,
                   fmq_error_t *err)
{
    double loss;
    llm_eval_stats_t *sums = &self->sums;
    if (llm_prefix_batch_fill(&self->prefix, examples, batch, err) < 0 ||
        loss_of(self, batch, &loss, err) < 0)
        return -1;
    if (!isfinite(loss)) {
        sums->nan_batches++;
        return 0;
    }
    sums->samples += batch->sequences;
    sums->supervised += batch->supervised;
    sums->loss_sum += loss / (double)batch->supervised * (double)batch->sequences;
    sums->nll_sum += loss;
    return 0;
}

static int measure_all(evaluation_t *self, fmq_error_t *err)
{
    const llm_eval_options_t *options = self->options;
    uint64_t tokens = 0;
    llm_batch_t batch;
    for (uint64_t i = 0; i < self->batches; i++) {
        llm_loader_pack(self->loader, (size_t)i, &batch);
        if (measure(self, llm_loader_examples(self->loader, (size_t)i), &batch, err) < 0)
            return -1;
        tokens += batch.starts[batch.sequences];
        if (options->progress &&
            options->progress(options->argument, i + 1, self->batches, tokens) != 0)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "evaluation was stopped after batch %llu",
                                 (unsigned long long)i + 1);
    }
    if (self->sums.nan_batches > 0 && self->sums.samples == 0)
        return fmq_error_set(err, FMQ_ERR_NUMERIC, "the loss of all %llu batches was not a number",
                             (unsigned long long)self->batches);
    return 0;
}

int llm_evaluate_dataset(llm_workspace_t *ws, const llm_dataset_t *dataset,
                         const llm_eval_options_t *options, llm_eval_stats_t *stats,
                         fmq_error_t *err)
{
    llm_train_options_t whole = {.batch_size = options->batch_size};
    evaluation_t self = {.ws = ws,
                         .batches = llm_train_epoch_batches(&whole, llm_dataset_size(dataset)),
                         .options = options,
                         .prefix = {.ws = ws, .team = options->team, .cache = options->prefix}};
    if (options->team && llm_team_spread(options->team, err) < 0)
        return -1;
    self.loader = llm_loader_new(dataset, options->batch_size, err);
    int result = -1;
    if (self.loader)
        result = llm_prefix_batch_init(&self.prefix, dataset, options->batch_size, err);
    if (result == 0)
        result = measure_all(&self, err);
    llm_prefix_batch_release(&self.prefix);
    llm_loader_destroy(&self.loader);
    if (result < 0)
        return -1;
    if (self.sums.samples > 0) {
        self.sums.loss_avg = self.sums.loss_sum / (double)self.sums.samples;
        self.sums.token_loss = self.sums.nll_sum / (double)self.sums.supervised;
    }
    *stats = self.sums;
    return 0;
}

int llm_evaluate_loss(llm_workspace_t *ws, const llm_dataset_t *dataset, uint32_t batch_size,
                      llm_progress_fn *progress, void *argument, llm_eval_stats_t *stats,
                      fmq_error_t *err)
{
    llm_eval_options_t options = {
        .batch_size = batch_size, .progress = progress, .argument = argument};
    return llm_evaluate_dataset(ws, dataset, &options, stats, err);
}
