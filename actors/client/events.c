/*
 * events.c - what the link brings to a client: notes, its shard, a state.
 *
 * Everything is handed to the course; nothing here decides what is done next.
 */
#include "actors/client/client_private.h"

#include <string.h>

#include "actors/pipe/pipe.h"
#include "fedmq/actors/shard.h"

void fmq_client_fail(fmq_client_t *self, const fmq_error_t *err)
{
    fmq_log_write(self->shared.log, FMQ_LOG_ERROR, self->name, "task-failed",
                  "round=%u reason=\"%s\"", self->course.task.round, err->text);
    fmq_course_fail(&self->course, err->text);
}

static void on_run(fmq_client_t *self, const fmq_event_t *event)
{
    fmq_note_run_t note;
    if (event->role != FMQ_ROLE_SERVER ||
        fmq_note_run_decode(&note, event->data, event->size, NULL) < 0)
        return;
    memcpy(self->server, event->member, sizeof self->server);
    fmq_course_run(&self->course, &note);
}

static void on_task(fmq_client_t *self, const fmq_event_t *event)
{
    fmq_note_task_t note;
    if (event->role == FMQ_ROLE_SERVER &&
        fmq_note_task_decode(&note, event->data, event->size, NULL) == 0)
        fmq_course_task(&self->course, &note);
}

static void on_done(fmq_client_t *self, const fmq_event_t *event)
{
    fmq_note_done_t note;
    if (event->role == FMQ_ROLE_SERVER &&
        fmq_note_done_decode(&note, event->data, event->size, NULL) == 0)
        fmq_course_done(&self->course, &note);
}

void fmq_client_fetch_shard(fmq_client_t *self)
{
    fmq_error_t err;
    if (!self->wants_shard || !self->has_shard_note)
        return;
    self->wants_shard = false;
    fmq_bytes_reader_begin(&self->shard, &self->shard_note.shard, FMQ_SHARD_MAX);
    if (fmq_link_fetch(self->link, self->splitter, &self->shard_note.shard, 0, FMQ_SHARD_MAX,
                       &err) < 0)
        fmq_client_fail(self, &err);
}

static void on_shard(fmq_client_t *self, const fmq_event_t *event)
{
    fmq_note_shard_t note;
    if (event->role != FMQ_ROLE_SPLITTER ||
        fmq_note_shard_decode(&note, event->data, event->size, NULL) < 0 ||
        note.client != self->number)
        return;
    self->shard_note = note;
    self->has_shard_note = true;
    memcpy(self->splitter, event->member, sizeof self->splitter);
    fmq_client_fetch_shard(self);
}

static const struct {
    const char *topic;
    void (*handle)(fmq_client_t *self, const fmq_event_t *event);
} topics[] = {{"run", on_run}, {"task", on_task}, {"done", on_done}, {"shard", on_shard}};

static void on_note(fmq_client_t *self, const fmq_event_t *event)
{
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        if (strcmp(topics[i].topic, event->topic) == 0)
            topics[i].handle(self, event);
}

/* The splitter may have gone in the middle: its next note begins anew. */
static void shard_failed(fmq_client_t *self, const fmq_error_t *err)
{
    fmq_log_write(self->shared.log, FMQ_LOG_WARNING, self->name, "shard-failed", "reason=\"%s\"",
                  err->text);
    fmq_link_cancel(self->link, &self->shard_note.shard, NULL);
    fmq_bytes_reader_release(&self->shard);
    self->wants_shard = true;
    self->has_shard_note = false;
}

static void take_shard(fmq_client_t *self, const fmq_event_t *event)
{
    fmq_error_t err = {0};
    fmq_receive_t got = fmq_bytes_reader_take(&self->shard, event, &err);
    if (got == FMQ_RECEIVE_FAILED)
        shard_failed(self, &err);
    if (got != FMQ_RECEIVE_DONE)
        return;
    self->shard_is_here = true;
}

static void handle(fmq_client_t *self, const fmq_event_t *event)
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
        fmq_client_fetch_event(self, event);
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
void fmq_client_pump(fmq_client_t *self)
{
    fmq_event_t event;
    if (!self->terminated)
        self->terminated = fmq_pipe_terminated(self->pipe);
    while (fmq_link_receive(self->link, 0, &event, NULL) > 0)
        handle(self, &event);
}
