/*
 * evaluator.c - the actor that measures states while others train.
 *
 * It attaches, gets its records, and follows the server's notes about states
 * (follow.h).  Between two batches it reads its events, so that newer states
 * are fetched while an older one is measured, and $TERM or the run's end stops
 * the work.  It asks the server for nothing, so it may come and go.  fetch.c
 * gets what a state consists of, records.c what it is measured on, standing.c
 * tells the server whether to wait.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/evaluation/measure.h"
#include "actors/evaluator/evaluator_private.h"
#include "actors/protocol/inbound.h"
#include "actors/runtime/pipe.h"
#include "fedmq/base/clock.h"

#define TICK_MS     500
#define LINGER_MS   2000
#define PRINTED_MAX 8192 /* bytes of a line: FMQ_METRICS_MAX names and numbers */

static bool is_over(const evaluator_t *self)
{
    return self->terminated || self->done || self->fatal.code != FMQ_OK;
}

static void on_run(void *argument, const fmq_event_t *event, const void *message)
{
    evaluator_t *self = argument;
    const fmq_message_run_t *note = message;
    fmq_digest_t model = llm_model_digest(fmq_context_client_model(&self->context));
    fmq_digest_t schema = fmq_schema_digest(llm_adapter_schema(self->context.adapter));
    char meaning[FMQ_REASON_MAX], reason[FMQ_REASON_MAX];
    fmq_context_meaning(&self->context, meaning);
    if (fmq_digest_equal(&note->model, &model) &&
        fmq_meaning_refused(note->meaning, meaning, reason)) {
        (void)fmq_error_set(&self->fatal, FMQ_ERR_MISMATCH, "%s", reason);
        return;
    }
    if (!fmq_digest_equal(&note->model, &model) || !fmq_digest_equal(&note->schema, &schema)) {
        (void)fmq_error_set(&self->fatal, FMQ_ERR_MISMATCH,
                            "the run uses another base model or adapter than this evaluator; give "
                            "both the same model, llm.adapter and llm.offsite_tuning settings");
        return;
    }
    self->run = *note;
    self->has_run = true;
    memcpy(self->server, event->member, sizeof self->server);
    if (self->records)
        fmq_evaluator_say(self, false, "");
}

static void on_state(void *argument, const fmq_event_t *event, const void *message)
{
    evaluator_t *self = argument;
    const fmq_message_state_t *note = message;
    if ((note->emulator_bytes > 0) != (self->context.offsite != NULL)) {
        (void)fmq_error_set(&self->fatal, FMQ_ERR_MISMATCH,
                            "the server runs %s offsite tuning, this evaluator %s it",
                            note->emulator_bytes > 0 ? "with" : "without",
                            self->context.offsite ? "with" : "without");
        return;
    }
    memcpy(self->server, event->member, sizeof self->server);
    self->stated = true;
    fmq_follow_note(&self->follow, note);
}

static void on_done(void *argument, const fmq_event_t *event, const void *message)
{
    evaluator_t *self = argument;
    const fmq_message_done_t *note = message;
    (void)event;
    if (!self->has_run || strcmp(note->run, self->run.run) != 0)
        return;
    self->done = true;
    self->run_failed = note->failed;
    (void)snprintf(self->reason, sizeof self->reason, "%s", note->reason);
}

static const fmq_inbound_t inbound[] = {
    {"run", FMQ_FROM(FMQ_ROLE_SERVER), on_run, false},
    {"state", FMQ_FROM(FMQ_ROLE_SERVER), on_state, false},
    {"shard", FMQ_FROM(FMQ_ROLE_SPLITTER), fmq_evaluator_on_shard, false},
    {"done", FMQ_FROM(FMQ_ROLE_SERVER), on_done, false}};

static void on_fetch(evaluator_t *self, const fmq_event_t *event)
{
    fmq_evaluator_take_shard(self, event);
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++)
        if (self->follow.items[i].stage == FMQ_FOLLOW_FETCHING)
            fmq_evaluator_take_state(self, &self->follow.items[i], event);
}

