/*
 * measurements.c - merges what was measured, and writes it down.
 */
#include "actors/server/coordinator_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/storage/file.h"

#define VALUE_MAX 1e30 /* of a measurement: sums of so many stay finite */

void fmq_measurements_init(coordinator_t *self)
{
    self->measurements.train_loss = NAN;
}

int fmq_measurements_open(coordinator_t *self, fmq_error_t *err)
{
    uint32_t clients = self->settings->clients;
    char *path = fmq_file_path(err, "%s/metrics.jsonl", self->options.directory);
    self->measurements.answers = calloc(clients, sizeof *self->measurements.answers);
    if (path && !self->measurements.answers)
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for %u clients", clients);
    if (path && self->measurements.answers)
        self->measurements.history = fmq_metrics_log_open(path, err);
    free(path);
    return self->measurements.history ? 0 : -1;
}

void fmq_measurements_release(coordinator_t *self)
{
    fmq_metrics_log_close(&self->measurements.history);
    fmq_measurements_forget(self);
    free(self->measurements.answers);
    memset(&self->measurements, 0, sizeof self->measurements);
}

/* The records that "val_total" or "emulator.val_total" can be of, where they were
 * dealt; in training, the examples that can have been used. */
static double dealt_most(const coordinator_t *self, uint32_t client, const char *name)
{
    static const char *const parts[FMQ_DEALT_PARTS] = {"train", "val", "test"};
    const uint64_t *dealt = fmq_counts_dealt(&self->counts, client);
    size_t end = strcspn(name, "_"), begin = end;
    while (begin > 0 && name[begin - 1] != '.')
        begin--;
    for (size_t part = 0; dealt && part < FMQ_DEALT_PARTS; part++) {
        if (strlen(parts[part]) != end - begin ||
            strncmp(parts[part], name + begin, end - begin) != 0)
            continue;
        bool used = part == FMQ_DEALT_TRAIN && self->participants.exchange->task == FMQ_TASK_TRAIN;
        if (used && begin > 0) /* of a training that is not sent, with steps of its own */
            break;
        return used ? (double)fmq_counts_used_max(&self->counts, client, 0) : (double)dealt[part];
    }
    return (double)FMQ_COLLECTOR_SAMPLES_MAX;
}

/* A measurement that is no number, or no possible one, is in no average and
 * decides nothing; totals are the weights of averages. */
static bool is_plausible(const coordinator_t *self, uint32_t client, const fmq_metric_t *metric)
{
    const char *tail = strrchr(metric->name, '_');
    bool total = tail && strcmp(tail, "_total") == 0;
    double most =
        total ? fmin(dealt_most(self, client, metric->name), (double)FMQ_COLLECTOR_SAMPLES_MAX)
              : VALUE_MAX;
    return isfinite(metric->value) && metric->value <= most &&
           metric->value >= (total ? 0 : -VALUE_MAX);
}

int fmq_measurements_keep(coordinator_t *self, uint32_t client, const fmq_metrics_t *metrics,
                          fmq_error_t *err)
{
    fmq_metrics_t **slot = &self->measurements.answers[client - 1];
    if (!*slot && !(*slot = malloc(sizeof **slot)))
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the metrics of client %u", client);
    (*slot)->size = 0;
    for (size_t i = 0; i < metrics->size; i++) {
        const fmq_metric_t *metric = &metrics->items[i];
        if (is_plausible(self, client, metric))
            (*slot)->items[(*slot)->size++] = *metric;
        else
            fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "metric-dropped",
                          "client=%u round=%u %s=%g", client, self->checkpoints.mark.round,
                          metric->name, metric->value);
    }
    return 0;
}

void fmq_measurements_forget(coordinator_t *self)
{
    for (uint32_t i = 0; self->measurements.answers && i < self->settings->clients; i++) {
        free(self->measurements.answers[i]);
        self->measurements.answers[i] = NULL;
    }
}

/* The answers of clients first .. last, in client order, into measured. */
static size_t gather(const coordinator_t *self, uint32_t first, uint32_t last,
                     fmq_measured_t *measured)
{
    size_t size = 0;
    for (uint32_t k = first; k <= last; k++)
        if (self->measurements.answers[k - 1] && self->participants.all[k - 1].answered)
            measured[size++] =
                (fmq_measured_t){.client = k, .metrics = self->measurements.answers[k - 1]};
    return size;
}

