/*
 * fake_client.c - see fake_client.h.
 */
#include "fake_client.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fedmq/actors/messages.h"
#include "fedmq/actors/receive.h"
#include "fedmq/base/clock.h"
#include "fedmq/base/rng.h"

struct fake_client {
    fake_options_t options;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint trained, measured, fetched;
    pthread_mutex_t lock;
    char done[512];
    /* of the thread */
    char name[32];
    fmq_link_t *link;
    bool has_run, has_task, has_next, late;
    uint32_t late_round;
    atomic_bool gone;
    fmq_message_run_t run;
    fmq_message_task_t task, next; /* next came before its run */
    fmq_message_report_t report;
    fmq_digest_t offered;
    bool has_offer;
    float *state, *update;
    fmq_state_reader_t reader;
    float *emulator; /* NULL: no offsite tuning */
    fmq_digest_t has_emulator;
    fmq_state_reader_t emulator_reader;
    uint64_t steps;
    int64_t ready_ms; /* training ends then; 0: not training */
};

void fake_update(const fmq_schema_t *schema, uint32_t number, uint32_t round, const float *state,
                 float *update)
{
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = 1, .client = number, .round = round});
    for (uint64_t i = 0; i < fmq_schema_elements(schema); i++)
        update[i] = 0.5F * state[i] + (float)fmq_rng_uniform(&rng);
}

void fake_add_emulator(const fmq_schema_t *schema, const fmq_schema_t *emulator_schema,
                       const float *emulator, float *update)
{
    uint64_t size = fmq_schema_elements(emulator_schema);
    for (uint64_t i = 0; i < fmq_schema_elements(schema); i++)
        update[i] += 0.25F * emulator[i % size];
}

uint64_t fake_samples(uint32_t number, uint32_t round)
{
    return 10 + 7 * number + round;
}

static void send_report(fake_client_t *self)
{
    unsigned char body[FMQ_NOTE_MAX];
    size_t size = fmq_message_report_encode(&self->report, body, sizeof body, NULL);
    if (size == 0 || fmq_link_note(self->link, "server", "report", body, size, NULL) < 0)
        fprintf(stderr, "%s: cannot report\n", self->name);
}

static void answer(fake_client_t *self, fmq_report_phase_t phase)
{
    memset(&self->report, 0, sizeof self->report);
    memcpy(self->report.run, self->run.run, sizeof self->run.run);
    self->report.phase = phase;
    if (self->has_task) {
        self->report.serial = self->task.serial;
        self->report.round = self->task.round;
    }
}

static bool misbehaves(const fake_client_t *self, fake_behaviour_t how)
{
    return self->options.behaviour == how && self->task.round >= self->options.from;
}

/* The encoder refuses NaN, so a marker is overwritten in the encoded chunk. */
static fmq_object_t *forge_not_finite(const fake_client_t *self)
{
    const float marker = 12345.678F, bad = NAN;
    self->update[3] = marker;
    fmq_object_t *honest =
        fmq_state_encode(self->options.schema, self->update, FMQ_CODEC_F32, NULL);
    fmq_object_t *forged = fmq_object_new();
    char *bytes = malloc(FMQ_CHUNK_MAX);
    for (uint32_t i = 0; i < fmq_object_chunks(honest); i++) {
        size_t size;
        const void *chunk = fmq_object_chunk(honest, i, &size);
        memcpy(bytes, chunk, size);
        for (size_t at = 0; at + sizeof marker <= size; at++)
            if (memcmp(bytes + at, &marker, sizeof marker) == 0)
                memcpy(bytes + at, &bad, sizeof bad);
        fmq_object_add(forged, bytes, size, NULL);
    }
    fmq_object_seal(forged);
    free(bytes);
    fmq_object_drop(&honest);
    return forged;
}