static void on_note(evaluator_t *self, const fmq_event_t *event)
{
    (void)fmq_inbound_take(inbound, sizeof inbound / sizeof *inbound, self, event);
}

static void on_connection(evaluator_t *self, const fmq_event_t *event)
{
    fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name,
                  event->type == FMQ_EVENT_UP ? "up" : "down", "endpoint=%s",
                  self->context.endpoint);
}

static void on_refused(evaluator_t *self, const fmq_event_t *event)
{
    self->fatal = event->error;
}

static void on_member(evaluator_t *self, const fmq_event_t *event)
{
    (void)self;
    (void)event;
}

static void (*const handlers[])(evaluator_t *, const fmq_event_t *) = {
    [FMQ_EVENT_UP] = on_connection, [FMQ_EVENT_DOWN] = on_connection,
    [FMQ_EVENT_MEMBER] = on_member, [FMQ_EVENT_NOTE] = on_note,
    [FMQ_EVENT_CHUNK] = on_fetch,   [FMQ_EVENT_FETCHED] = on_fetch,
    [FMQ_EVENT_FAILED] = on_fetch,  [FMQ_EVENT_REFUSED] = on_refused};

/* Reads what has come without waiting, and starts fetches. */
static void pump(evaluator_t *self)
{
    fmq_event_t event;
    if (!self->terminated)
        self->terminated = fmq_pipe_terminated(self->pipe);
    while (fmq_link_receive(self->link, 0, &event, NULL) > 0) {
        fmq_presence_event(&self->presence, &event, fmq_clock_ms());
        handlers[event.type](self, &event);
    }
    if (!is_over(self))
        (void)fmq_presence_tend(&self->presence, self->context.log, self->name, fmq_clock_ms(),
                                &self->fatal);
    fmq_download_work(&self->shard_download, fmq_clock_ms());
    if (!is_over(self))
        fmq_evaluator_tend_records(self, fmq_clock_ms());
    fmq_follow_item_t *item;
    while (self->fatal.code == FMQ_OK && self->has_run &&
           (item = fmq_follow_to_fetch(&self->follow, fmq_clock_ms())))
        fmq_evaluator_start_fetch(self, item);
}

static int should_stop(void *argument)
{
    evaluator_t *self = argument;
    pump(self);
    return is_over(self);
}

static int on_step(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    evaluator_t *self = argument;
    (void)step;
    (void)steps;
    (void)tokens;
    self->steps++;
    fmq_devices_move(self->context.permits);
    fmq_link_set_progress(self->link, self->steps, self->steps);
    return should_stop(self);
}

static void send_metrics(evaluator_t *self, const fmq_message_metrics_t *note)
{
    unsigned char body[FMQ_NOTE_MAX];
    fmq_error_t err;
    size_t size = fmq_message_metrics_encode(note, body, sizeof body, &err);
    if (size == 0 || fmq_link_note(self->link, self->server, "metrics", body, size, &err) < 0)
        fmq_log_write(self->context.log, FMQ_LOG_ERROR, self->name, "metrics-failed",
                      "reason=\"%s\"", err.text);
}

static void print_metrics(const evaluator_t *self, const fmq_message_metrics_t *note)
{
    if (!self->out)
        return;
    char now[FMQ_CLOCK_UTC_SIZE];
    fmq_clock_utc(now);
    json_t *metrics = json_object();
    for (size_t i = 0; i < note->metrics.size; i++) {
        double value = note->metrics.items[i].value;
        (void)json_object_set_new(metrics, note->metrics.items[i].name,
                                  isfinite(value) ? json_real(value) : json_null());
    }
    json_t *line = json_pack("{s:I, s:s, s:o, s:s}", "round", (json_int_t)note->round, "source",
                             self->name, "metrics", metrics, "time", now);
    char text[PRINTED_MAX];
    size_t size =
        line ? json_dumpb(line, text, PRINTED_MAX - 1, JSON_COMPACT | JSON_PRESERVE_ORDER) : 0;
    if (size > 0 && size < PRINTED_MAX) {
        text[size] = '\n';
        fmq_writer_put(self->out, FMQ_WRITER_LINE, text, size + 1);
    }
    json_decref(line);
}

