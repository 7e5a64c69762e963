/*
 * client.c - the actor that trains on its own data.
 *
 * Events feed the course (course.h), which says what to do; the table of
 * actions below does it.  The link's own thread keeps the router content while
 * this one trains; between two steps the actor reads its notes, so that a
 * newer task, the run's end or $TERM stops the work at hand.
 */
#include "fedmq/actors/actors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/client/course.h"
#include "actors/client/routine.h"
#include "actors/pipe/pipe.h"
#include "actors/settings/settings.h"
#include "fedmq/actors/receive.h"
#include "fedmq/actors/shard.h"

#define LINGER_MS 1000

typedef struct {
    fmq_shared_t shared; /* what it points to is borrowed */
    uint32_t number;
    const llm_records_t *own[FMQ_PARTS]; /* borrowed */
    char name[FMQ_MEMBER_NAME_MAX];
    char server[FMQ_MEMBER_NAME_MAX]; /* who left the run's note */
    fmq_config_t *config;             /* owned: this client's view */
    fmq_link_t *link;
    zsock_t *pipe; /* borrowed */
    fmq_course_t course;
    fmq_examples_t examples;
    llm_train_options_t train;
    bool local;    /* federate.method local: the vector stays here between rounds */
    bool has_own;  /* local: vector holds what this client trained last */
    float *vector; /* owned: the state of the task at hand */
    fmq_state_reader_t state;
    fmq_bytes_reader_t shard;
    fmq_note_shard_t shard_note;
    char splitter[FMQ_MEMBER_NAME_MAX]; /* who left the shard's note */
    bool wants_shard, has_shard_note;
    fmq_digest_t offered; /* what is published */
    bool has_offered, terminated;
    fmq_error_t refused;
} client_t;

static void fail(client_t *self, const fmq_error_t *err)
{
    fmq_log_write(self->shared.log, FMQ_LOG_ERROR, self->name, "task-failed",
                  "round=%u reason=\"%s\"", self->course.task.round, err->text);
    fmq_course_fail(&self->course, err->text);
}

static uint64_t elements(const client_t *self)
{
    return fmq_schema_elements(llm_adapter_schema(self->shared.adapter));
}

/* ---- notes ---- */

static void on_run(client_t *self, const fmq_event_t *event)
{
    fmq_note_run_t note;
    if (event->role != FMQ_ROLE_SERVER ||
        fmq_note_run_decode(&note, event->data, event->size, NULL) < 0)
        return;
    memcpy(self->server, event->member, sizeof self->server);
    fmq_course_run(&self->course, &note);
}

static void on_task(client_t *self, const fmq_event_t *event)
{
    fmq_note_task_t note;
    if (event->role == FMQ_ROLE_SERVER &&
        fmq_note_task_decode(&note, event->data, event->size, NULL) == 0)
        fmq_course_task(&self->course, &note);
}

static void on_done(client_t *self, const fmq_event_t *event)
{
    fmq_note_done_t note;
    if (event->role == FMQ_ROLE_SERVER &&
        fmq_note_done_decode(&note, event->data, event->size, NULL) == 0)
        fmq_course_done(&self->course, &note);
}

static void fetch_shard(client_t *self)
{
    fmq_error_t err;
    if (!self->wants_shard || !self->has_shard_note)
        return;
    self->wants_shard = false;
    fmq_bytes_reader_begin(&self->shard, &self->shard_note.shard, FMQ_SHARD_MAX);
    if (fmq_link_fetch(self->link, self->splitter, &self->shard_note.shard, 0, FMQ_SHARD_MAX,
                       &err) < 0)
        fail(self, &err);
}

static void on_shard(client_t *self, const fmq_event_t *event)
{
    fmq_note_shard_t note;
    if (event->role != FMQ_ROLE_SPLITTER ||
        fmq_note_shard_decode(&note, event->data, event->size, NULL) < 0 ||
        note.client != self->number)
        return;
    self->shard_note = note;
    self->has_shard_note = true;
    memcpy(self->splitter, event->member, sizeof self->splitter);
    fetch_shard(self);
}

static const struct {
    const char *topic;
    void (*handle)(client_t *self, const fmq_event_t *event);
} topics[] = {{"run", on_run}, {"task", on_task}, {"done", on_done}, {"shard", on_shard}};

static void on_note(client_t *self, const fmq_event_t *event)
{
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        if (strcmp(topics[i].topic, event->topic) == 0)
            topics[i].handle(self, event);
}