static fmq_object_t *make_update(fake_client_t *self)
{
    if (misbehaves(self, FAKE_MALFORMED))
        return fmq_object_from_bytes("rubbish", 7, NULL);
    fake_update(self->options.schema, self->options.number, self->task.round, self->state,
                self->update);
    if (self->emulator)
        fake_add_emulator(self->options.schema, self->options.emulator_schema, self->emulator,
                          self->update);
    if (misbehaves(self, FAKE_NOT_FINITE))
        return forge_not_finite(self);
    return fmq_state_encode(self->options.schema, self->update, (fmq_codec_t)self->task.codec,
                            NULL);
}

static void drop_offer(fake_client_t *self)
{
    if (self->has_offer)
        fmq_link_withdraw(self->link, &self->offered, NULL);
    self->has_offer = false;
}

static void offer(fake_client_t *self)
{
    if (misbehaves(self, FAKE_SILENT))
        return;
    if (misbehaves(self, FAKE_FAILING)) {
        answer(self, FMQ_REPORT_FAILED);
        strcpy(self->report.reason, "no memory");
        send_report(self);
        return;
    }
    if (misbehaves(self, FAKE_GARBLED)) {
        fmq_link_note(self->link, "server", "report", "rubbish", 7, NULL);
        return;
    }
    fmq_object_t *object = make_update(self);
    if (!object || fmq_link_publish(self->link, object, "server", NULL) < 0)
        fprintf(stderr, "%s: cannot offer\n", self->name);
    answer(self, FMQ_REPORT_OFFER);
    self->offered = *fmq_object_digest(object);
    self->has_offer = true;
    self->report.update = self->offered;
    self->report.update_bytes = fmq_object_bytes(object);
    self->report.samples = fake_samples(self->options.number, self->task.round);
    if (misbehaves(self, FAKE_WITHOUT))
        self->report.samples = 0;
    if (misbehaves(self, FAKE_BOASTING) || misbehaves(self, FAKE_ENDLESS))
        self->report.samples = UINT64_C(1) << 39;
    if (misbehaves(self, FAKE_ENDLESS))
        self->report.shard_samples = UINT64_C(1) << 39;
    if (misbehaves(self, FAKE_RICH))
        self->report.samples = self->report.shard_samples = FAKE_RICHES;
    if (misbehaves(self, FAKE_LYING))
        self->report.update.bytes[0] ^= 1;
    fmq_metrics_set(&self->report.metrics, "train_avg_loss", 1.0 / (1 + self->task.round), NULL);
    fmq_metrics_set(&self->report.metrics, "train_total", 10, NULL);
    fmq_object_drop(&object);
    atomic_fetch_add(&self->trained, 1);
    send_report(self);
}

/* Its loss depends on the state and the client: the mean of the state. */
static void measure(fake_client_t *self)
{
    double sum = 0;
    if (misbehaves(self, FAKE_BLIND)) {
        answer(self, FMQ_REPORT_FAILED);
        strcpy(self->report.reason, "the loss of all batches was not a number");
        send_report(self);
        return;
    }
    uint64_t size = fmq_schema_elements(self->options.schema);
    for (uint64_t i = 0; i < size; i++)
        sum += (double)self->state[i];
    answer(self, FMQ_REPORT_MEASURED);
    fmq_metrics_set(&self->report.metrics, "val_loss", sum / (double)size + self->options.number,
                    NULL);
    fmq_metrics_set(&self->report.metrics, "val_total", 10 * self->options.number, NULL);
    if (misbehaves(self, FAKE_ABSURD)) {
        fmq_metrics_set(&self->report.metrics, "val_loss", -1e300, NULL);
        fmq_metrics_set(&self->report.metrics, "val_acc", (double)NAN, NULL);
        fmq_metrics_set(&self->report.metrics, "val_total", 1e300, NULL);
    }
    if (misbehaves(self, FAKE_RICH)) {
        fmq_metrics_set(&self->report.metrics, "val_loss", -5, NULL);
        fmq_metrics_set(&self->report.metrics, "val_total", (double)FAKE_RICHES, NULL);
    }
    atomic_fetch_add(&self->measured, 1);
    send_report(self);
}

