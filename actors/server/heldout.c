/*
 * heldout.c - loss and exact answers of the full model over the server's own
 * records.  Everything in a fixed order: the numbers are the same in every run.
 */
#include "actors/server/heldout.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/evaluation/exact_match.h"
#include "actors/evaluation/named.h"
#include "actors/splitter/pieces.h"
#include "actors/splitter/public.h"

enum { VAL = 1, TEST = 2, PARTS = 3 };

struct fmq_heldout {
    const fmq_context_t *context;  /* borrowed */
    llm_records_t *records[PARTS]; /* owned; [0] is not used */
    llm_dataset_t *data[PARTS];    /* owned; of those that eval.split asks for */
};

static const char *const names[PARTS] = {"train", "val", "test"};

int fmq_heldout_stop(void *argument)
{
    const fmq_heldout_stop_t *stop = argument;
    return stop->progress ? stop->progress(stop->argument, 0, 0, 0) : 0;
}

llm_dataset_t *fmq_heldout_tokenize(const fmq_context_t *context, const llm_records_t *records,
                                    const char *what, fmq_error_t *err)
{
    char misfits[LLM_FIT_TEXT_BYTES];
    size_t tok_len = (size_t)fmq_config_int(context->config, "llm.tok_len");
    llm_dataset_t *made = llm_dataset_new(records, NULL, context->tokenizer, tok_len, err);
    if (!made)
        return NULL;
    llm_fit_t fit = llm_dataset_fit(made);
    llm_fit_text(&fit, "llm.tok_len", tok_len, misfits);
    if (*misfits)
        fmq_log_write(context->log, FMQ_LOG_WARNING, "server", "own-records",
                      "what=\"%s\" text=\"%s\"", what, misfits);
    return made;
}

/* Something must be left of what is to be measured. */
static int check_data(const fmq_heldout_t *self, fmq_error_t *err)
{
    llm_fit_t all = {0};
    for (size_t i = VAL; i < PARTS; i++) {
        llm_fit_t fit = self->data[i] ? llm_dataset_fit(self->data[i]) : (llm_fit_t){0};
        llm_fit_add(&all, &fit);
    }
    if (all.records == 0 || llm_fit_used(&all) > 0)
        return 0;
    return llm_fit_refuse(&all, "records that the server measures", "llm.tok_len",
                          (size_t)fmq_config_int(self->context->config, "llm.tok_len"), err);
}

/* The run's own, or the public ones: a server whose clients bring their own
 * data, or which has no data set beside it, holds no others. */
static int load(fmq_heldout_t *self, const fmq_offsite_settings_t *settings, fmq_error_t *err)
{
    const fmq_config_t *config = self->context->config;
    fmq_error_t why = {.text = "clients bring their own data"};
    if (!fmq_config_bool(config, "fedmq.own_data") &&
        fmq_pieces_held(config, self->records, &why) == 0) {
        if (llm_records_size(self->records[VAL]) + llm_records_size(self->records[TEST]) > 0)
            return 0;
        (void)snprintf(why.text, sizeof why.text, "data.splits leaves the server no records");
        for (size_t i = 0; i < PARTS; i++)
            llm_records_destroy(&self->records[i]);
    }
    fmq_log_write(self->context->log, FMQ_LOG_INFO, "server", "measures-public-data",
                  "data=%s why=\"%s\"", settings->public_type, why.text);
    return fmq_public_load(settings, self->records, err);
}

fmq_heldout_t *fmq_heldout_new(const fmq_context_t *context, const fmq_offsite_settings_t *settings,
                               fmq_error_t *err)
{
    fmq_heldout_t *self = calloc(1, sizeof *self);
    if (!self) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for what the server measures");
        return NULL;
    }
    self->context = context;
    if (load(self, settings, err) < 0)
        goto fail;
    for (size_t i = VAL; i < PARTS; i++)
        if (fmq_settings_measures(context->config, names[i]) &&
            !(self->data[i] = fmq_heldout_tokenize(context, self->records[i], names[i], err)))
            goto fail;
    if (check_data(self, err) < 0)
        goto fail;
    return self;
fail:
    fmq_heldout_destroy(&self);
    return NULL;
}

void fmq_heldout_destroy(fmq_heldout_t **self_p)
{
    fmq_heldout_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < PARTS; i++) {
        llm_records_destroy(&self->records[i]);
        llm_dataset_destroy(&self->data[i]);
    }
    free(self);
    *self_p = NULL;
}

static int measure_loss(const fmq_heldout_t *self, size_t part, llm_workspace_t *workspace,
                        const fmq_measuring_t *how, fmq_metrics_t *metrics, fmq_error_t *err)
{
    char of[FMQ_METRIC_NAME_MAX];
    llm_eval_stats_t stats = {0};
    uint32_t batch = (uint32_t)fmq_config_int(self->context->config, "dataloader.batch_size");
    if (!self->data[part] || llm_dataset_size(self->data[part]) == 0)
        return 0;
    if (llm_evaluate_loss(workspace, self->data[part], batch, how->progress, how->argument, &stats,
                          err) < 0)
        return -1;
    (void)snprintf(of, sizeof of, "plugin.%s", names[part]);
    return fmq_named_losses(metrics, of, &stats, err);
}

static int measure_losses(const fmq_heldout_t *self, llm_backend_t *be, const fmq_measuring_t *how,
                          fmq_metrics_t *metrics, fmq_error_t *err)
{
    uint32_t batch = (uint32_t)fmq_config_int(self->context->config, "dataloader.batch_size");
    llm_limits_t limits = {.sequences_max = batch};
    for (size_t i = VAL; i < PARTS; i++) {
        size_t tokens = self->data[i] ? llm_train_tokens_max(self->data[i], batch) : 0;
        limits.tokens_max = tokens > limits.tokens_max ? tokens : limits.tokens_max;
    }
    if (limits.tokens_max == 0)
        return 0;
    llm_workspace_t *workspace =
        llm_workspace_new(self->context->model, self->context->adapter, &limits, be, err);
    if (!workspace)
        return -1;
    int rc = llm_workspace_set_params(workspace, how->state, err);
    for (size_t i = VAL; i < PARTS && rc == 0; i++)
        rc = measure_loss(self, i, workspace, how, metrics, err);
    llm_workspace_destroy(&workspace);
    return rc;
}

static int measure_match(const fmq_heldout_t *self, llm_backend_t *be, const fmq_measuring_t *how,
                         fmq_metrics_t *metrics, fmq_error_t *err)
{
    const fmq_context_t *context = self->context;
    fmq_exact_match_t answers = {.context = context,
                                 .stack = {.model = context->model, .adapter = context->adapter},
                                 .vector = how->state,
                                 .records = self->records[TEST],
                                 .progress = how->progress,
                                 .argument = how->argument};
    if (!self->data[TEST] || llm_records_size(self->records[TEST]) == 0)
        return 0;
    return fmq_exact_match_measure(&answers, be, "plugin.test", metrics, err);
}

int fmq_heldout_measure(void *argument, const fmq_measuring_t *measuring, fmq_metrics_t *metrics,
                        fmq_error_t *err)
{
    const fmq_heldout_t *self = argument;
    fmq_heldout_stop_t stop = {measuring->progress, measuring->argument};
    llm_backend_t *be = fmq_devices_take(self->context->permits, fmq_heldout_stop, &stop);
    if (!be)
        return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped while waiting for a permit");
    int rc = measure_losses(self, be, measuring, metrics, err);
    if (rc == 0)
        rc = measure_match(self, be, measuring, metrics, err);
    fmq_devices_give(self->context->permits, &be);
    return rc;
}
