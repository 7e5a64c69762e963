/*
 * measure.c - loss over a dataset and exact match over its records.
 */
#include "actors/evaluation/measure.h"

#include <stdio.h>

#include "actors/evaluation/exact_match.h"
#include "actors/evaluation/named.h"

static uint32_t batch_size(const fmq_measure_t *self)
{
    int64_t size = fmq_config_int(self->context->config, "dataloader.batch_size");
    return size > 0 && size <= UINT32_MAX ? (uint32_t)size : 1;
}

/* What a state is measured in. */
typedef struct {
    char of[FMQ_METRIC_NAME_MAX]; /* what names of its metrics begin with */
    llm_stack_t stack;
    const float *fixed;
    llm_prefix_cache_t *cache;
} view_t;

static int measure_loss(const fmq_measure_t *self, const view_t *view, llm_backend_t *backend,
                        const float *vector, fmq_metrics_t *out, fmq_error_t *err)
{
    llm_eval_stats_t stats = {0};
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(self->dataset, batch_size(self)),
                           .sequences_max = batch_size(self)};
    llm_eval_options_t options = {.batch_size = batch_size(self),
                                  .prefix = view->cache,
                                  .progress = self->progress,
                                  .argument = self->argument};
    llm_workspace_t *workspace = llm_workspace_new_stack(&view->stack, &limits, backend, err);
    if (!workspace)
        return -1;
    int rc = llm_workspace_set_params(workspace, vector, err);
    if (rc == 0 && view->fixed)
        rc = llm_workspace_set_fixed(workspace, view->fixed, err);
    if (rc == 0)
        rc = llm_evaluate_dataset(workspace, self->dataset, &options, &stats, err);
    llm_workspace_destroy(&workspace);
    return rc < 0 ? -1 : fmq_named_losses(out, view->of, &stats, err);
}

static int measure_match(const fmq_measure_t *self, const view_t *view, llm_backend_t *backend,
                         const float *vector, fmq_metrics_t *out, fmq_error_t *err)
{
    fmq_exact_match_t answers = {.context = self->context,
                                 .stack = view->stack,
                                 .vector = vector,
                                 .fixed = view->fixed,
                                 .records = self->records,
                                 .progress = self->progress,
                                 .argument = self->argument};
    return fmq_exact_match_measure(&answers, backend, view->of, out, err);
}

static int measure_in(const fmq_measure_t *self, const view_t *view, const float *vector,
                      fmq_metrics_t *out, fmq_error_t *err)
{
    llm_backend_t *backend = fmq_devices_take(self->context->permits, self->stop, self->argument);
    if (!backend)
        return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped while waiting for a permit");
    int rc = measure_loss(self, view, backend, vector, out, err);
    if (rc == 0)
        rc = measure_match(self, view, backend, vector, out, err);
    fmq_devices_give(self->context->permits, &backend);
    return rc;
}

int fmq_measure_run(const fmq_measure_t *self, const float *vector, fmq_metrics_t *out,
                    fmq_error_t *err)
{
    const fmq_context_t *context = self->context;
    fmq_metrics_t metrics = {0};
    const char *part = self->part ? self->part : "test";
    view_t client = {
        .stack = fmq_context_client_stack(context), .fixed = self->emulator, .cache = self->prefix};
    view_t full = {.stack = {.model = context->model, .adapter = context->adapter},
                   .cache = self->plugin_prefix};
    (void)snprintf(client.of, sizeof client.of, "%s%s", context->offsite ? "emulator." : "", part);
    (void)snprintf(full.of, sizeof full.of, "plugin.%s", part);
    if (measure_in(self, &client, vector, &metrics, err) < 0 ||
        (self->plugin && measure_in(self, &full, vector, &metrics, err) < 0))
        return -1;
    *out = metrics;
    return 0;
}