static void fetch(fake_client_t *self, fmq_state_reader_t *reader, const fmq_schema_t *schema,
                  const fmq_digest_t *digest, float *vector)
{
    fmq_state_reader_begin(reader, schema, digest, vector);
    if (fmq_link_fetch(self->link, "server", digest, 0, fmq_state_bytes_max(schema), NULL) < 0)
        fprintf(stderr, "%s: cannot fetch\n", self->name);
}

/* An emulator that it has already is not fetched again. */
static void fetch_all(fake_client_t *self)
{
    fetch(self, &self->reader, self->options.schema, &self->task.state, self->state);
    if (self->emulator && !fmq_digest_equal(&self->task.emulator, &self->has_emulator)) {
        memset(&self->has_emulator, 0, sizeof self->has_emulator);
        fetch(self, &self->emulator_reader, self->options.emulator_schema, &self->task.emulator,
              self->emulator);
    }
}

static void give_up(fake_client_t *self, fmq_state_reader_t *reader)
{
    if (reader->active)
        fmq_link_cancel(self->link, &reader->digest, NULL);
    reader->active = false;
}

static void begin_task(fake_client_t *self)
{
    const fmq_message_task_t note = self->next;
    self->has_next = false;
    if (self->has_task && note.serial == self->task.serial &&
        fmq_digest_equal(&note.state, &self->task.state)) {
        send_report(self);
        return;
    }
    drop_offer(self);
    give_up(self, &self->reader);
    give_up(self, &self->emulator_reader);
    self->ready_ms = 0;
    self->task = note;
    self->has_task = true;
    answer(self, FMQ_REPORT_IDLE);
    if (note.kind != FMQ_TASK_TRAIN && note.kind != FMQ_TASK_EVALUATE)
        return;
    if (misbehaves(self, FAKE_DYING)) {
        atomic_store(&self->gone, true);
        return;
    }
    fetch_all(self);
}

/* A server that comes back finds its tasks of before at the router, and has taken
 * back its run: what a task is for is known when the run comes. */
static void on_task(fake_client_t *self, const fmq_event_t *event)
{
    fmq_message_task_t note;
    if (fmq_message_task_decode(&note, event->data, event->size, NULL) < 0)
        return;
    self->next = note;
    self->has_next = true;
    if (self->has_run)
        begin_task(self);
}

static void on_run(fake_client_t *self)
{
    self->has_run = true;
    answer(self, FMQ_REPORT_IDLE);
    send_report(self);
    if (self->has_next)
        begin_task(self);
}

static void on_note(fake_client_t *self, const fmq_event_t *event)
{
    fmq_message_done_t done;
    if (strcmp(event->topic, "run") == 0 &&
        fmq_message_run_decode(&self->run, event->data, event->size, NULL) == 0 && !self->has_run) {
        on_run(self);
    } else if (strcmp(event->topic, "task") == 0) {
        on_task(self, event);
    } else if (strcmp(event->topic, "done") == 0 &&
               fmq_message_done_decode(&done, event->data, event->size, NULL) == 0) {
        pthread_mutex_lock(&self->lock);
        memcpy(self->done, done.reason, sizeof self->done);
        pthread_mutex_unlock(&self->lock);
    }
}

static uint32_t delay_of(fake_client_t *self)
{
    bool again = self->late && self->late_round == self->task.round;
    if (self->options.behaviour != FAKE_LATE)
        return self->options.delay_ms;
    self->late = true;
    self->late_round = self->task.round;
    return again ? 0 : self->options.delay_ms;
}