/* ---- what a fetch brings ---- */

static void loaded(client_t *self, int result, const fmq_error_t *err)
{
    if (result < 0) {
        fail(self, err);
        return;
    }
    fmq_log_write(self->shared.log, FMQ_LOG_INFO, self->name, "data",
                  "train=%zu val=%zu test=%zu dropped=%zu",
                  fmq_examples_size(&self->examples, FMQ_PART_TRAIN),
                  fmq_examples_size(&self->examples, FMQ_PART_VAL),
                  fmq_examples_size(&self->examples, FMQ_PART_TEST),
                  fmq_examples_dropped(&self->examples));
    fmq_course_loaded(&self->course, fmq_examples_size(&self->examples, FMQ_PART_TRAIN));
}

static size_t tok_len(const client_t *self)
{
    return (size_t)fmq_config_int(self->config, "llm.tok_len");
}

/* The splitter may have gone in the middle: its next note begins anew. */
static void shard_failed(client_t *self, const fmq_error_t *err)
{
    fmq_log_write(self->shared.log, FMQ_LOG_WARNING, self->name, "shard-failed", "reason=\"%s\"",
                  err->text);
    fmq_link_cancel(self->link, &self->shard_note.shard, NULL);
    fmq_bytes_reader_release(&self->shard);
    self->wants_shard = true;
    self->has_shard_note = false;
}

static void take_shard(client_t *self, const fmq_event_t *event)
{
    fmq_error_t err = {0};
    fmq_receive_t got = fmq_bytes_reader_take(&self->shard, event, &err);
    if (got == FMQ_RECEIVE_FAILED)
        shard_failed(self, &err);
    if (got != FMQ_RECEIVE_DONE)
        return;
    int result = fmq_examples_decode(&self->examples, self->shard.data, self->shard.size,
                                     self->shared.tokenizer, tok_len(self), &err);
    fmq_bytes_reader_release(&self->shard);
    loaded(self, result, &err);
}

static void take_state(client_t *self, const fmq_event_t *event)
{
    fmq_error_t err = {0};
    fmq_receive_t got = fmq_state_reader_take(&self->state, event, &err);
    if (got == FMQ_RECEIVE_DONE)
        fmq_course_fetched(&self->course);
    if (got != FMQ_RECEIVE_FAILED)
        return;
    fmq_link_cancel(self->link, &self->state.digest, NULL);
    self->state.active = false;
    fail(self, &err);
}

static void handle(client_t *self, const fmq_event_t *event)
{
    switch (event->type) {
    case FMQ_EVENT_NOTE:
        on_note(self, event);
        return;
    case FMQ_EVENT_CHUNK:
    case FMQ_EVENT_FETCHED:
    case FMQ_EVENT_FAILED:
        if (self->shard.active)
            take_shard(self, event);
        if (self->state.active)
            take_state(self, event);
        return;
    case FMQ_EVENT_REFUSED:
        self->refused = event->error;
        return;
    case FMQ_EVENT_UP:
    case FMQ_EVENT_DOWN:
        fmq_log_write(self->shared.log, FMQ_LOG_INFO, self->name,
                      event->type == FMQ_EVENT_UP ? "up" : "down", "endpoint=%s",
                      self->shared.endpoint);
        return;
    case FMQ_EVENT_MEMBER:
        return;
    }
}

/* Reads what has come without waiting. */
static void pump(client_t *self)
{
    fmq_event_t event;
    if (!self->terminated)
        self->terminated = fmq_pipe_terminated(self->pipe);
    while (fmq_link_receive(self->link, 0, &event, NULL) > 0)
        handle(self, &event);
}

/* ---- actions ---- */

static int should_stop(void *argument)
{
    client_t *self = argument;
    pump(self);
    return self->terminated || self->refused.code != FMQ_OK || fmq_course_overtaken(&self->course);
}

static int on_step(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    client_t *self = argument;
    (void)tokens;
    fmq_link_set_progress(self->link, step, steps);
    return should_stop(self);
}

static fmq_routine_t routine(client_t *self)
{
    return (fmq_routine_t){.shared = &self->shared,
                           .config = self->config,
                           .examples = &self->examples,
                           .train = self->train,
                           .progress = on_step,
                           .stop = should_stop,
                           .argument = self};
}