/* What streams below the adapter depend on beside the tokens. */
static void tag_prefixes(evaluator_t *self, const fmq_message_state_t *state)
{
    if (!self->prefix)
        return;
    fmq_digest_t model = llm_model_digest(fmq_context_client_model(&self->context));
    fmq_digest_state_t tag;
    fmq_digest_begin(&tag);
    fmq_digest_add(&tag, model.bytes, sizeof model.bytes);
    fmq_digest_add(&tag, state->emulator.bytes, sizeof state->emulator.bytes);
    fmq_digest_t client = fmq_digest_end(&tag);
    llm_prefix_cache_tag(self->prefix, &client);
    if (self->context.model) {
        fmq_digest_t full = llm_model_digest(self->context.model);
        llm_prefix_cache_tag(self->plugin_prefix, &full);
    }
}

static void report(evaluator_t *self, const fmq_message_metrics_t *note, double seconds)
{
    static const char *const prefixes[] = {"plugin.", "emulator.", ""};
    char name[FMQ_METRIC_NAME_MAX];
    const double *loss = NULL;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes && !loss; i++) {
        (void)snprintf(name, sizeof name, "%s%s_avg_loss", prefixes[i],
                       self->is_val ? "val" : "test");
        loss = fmq_metrics_get(&note->metrics, name);
    }
    fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name, "measured",
                  "round=%u %s=%.6g seconds=%.3f", note->round, name, loss ? *loss : NAN, seconds);
    self->reported = true;
    send_metrics(self, note);
    print_metrics(self, note);
}

static void measure(evaluator_t *self, fmq_follow_item_t *item)
{
    fmq_measure_t work = {.context = &self->context,
                          .plugin =
                              self->context.offsite && self->offsite.full && self->context.model,
                          .prefix = self->prefix,
                          .plugin_prefix = self->plugin_prefix,
                          .records = self->records,
                          .dataset = self->dataset,
                          .part = self->is_val ? "val" : "test",
                          .progress = on_step,
                          .stop = should_stop,
                          .argument = self};
    fmq_message_metrics_t note = {.round = item->state.round};
    fmq_error_t err = {0};
    double began = fmq_clock_seconds();
    float *vector = fmq_evaluator_take_vector(self, item); /* pump() may want the item's place */
    if (!vector)
        return;
    memcpy(note.run, item->state.run, sizeof note.run);
    fmq_evaluator_say(self, false, "");
    tag_prefixes(self, &item->state);
    fmq_follow_measured(&self->follow, item);
    work.emulator = self->follow.emulator;
    int rc = fmq_measure_run(&work, vector, &note.metrics, &err);
    free(vector);
    if (rc < 0) {
        if (err.code != FMQ_ERR_STOPPED)
            self->fatal = err;
        return;
    }
    report(self, &note, fmq_clock_seconds() - began);
    if (self->once) {
        self->done = true;
        (void)snprintf(self->reason, sizeof self->reason, "measured round %u", note.round);
    }
}

static void serve(evaluator_t *self)
{
    while (!is_over(self)) {
        fmq_follow_item_t *item = self->records ? fmq_follow_to_measure(&self->follow) : NULL;
        if (item)
            measure(self, item);
        else
            (void)fmq_link_wait(self->link, self->pipe,
                                fmq_evaluator_records_patience(self, fmq_clock_ms(), TICK_MS));
        pump(self);
    }
}

static int read_settings(evaluator_t *self, fmq_error_t *err)
{
    if (!self->context.offsite)
        return 0;
    if (fmq_settings_offsite(self->context.config, &self->offsite, err) < 0)
        return -1;
    if (self->offsite.full && !self->context.model)
        fmq_log_write(self->context.log, FMQ_LOG_WARNING, self->name, "plugin-off",
                      "reason=\"this evaluator does not hold the full model: it measures the "
                      "emulator alone\"");
    return 0;
}