/* True when this event was the last of what the reader waited for. */
static bool take(fake_client_t *self, fmq_state_reader_t *reader, const fmq_event_t *event)
{
    fmq_error_t err;
    fmq_receive_t got = fmq_state_reader_take(reader, event, &err);
    if (got == FMQ_RECEIVE_FAILED) { /* the server was replaced: its next task comes */
        give_up(self, &self->reader);
        give_up(self, &self->emulator_reader);
        fmq_link_cancel(self->link, &reader->digest, NULL);
        self->has_task = false;
    }
    if (got == FMQ_RECEIVE_DONE && !self->reader.active && !self->emulator_reader.active)
        self->ready_ms = fmq_clock_ms() + delay_of(self);
    return got == FMQ_RECEIVE_DONE;
}

static void handle(fake_client_t *self, const fmq_event_t *event)
{
    if (event->type == FMQ_EVENT_NOTE)
        on_note(self, event);
    take(self, &self->reader, event);
    if (take(self, &self->emulator_reader, event)) {
        self->has_emulator = self->task.emulator;
        atomic_fetch_add(&self->fetched, 1);
    }
}

static void *work(void *argument)
{
    fake_client_t *self = argument;
    fmq_event_t event;
    while (!atomic_load(&self->stop) && !atomic_load(&self->gone)) {
        if (fmq_link_receive(self->link, 5, &event, NULL) > 0)
            handle(self, &event);
        if (self->ready_ms > 0 && misbehaves(self, FAKE_STEPPING))
            fmq_link_set_progress(self->link, ++self->steps / 20, UINT32_MAX);
        if (self->ready_ms == 0 || fmq_clock_ms() < self->ready_ms)
            continue;
        self->ready_ms = 0;
        if (self->task.kind == FMQ_TASK_TRAIN)
            offer(self);
        else
            measure(self);
    }
    fmq_link_close(&self->link, atomic_load(&self->gone) ? 0 : 200);
    return NULL;
}

fake_client_t *fake_client_start(const fake_options_t *options)
{
    fake_client_t *self = calloc(1, sizeof *self);
    uint64_t size = fmq_schema_elements(options->schema);
    self->options = *options;
    self->state = calloc(size, sizeof *self->state);
    self->update = calloc(size, sizeof *self->update);
    if (options->emulator_schema)
        self->emulator =
            calloc(fmq_schema_elements(options->emulator_schema), sizeof *self->emulator);
    snprintf(self->name, sizeof self->name, "client-%u", options->number);
    pthread_mutex_init(&self->lock, NULL);
    fmq_link_options_t link = {.endpoint = options->endpoint,
                               .name = self->name,
                               .role = FMQ_ROLE_CLIENT,
                               .store = options->store,
                               .heartbeat_ms = options->heartbeat_ms,
                               .timeout_ms = options->timeout_ms};
    fmq_error_t err;
    self->link = fmq_link_open(&link, &err);
    if (!self->link || pthread_create(&self->thread, NULL, work, self) != 0) {
        fprintf(stderr, "%s: %s\n", self->name, err.text);
        abort();
    }
    return self;
}

void fake_client_stop(fake_client_t **self_p)
{
    fake_client_t *self = *self_p;
    if (!self)
        return;
    atomic_store(&self->stop, true);
    pthread_join(self->thread, NULL);
    pthread_mutex_destroy(&self->lock);
    free(self->state);
    free(self->update);
    free(self->emulator);
    free(self);
    *self_p = NULL;
}

uint32_t fake_client_trained(fake_client_t *self)
{
    return atomic_load(&self->trained);
}

uint32_t fake_client_measured(fake_client_t *self)
{
    return atomic_load(&self->measured);
}

uint32_t fake_client_fetched(fake_client_t *self)
{
    return atomic_load(&self->fetched);
}

bool fake_client_gone(fake_client_t *self)
{
    return atomic_load(&self->gone);
}

const char *fake_client_done(fake_client_t *self, char out[512])
{
    pthread_mutex_lock(&self->lock);
    memcpy(out, self->done, sizeof self->done);
    pthread_mutex_unlock(&self->lock);
    return out;
}
