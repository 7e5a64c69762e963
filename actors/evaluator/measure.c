/*
 * measure.c - loss over a dataset and exact match over its records.
 */
#include "actors/evaluator/measure.h"

#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/generate.h"

#define ANSWERS_AT_ONCE 4 /* between two looks at whether to stop */

static uint32_t batch_size(const fmq_measure_t *self)
{
    int64_t size = fmq_config_int(self->shared->config, "dataloader.batch_size");
    return size > 0 && size <= UINT32_MAX ? (uint32_t)size : 1;
}

static int measure_loss(const fmq_measure_t *self, llm_backend_t *backend, const float *vector,
                        fmq_metrics_t *out, fmq_error_t *err)
{
    llm_eval_stats_t stats = {0};
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(self->dataset, batch_size(self))};
    llm_workspace_t *workspace =
        llm_workspace_new(self->shared->model, self->shared->adapter, &limits, backend, err);
    if (!workspace)
        return -1;
    int rc = llm_workspace_set_params(workspace, vector, err);
    if (rc == 0)
        rc = llm_evaluate_loss(workspace, self->dataset, batch_size(self), self->progress,
                               self->argument, &stats, err);
    llm_workspace_destroy(&workspace);
    if (rc < 0 || fmq_metrics_set(out, "test_loss", stats.loss_sum, err) < 0 ||
        fmq_metrics_set(out, "test_total", (double)stats.samples, err) < 0 ||
        fmq_metrics_set(out, "test_avg_loss", stats.loss_avg, err) < 0)
        return -1;
    return fmq_metrics_set(out, "test_token_loss", stats.token_loss, err);
}

/* Longest prompt and its answer, as far as the model's context goes. */
static size_t context_for(const fmq_measure_t *self, size_t answer_max)
{
    size_t model = llm_model_shape(self->shared->model)->context;
    size_t prompt = (size_t)fmq_config_int(self->shared->config, "llm.tok_len");
    return prompt + answer_max < model ? prompt + answer_max : model;
}

/* Asks a few records at a time, so that it can be stopped. */
static int ask_all(const fmq_measure_t *self, llm_generator_t *generator, size_t answer_max,
                   fmq_metrics_t *out, fmq_error_t *err)
{
    size_t size = llm_records_size(self->records);
    size_t limit = (size_t)fmq_config_int(self->shared->config, "fedmq.match_examples");
    uint64_t exact = 0, total = 0;
    size = limit > 0 && limit < size ? limit : size;
    for (size_t at = 0; at < size; at += ANSWERS_AT_ONCE) {
        uint32_t items[ANSWERS_AT_ONCE];
        uint64_t right = 0, asked = 0;
        llm_part_t part = {.items = items};
        for (; part.size < ANSWERS_AT_ONCE && at + part.size < size; part.size++)
            items[part.size] = (uint32_t)(at + part.size);
        if (llm_evaluate_match(generator, self->shared->tokenizer, self->records, &part, answer_max,
                               NULL, NULL, &right, &asked, err) < 0)
            return -1;
        exact += right;
        total += asked;
        if (self->progress(self->argument, total, size, 0) != 0)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped after %llu answers",
                                 (unsigned long long)total);
    }
    double share = total > 0 ? (double)exact / (double)total : 0;
    if (fmq_metrics_set(out, "test_exact_match", share, err) < 0)
        return -1;
    return fmq_metrics_set(out, "test_exact_total", (double)total, err);
}

static int measure_match(const fmq_measure_t *self, llm_backend_t *backend, const float *vector,
                         fmq_metrics_t *out, fmq_error_t *err)
{
    int64_t answer_max = fmq_config_int(self->shared->config, "fedmq.match_tokens");
    if (answer_max <= 0)
        return 0;
    llm_generator_t *generator =
        llm_generator_new(self->shared->model, self->shared->adapter,
                          context_for(self, (size_t)answer_max), backend, err);
    if (!generator)
        return -1;
    int rc = llm_generator_set_params(generator, vector, err);
    if (rc == 0)
        rc = ask_all(self, generator, (size_t)answer_max, out, err);
    llm_generator_destroy(&generator);
    return rc;
}

int fmq_measure_run(const fmq_measure_t *self, const float *vector, fmq_metrics_t *out,
                    fmq_error_t *err)
{
    fmq_metrics_t metrics = {0};
    llm_backend_t *backend = fmq_permits_take(self->shared->permits, self->stop, self->argument);
    if (!backend)
        return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped while waiting for a permit");
    int rc = measure_loss(self, backend, vector, &metrics, err);
    if (rc == 0)
        rc = measure_match(self, backend, vector, &metrics, err);
    fmq_permits_give(self->shared->permits, &backend);
    if (rc == 0)
        *out = metrics;
    return rc;
}
