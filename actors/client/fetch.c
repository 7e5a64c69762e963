/*
 * fetch.c - the vectors that a task needs: the state, and with offsite tuning
 * the emulator's, which is kept for as long as tasks name the same one.
 */
#include "actors/client/client_private.h"

#include <stdlib.h>

static void cancel(fmq_client_t *self, fmq_state_reader_t *reader)
{
    if (reader->active)
        fmq_link_cancel(self->link, &reader->digest, NULL);
    reader->active = false;
}

void fmq_client_fetch_cancel(fmq_client_t *self)
{
    cancel(self, &self->state);
    cancel(self, &self->emulator_reader);
}

static void fail(fmq_client_t *self, const fmq_error_t *err)
{
    fmq_client_fetch_cancel(self);
    fmq_client_fail(self, err);
}

/* Begins to fill *vector, which is made when there is none. */
static int begin(fmq_client_t *self, fmq_state_reader_t *reader, const fmq_schema_t *schema,
                 const fmq_digest_t *digest, float **vector)
{
    fmq_error_t err = {0};
    uint64_t elements = fmq_schema_elements(schema);
    if (!*vector)
        *vector = malloc((elements ? (size_t)elements : 1) * sizeof **vector);
    if (!*vector) {
        fmq_error_set(&err, FMQ_ERR_NOMEM, "out of memory for a state of %llu elements",
                      (unsigned long long)elements);
        fail(self, &err);
        return -1;
    }
    fmq_state_reader_begin(reader, schema, digest, *vector);
    if (fmq_link_fetch(self->link, self->server, digest, 0, fmq_state_bytes_max(schema), &err) == 0)
        return 0;
    reader->active = false;
    fail(self, &err);
    return -1;
}

/* Both ends must agree on whether there is an emulator. */
static bool emulator_fits(fmq_client_t *self)
{
    const fmq_note_task_t *task = &self->course.task;
    fmq_error_t err = {0};
    if ((task->emulator_bytes > 0) == (self->shared.offsite != NULL))
        return true;
    fmq_error_set(&err, FMQ_ERR_MISMATCH, "the server runs %s offsite tuning, this client %s it",
                  task->emulator_bytes > 0 ? "with" : "without",
                  self->shared.offsite ? "with" : "without");
    fail(self, &err);
    return false;
}

static int begin_emulator(fmq_client_t *self)
{
    const fmq_digest_t *digest = &self->course.task.emulator;
    if (!self->shared.offsite ||
        (self->has_emulator && fmq_digest_equal(&self->emulator_digest, digest)))
        return 0;
    self->has_emulator = false;
    self->emulator_digest = *digest;
    return begin(self, &self->emulator_reader, llm_adapter_schema(self->shared.offsite->state),
                 digest, &self->emulator);
}

static void tell_when_complete(fmq_client_t *self)
{
    if (!self->state.active && !self->emulator_reader.active)
        fmq_course_fetched(&self->course);
}

void fmq_client_fetch_task(fmq_client_t *self)
{
    if (!emulator_fits(self) || begin_emulator(self) < 0)
        return;
    bool kept = self->local && self->has_own;
    if (!kept && begin(self, &self->state, llm_adapter_schema(self->shared.adapter),
                       &self->course.task.state, &self->vector) < 0)
        return;
    tell_when_complete(self);
}

/* Has this event completed what the reader reads? */
static bool take(fmq_client_t *self, fmq_state_reader_t *reader, const fmq_event_t *event)
{
    fmq_error_t err = {0};
    if (!reader->active)
        return false;
    fmq_receive_t got = fmq_state_reader_take(reader, event, &err);
    if (got != FMQ_RECEIVE_FAILED)
        return got == FMQ_RECEIVE_DONE;
    fmq_link_cancel(self->link, &reader->digest, NULL);
    fail(self, &err);
    return false;
}

void fmq_client_fetch_event(fmq_client_t *self, const fmq_event_t *event)
{
    bool emulator = take(self, &self->emulator_reader, event);
    self->has_emulator = self->has_emulator || emulator;
    if (emulator || take(self, &self->state, event))
        tell_when_complete(self);
}