static void do_load(client_t *self)
{
    fmq_error_t err = {0};
    if (!self->own[FMQ_PART_TRAIN] && !self->own[FMQ_PART_VAL] && !self->own[FMQ_PART_TEST]) {
        self->wants_shard = true;
        fetch_shard(self);
        return;
    }
    int result =
        fmq_examples_make(&self->examples, self->own, self->shared.tokenizer, tok_len(self), &err);
    loaded(self, result, &err);
}

static void do_drop(client_t *self)
{
    if (self->state.active)
        fmq_link_cancel(self->link, &self->state.digest, NULL);
    self->state.active = false;
    if (self->has_offered)
        fmq_link_withdraw(self->link, &self->offered, NULL);
    self->has_offered = false;
}

static void do_fetch(client_t *self)
{
    const fmq_schema_t *schema = llm_adapter_schema(self->shared.adapter);
    const fmq_note_task_t *task = &self->course.task;
    fmq_error_t err = {0};
    if (self->local && self->has_own) {
        fmq_course_fetched(&self->course);
        return;
    }
    if (!self->vector)
        self->vector = malloc((elements(self) ? elements(self) : 1) * sizeof *self->vector);
    if (!self->vector) {
        fmq_error_set(&err, FMQ_ERR_NOMEM, "out of memory for a state of %llu elements",
                      (unsigned long long)elements(self));
        fail(self, &err);
        return;
    }
    fmq_state_reader_begin(&self->state, schema, &task->state, self->vector);
    if (fmq_link_fetch(self->link, self->server, &task->state, 0, fmq_state_bytes_max(schema),
                       &err) < 0) {
        self->state.active = false;
        fail(self, &err);
    }
}

/* Encodes and publishes what was trained, for the server alone. */
static int offer(client_t *self, fmq_note_report_t *outcome, fmq_error_t *err)
{
    const fmq_note_task_t *task = &self->course.task;
    if (task->codec > FMQ_CODEC_BF16)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "the server asks for codec %u, which is not known here", task->codec);
    fmq_object_t *object = fmq_state_encode(llm_adapter_schema(self->shared.adapter), self->vector,
                                            (fmq_codec_t)task->codec, err);
    if (!object)
        return -1;
    int result = fmq_link_publish(self->link, object, self->server, err);
    if (result == 0) {
        self->offered = *fmq_object_digest(object);
        self->has_offered = true;
        outcome->phase = FMQ_REPORT_OFFER;
        outcome->update = self->offered;
        outcome->update_bytes = fmq_object_bytes(object);
    }
    fmq_object_drop(&object);
    return result;
}

/* A vector is kept only where the next task goes on from it. */
static void put_vector_away(client_t *self, bool trained)
{
    if (self->local && (trained || self->has_own)) {
        self->has_own = true;
        return;
    }
    free(self->vector);
    self->vector = NULL;
}

static void do_train(client_t *self)
{
    fmq_note_report_t outcome = {.phase = FMQ_REPORT_FAILED};
    fmq_error_t err = {0};
    fmq_routine_t work = routine(self);
    uint32_t round = self->course.task.round;
    int result = fmq_routine_train(&work, round, self->vector, &outcome, &err);
    bool wanted = !self->terminated && !fmq_course_overtaken(&self->course);
    if (result == 0 && wanted)
        result = offer(self, &outcome, &err);
    fmq_link_set_progress(self->link, 0, 0);
    if (result == 0) {
        fmq_log_write(self->shared.log, FMQ_LOG_INFO, self->name, "trained",
                      "round=%u samples=%llu seconds=%.3f", round,
                      (unsigned long long)outcome.samples, outcome.seconds);
        fmq_course_finish(&self->course, &outcome);
    } else if (err.code == FMQ_ERR_STOPPED) {
        fmq_course_finish(&self->course, &outcome);
    } else {
        fail(self, &err);
    }
    put_vector_away(self, result == 0);
}

static void do_evaluate(client_t *self)
{
    fmq_note_report_t outcome = {.phase = FMQ_REPORT_MEASURED};
    fmq_error_t err = {0};
    fmq_routine_t work = routine(self);
    int result = fmq_routine_evaluate(&work, self->vector, &outcome, &err);
    fmq_link_set_progress(self->link, 0, 0);
    if (result == 0 || err.code == FMQ_ERR_STOPPED)
        fmq_course_finish(&self->course, &outcome);
    else
        fail(self, &err);
    put_vector_away(self, false);
}