static int write_raw(coordinator_t *self, const fmq_measured_t *measured, size_t size,
                     fmq_error_t *err)
{
    for (size_t i = 0; i < size; i++) {
        char source[FMQ_MEMBER_NAME_MAX];
        (void)snprintf(source, sizeof source, "client-%u", measured[i].client);
        fmq_metrics_log_key_t key = {self->checkpoints.mark.round, source, "raw"};
        if (fmq_metrics_log_add_raw(self->measurements.history, &key, measured[i].metrics, err) < 0)
            return -1;
    }
    return 0;
}

static int write_form(coordinator_t *self, const fmq_form_t *form, const char *source,
                      const fmq_merged_t *merged, fmq_error_t *err)
{
    fmq_metrics_log_key_t key = {self->checkpoints.mark.round, source, form->name};
    return merged->size > 0 ? fmq_metrics_log_add(self->measurements.history, &key, merged, err)
                            : 0;
}

/* Every form that is asked for, of some clients. */
static int write_forms(coordinator_t *self, const char *source, const fmq_measured_t *measured,
                       size_t size, fmq_error_t *err)
{
    for (size_t i = 0; size > 0 && i < self->settings->forms_size; i++) {
        fmq_merged_t merged = {0};
        const fmq_form_t *form = self->settings->forms[i];
        int rc = form->merge(measured, size, &merged, err);
        if (rc == 0)
            rc = write_form(self, form, source, &merged, err);
        fmq_merged_release(&merged);
        if (rc < 0)
            return -1;
    }
    return self->settings->raw ? write_raw(self, measured, size, err) : 0;
}

static void show_metrics(coordinator_t *self, const char *source, const fmq_metrics_t *metrics)
{
    fmq_run_event_t event = {.type = FMQ_RUN_METRICS,
                             .round = self->checkpoints.mark.round,
                             .rounds = self->settings->rounds,
                             .train_loss = self->measurements.train_loss,
                             .metrics = metrics,
                             .source = source};
    if (self->options.on_event)
        self->options.on_event(self->options.event_argument, &event);
}

static void to_metrics(const fmq_merged_t *merged, fmq_metrics_t *out)
{
    out->size = 0;
    for (size_t i = 0; i < merged->size && out->size < FMQ_METRICS_MAX; i++)
        if (strlen(merged->items[i].name) < FMQ_METRIC_NAME_MAX)
            (void)fmq_metrics_set(out, merged->items[i].name, merged->items[i].value, NULL);
}

int fmq_measurements_sum_up(coordinator_t *self, fmq_error_t *err)
{
    fmq_merged_t merged = {0};
    fmq_measured_t *measured = calloc(self->settings->clients, sizeof *measured);
    int rc = -1;
    if (!measured) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to merge metrics");
        goto fail;
    }
    const fmq_form_t *form = fmq_form_find("weighted_avg");
    size_t size = gather(self, 1, self->settings->clients, measured);
    if (form->merge(measured, size, &merged, err) < 0)
        goto fail;
    const double *loss = fmq_merged_get(&merged, "train_avg_loss");
    self->measurements.train_loss = loss ? *loss : NAN;
    if (write_form(self, form, "clients", &merged, err) < 0 ||
        (self->settings->raw && write_raw(self, measured, size, err) < 0))
        goto fail;
    rc = 0;
fail:
    fmq_merged_release(&merged);
    free(measured);
    return rc;
}

/* The metric that decides; FS-LLM's sums have an average beside them, which
 * stands in where a sum is missing. */
static const double *deciding(const coordinator_t *self, const fmq_merged_t *merged)
{
    const char *key = self->settings->best_key;
    const double *value = fmq_merged_get(merged, key);
    char average[FMQ_METRIC_NAME_MAX];
    const char *tail = strstr(key, "_loss");
    if (value || !tail)
        return value;
    (void)snprintf(average, sizeof average, "%.*s_avg_loss", (int)(tail - key), key);
    return fmq_merged_get(merged, average);
}

/* Best state and early stop, from the merged measurements of an evaluation. */
static void judge(coordinator_t *self, const fmq_merged_t *merged, bool *best)
{
    const char *key = self->settings->best_key;
    uint32_t round = self->checkpoints.mark.round;
    const double *value = deciding(self, merged);
    *best = false;
    if (!value) {
        if (merged->size > 0 && !self->measurements.warned)
            fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "best-key-missing",
                          "key=%s round=%u", key, round);
        self->measurements.warned |= merged->size > 0;
        return;
    }
    fmq_verdict_t verdict =
        fmq_checkpoints_judge(&self->checkpoints, &self->settings->early_stop, *value);
    *best = verdict.best;
    if (!verdict.stop)
        return;
    fmq_log_write(self->options.log, FMQ_LOG_INFO, "server", "early-stop", "round=%u %s=%.6g",
                  round, key, *value);
    fmq_rounds_stop(&self->rounds);
}

