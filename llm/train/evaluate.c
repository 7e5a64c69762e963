/*
 * evaluate.c - losses over a dataset, batch by batch.  Nothing is trained and
 * no dropout applied.
 */
#include <math.h>

#include "llm/train/loader.h"
#include "llm/train/options.h"

/* Adds one batch to the sums. */
static int measure(llm_workspace_t *ws, const llm_batch_t *batch, llm_eval_stats_t *sums,
                   fmq_error_t *err)
{
    double loss;
    if (llm_workspace_loss(ws, batch, &loss, err) < 0)
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

static int measure_all(llm_workspace_t *ws, llm_loader_t *loader, uint64_t batches,
                       llm_progress_fn *progress, void *argument, llm_eval_stats_t *sums,
                       fmq_error_t *err)
{
    uint64_t tokens = 0;
    llm_batch_t batch;
    for (uint64_t i = 0; i < batches; i++) {
        llm_loader_pack(loader, (size_t)i, &batch);
        if (measure(ws, &batch, sums, err) < 0)
            return -1;
        tokens += batch.starts[batch.sequences];
        if (progress && progress(argument, i + 1, batches, tokens) != 0)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "evaluation was stopped after batch %llu",
                                 (unsigned long long)i + 1);
    }
    if (sums->nan_batches > 0 && sums->samples == 0)
        return fmq_error_set(err, FMQ_ERR_NUMERIC, "the loss of all %llu batches was not a number",
                             (unsigned long long)batches);
    return 0;
}

int llm_evaluate_loss(llm_workspace_t *ws, const llm_dataset_t *dataset, uint32_t batch_size,
                      llm_progress_fn *progress, void *argument, llm_eval_stats_t *stats,
                      fmq_error_t *err)
{
    llm_loader_t *loader = llm_loader_new(dataset, batch_size, err);
    if (!loader)
        return -1;
    llm_train_options_t whole = {.batch_size = batch_size};
    uint64_t batches = llm_train_epoch_batches(&whole, llm_dataset_size(dataset));
    llm_eval_stats_t sums = {0};
    int result = measure_all(ws, loader, batches, progress, argument, &sums, err);
    llm_loader_destroy(&loader);
    if (result < 0)
        return -1;
    if (sums.samples > 0) {
        sums.loss_avg = sums.loss_sum / (double)sums.samples;
        sums.token_loss = sums.nll_sum / (double)sums.supervised;
    }
    *stats = sums;
    return 0;
}
