/*
 * evaluate.c - losses over a dataset, batch by batch.  Nothing is trained and
 * no dropout applied.
 */
#include <math.h>

#include "llm/train/loader.h"
#include "llm/train/options.h"

typedef struct {
    llm_workspace_t *ws;  /* borrowed */
    llm_loader_t *loader; /* owned */
    uint64_t batches;
    llm_progress_fn *progress; /* or NULL */
    void *argument;
    llm_eval_stats_t sums;
} evaluation_t;

/* Adds one batch to the sums. */
static int measure(evaluation_t *self, const llm_batch_t *batch, fmq_error_t *err)
{
    double loss;
    llm_eval_stats_t *sums = &self->sums;
    if (llm_workspace_loss(self->ws, batch, &loss, err) < 0)
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
    uint64_t tokens = 0;
    llm_batch_t batch;
    for (uint64_t i = 0; i < self->batches; i++) {
        llm_loader_pack(self->loader, (size_t)i, &batch);
        if (measure(self, &batch, err) < 0)
            return -1;
        tokens += batch.starts[batch.sequences];
        if (self->progress && self->progress(self->argument, i + 1, self->batches, tokens) != 0)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "evaluation was stopped after batch %llu",
                                 (unsigned long long)i + 1);
    }
    if (self->sums.nan_batches > 0 && self->sums.samples == 0)
        return fmq_error_set(err, FMQ_ERR_NUMERIC, "the loss of all %llu batches was not a number",
                             (unsigned long long)self->batches);
    return 0;
}

int llm_evaluate_loss(llm_workspace_t *ws, const llm_dataset_t *dataset, uint32_t batch_size,
                      llm_progress_fn *progress, void *argument, llm_eval_stats_t *stats,
                      fmq_error_t *err)
{
    llm_train_options_t whole = {.batch_size = batch_size};
    evaluation_t self = {.ws = ws,
                         .batches = llm_train_epoch_batches(&whole, llm_dataset_size(dataset)),
                         .progress = progress,
                         .argument = argument};
    self.loader = llm_loader_new(dataset, batch_size, err);
    int result = self.loader ? measure_all(&self, err) : -1;
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