static void do_report(client_t *self)
{
    uint8_t body[FMQ_NOTE_MAX];
    fmq_error_t err = {0};
    size_t size = fmq_note_report_encode(&self->course.report, body, sizeof body, &err);
    if (size == 0 || fmq_link_note(self->link, self->server, "report", body, size, &err) < 0)
        fmq_log_write(self->shared.log, FMQ_LOG_ERROR, self->name, "report-failed", "reason=\"%s\"",
                      err.text);
}

static void (*const actions[])(client_t *self) = {
    [FMQ_DO_LOAD] = do_load,   [FMQ_DO_DROP] = do_drop,         [FMQ_DO_FETCH] = do_fetch,
    [FMQ_DO_TRAIN] = do_train, [FMQ_DO_EVALUATE] = do_evaluate, [FMQ_DO_REPORT] = do_report};

/* Does all there is to do now.  Returns true when the client has ended. */
static bool advance(client_t *self)
{
    while (!self->terminated && self->refused.code == FMQ_OK) {
        fmq_course_action_t action = fmq_course_next(&self->course);
        if (action == FMQ_DO_END)
            return true;
        if (action == FMQ_DO_NOTHING)
            return false;
        actions[action](self);
    }
    return self->refused.code != FMQ_OK;
}

/* ---- life ---- */

static int start(client_t *self, fmq_error_t *err)
{
    fmq_digest_t model = llm_model_digest(self->shared.model);
    fmq_digest_t schema = fmq_schema_digest(llm_adapter_schema(self->shared.adapter));
    fmq_link_options_t options = {.endpoint = self->shared.endpoint,
                                  .name = self->name,
                                  .role = FMQ_ROLE_CLIENT,
                                  .store = self->shared.store,
                                  .log = self->shared.log};
    fmq_course_init(&self->course, &model, &schema);
    self->config = fmq_config_for_client(self->shared.config, self->number, err);
    if (!self->config || fmq_settings_train(self->config, &self->train, err) < 0)
        return -1;
    self->train.client = self->number;
    self->local = strcmp(fmq_config_text(self->config, "federate.method"), "local") == 0;
    fmq_settings_times(self->shared.config, &options.heartbeat_ms, &options.timeout_ms);
    self->link = fmq_link_open(&options, err);
    return self->link ? 0 : -1;
}

static int serve(client_t *self, fmq_error_t *err)
{
    zpoller_t *poller = zpoller_new(self->pipe, fmq_link_handle(self->link), NULL);
    if (!poller)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a poller");
    zpoller_set_nonstop(poller, true);
    bool ended = false;
    while (!ended && !self->terminated) {
        zpoller_wait(poller, -1);
        pump(self);
        ended = advance(self);
    }
    zpoller_destroy(&poller);
    return 0;
}

/* Why the client has ended by itself. */
static fmq_error_t reason(const client_t *self)
{
    fmq_error_t why = {0};
    if (self->refused.code != FMQ_OK)
        return self->refused;
    fmq_error_set(&why, self->course.failed ? FMQ_ERR_MISMATCH : FMQ_OK, "%s", self->course.reason);
    return why;
}

static void release(client_t *self)
{
    if (self->link)
        fmq_link_close(&self->link, LINGER_MS);
    fmq_config_destroy(&self->config);
    fmq_examples_release(&self->examples);
    fmq_bytes_reader_release(&self->shard);
    free(self->vector);
}

void fmq_client_actor(zsock_t *pipe, void *options)
{
    const fmq_client_options_t *how = options;
    client_t *self = calloc(1, sizeof *self);
    fmq_error_t why = {0};
    if (!self) {
        zsock_signal(pipe, 0);
        fmq_error_set(&why, FMQ_ERR_NOMEM, "out of memory for a client");
        fmq_pipe_done(pipe, &why);
        fmq_pipe_wait(pipe);
        return;
    }
    self->shared = *how->shared;
    self->number = how->client;
    self->pipe = pipe;
    for (int part = 0; part < FMQ_PARTS; part++)
        self->own[part] = how->own[part];
    snprintf(self->name, sizeof self->name, "client-%u", self->number);
    zsock_signal(pipe, 0);

    if (start(self, &why) == 0 && serve(self, &why) == 0 && !self->terminated)
        why = reason(self);
    if (!self->terminated) {
        if (why.code != FMQ_OK)
            fmq_log_write(self->shared.log, FMQ_LOG_ERROR, self->name, "failed", "reason=\"%s\"",
                          why.text);
        fmq_pipe_done(pipe, &why);
        fmq_pipe_wait(pipe);
    }
    release(self);
    free(self);
}