static int start(evaluator_t *self, const fmq_evaluator_options_t *how, fmq_error_t *err)
{
    fmq_link_options_t options = {.endpoint = self->context.endpoint,
                                  .name = self->name,
                                  .role = FMQ_ROLE_EVALUATOR,
                                  .store = self->context.store,
                                  .hub = self->context.hub,
                                  .first_version = self->context.first_version,
                                  .log = self->context.log};
    if (read_settings(self, err) < 0)
        return -1;
    fmq_settings_times(self->context.config, &options.heartbeat_ms, &options.timeout_ms);
    options.connect_ms = fmq_settings_connect(self->context.config);
    fmq_presence_init(&self->presence, &self->context, fmq_clock_ms());
    self->link = fmq_link_open(&options, err);
    if (!self->link)
        return -1;
    if (how->own) /* with the link open: the server hears it when they are of no use */
        fmq_evaluator_use_records(self, how->own);
    return 0;
}

static void choose_name(evaluator_t *self, const char *given)
{
    if (given)
        (void)snprintf(self->name, sizeof self->name, "%s", given);
    else
        (void)snprintf(self->name, sizeof self->name, "evaluator-%08" PRIx32, randombytes_random());
}

static void release(evaluator_t *self)
{
    fmq_download_cancel(&self->shard_download);
    fmq_link_close(&self->link, LINGER_MS);
    fmq_follow_release(&self->follow);
    llm_prefix_cache_destroy(&self->prefix);
    llm_prefix_cache_destroy(&self->plugin_prefix);
    llm_dataset_destroy(&self->dataset);
    llm_records_destroy(&self->fetched);
}

/* Beside its server an evaluator leaves it to that one to say how the run ended,
 * and what it was told. */
static fmq_error_t conclude(const evaluator_t *self)
{
    fmq_error_t why = self->fatal;
    char reason[FMQ_REASON_MAX] = "no state could be measured in time";
    bool told = self->context.leads && self->has_said && *self->said.reason;
    if (why.code != FMQ_OK)
        return why;
    if (!self->records)
        fmq_evaluator_why_no_records(self, reason);
    if (self->run_failed && !self->context.leads)
        (void)fmq_error_set(&why, FMQ_ERR_FAILED, "the run has failed: %s", self->reason);
    else if (self->stated && !self->reported && !self->run_failed && !told)
        (void)fmq_error_set(&why, FMQ_ERR_TIMEOUT,
                            "the run has ended (%s) before anything was measured: %s", self->reason,
                            reason);
    else
        (void)fmq_error_set(&why, FMQ_OK, "%s", self->reason);
    return why;
}

void fmq_evaluator_actor(zsock_t *pipe, void *options)
{
    const fmq_evaluator_options_t *how = options;
    fmq_evaluator_options_t copy = *how;
    evaluator_t *self = calloc(1, sizeof *self);
    fmq_error_t why = {0};
    if (self) {
        self->context = *copy.context;
        self->once = copy.once;
        self->out = copy.out;
        self->pipe = pipe;
        choose_name(self, copy.name);
        fmq_follow_init(&self->follow, (uint32_t)fmq_config_int(copy.context->config, "eval.freq"));
    }
    fmq_pipe_ready(pipe);
    if (!self)
        (void)fmq_error_set(&why, FMQ_ERR_NOMEM, "no memory for an evaluator");
    else if (start(self, &copy, &why) == 0)
        serve(self);
    bool terminated = self && self->terminated;
    if (self && why.code == FMQ_OK && !terminated)
        why = conclude(self);
    if (self && self->link && why.code != FMQ_OK && !self->done)
        fmq_evaluator_say(self, true, why.text);
    if (why.code != FMQ_OK && self)
        fmq_log_write(self->context.log, FMQ_LOG_ERROR, self->name, "failed", "reason=\"%s\"",
                      why.text);
    if (self)
        release(self);
    free(self);
    if (!terminated) {
        fmq_pipe_done(pipe, &why);
        fmq_pipe_wait(pipe);
    }
}