/* The form that decides: weighted_avg before avg. */
static int merge_deciding(const fmq_measured_t *measured, size_t size, fmq_merged_t *merged,
                          fmq_error_t *err)
{
    if (fmq_form_find("weighted_avg")->merge(measured, size, merged, err) < 0)
        return -1;
    return merged->size > 0 ? 0 : fmq_form_find("avg")->merge(measured, size, merged, err);
}

/* What the server itself has measured counts beside what clients have. */
static int add_own(coordinator_t *self, fmq_merged_t *merged, fmq_error_t *err)
{
    fmq_metrics_log_key_t key = {self->checkpoints.mark.round, "server", "raw"};
    if (self->measurements.own.size == 0)
        return 0;
    for (size_t i = 0; i < self->measurements.own.size; i++)
        if (fmq_merged_add(merged, self->measurements.own.items[i].name,
                           self->measurements.own.items[i].value, err) < 0)
            return -1;
    show_metrics(self, "server", &self->measurements.own);
    return fmq_metrics_log_add_raw(self->measurements.history, &key, &self->measurements.own, err);
}

int fmq_measurements_judge(coordinator_t *self, bool *best, fmq_error_t *err)
{
    fmq_merged_t merged = {0};
    fmq_metrics_t metrics;
    int rc = -1;
    fmq_measured_t *measured = calloc(self->settings->clients, sizeof *measured);
    if (!measured) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to merge metrics");
        goto fail;
    }
    size_t size = gather(self, self->settings->training + 1, self->settings->clients, measured);
    if (write_forms(self, "unseen", measured, size, err) < 0)
        goto fail;
    size = gather(self, 1, self->settings->training, measured);
    if (write_forms(self, "clients", measured, size, err) < 0 ||
        merge_deciding(measured, size, &merged, err) < 0)
        goto fail;
    to_metrics(&merged, &metrics);
    if (metrics.size > 0)
        show_metrics(self, "clients", &metrics);
    if (add_own(self, &merged, err) < 0)
        goto fail;
    judge(self, &merged, best);
    rc = 0;
fail:
    fmq_merged_release(&merged);
    free(measured);
    return rc;
}

int fmq_measurements_note(coordinator_t *self, const char *source,
                          const fmq_message_metrics_t *note, fmq_error_t *err)
{
    fmq_metrics_log_key_t key = {note->round, source, "raw"};
    if (fmq_metrics_log_add_raw(self->measurements.history, &key, &note->metrics, err) < 0)
        return -1;
    fmq_run_event_t event = {.type = FMQ_RUN_METRICS,
                             .round = note->round,
                             .rounds = self->settings->rounds,
                             .train_loss = NAN,
                             .metrics = &note->metrics,
                             .source = source};
    if (self->options.on_event)
        self->options.on_event(self->options.event_argument, &event);
    return 0;
}

int fmq_measurements_measure(coordinator_t *self, fmq_error_t *err)
{
    fmq_measuring_t measuring = {
        .state = self->shared.vector, .progress = fmq_showing_progress, .argument = self};
    fmq_metrics_t *own = &self->measurements.own;
    own->size = 0;
    if (!self->options.measure)
        return 0;
    if (fmq_shared_state_bring(&self->shared, err) < 0)
        return -1;
    fmq_error_t why; /* being told to stop is no error of the run's */
    int rc = self->options.measure(self->options.measure_argument, &measuring, own, &why);
    if (rc == 0 || self->attention.terminated)
        return 0;
    return fmq_error_set(err, why.code, "measuring round %u: %s", self->checkpoints.mark.round,
                         why.text);
}

int fmq_measurements_write(coordinator_t *self, const fmq_metrics_log_key_t *key,
                           const fmq_metrics_t *metrics, fmq_error_t *err)
{
    return fmq_metrics_log_add_raw(self->measurements.history, key, metrics, err);
}

int fmq_measurements_sync(coordinator_t *self, fmq_error_t *err)
{
    return fmq_metrics_log_sync(self->measurements.history, err);
}
