/*
 * events.c - what the link brings to a client: notes, its shard, a state.
 *
 * Everything is handed to the course; nothing here decides what is done next.
 */
#include "actors/client/client_private.h"

#include <string.h>

#include "actors/protocol/inbound.h"
#include "actors/runtime/pipe.h"
#include "fedmq/actors/shard.h"
#include "fedmq/base/clock.h"

static void on_run(void *argument, const fmq_event_t *event, const void *message)
{
    fmq_client_t *self = argument;
    memcpy(self->server, event->member, sizeof self->server);
    fmq_course_run(&self->course, message);
}

static void on_task(void *argument, const fmq_event_t *event, const void *message)
{
    fmq_client_t *self = argument;
    (void)event;
    fmq_course_task(&self->course, message);
}

static void on_done(void *argument, const fmq_event_t *event, const void *message)
{
    fmq_client_t *self = argument;
    (void)event;
    fmq_course_done(&self->course, message);
}

void fmq_client_fetch_shard(fmq_client_t *self)
{
    const fmq_digest_t *digest = &self->shard_note.shard;
    bool coming = self->shard.active && fmq_digest_equal(&self->shard.digest, digest) &&
                  strcmp(self->shard.owner, self->splitter) == 0;
    if (!self->has_shard_note || coming || (!self->wants_shard && !self->shard.active))
        return;
    fmq_download_from_t from = fmq_client_from(self, "shard", self->splitter, digest);
    self->wants_shard = false;
    fmq_download_bytes(&self->shard, &from, FMQ_SHARD_MAX, fmq_clock_ms());
}

static void on_shard(void *argument, const fmq_event_t *event, const void *message)
{
    fmq_client_t *self = argument;
    const fmq_message_shard_t *note = message;
    if (note->client != self->number)
        return;
    self->shard_note = *note;
    self->has_shard_note = true;
    memcpy(self->splitter, event->member, sizeof self->splitter);
    fmq_client_fetch_shard(self);
}

static const fmq_inbound_t inbound[] = {{"run", FMQ_FROM(FMQ_ROLE_SERVER), on_run, false},
                                        {"task", FMQ_FROM(FMQ_ROLE_SERVER), on_task, false},
                                        {"done", FMQ_FROM(FMQ_ROLE_SERVER), on_done, false},
                                        {"shard", FMQ_FROM(FMQ_ROLE_SPLITTER), on_shard, false}};

static void take_shard(fmq_client_t *self, const fmq_event_t *event)
{
    fmq_error_t err = {0};
    fmq_receive_t got = fmq_download_take(&self->shard, event, fmq_clock_ms(), &err);
    if (got == FMQ_RECEIVE_FAILED)
        fmq_client_fail(self, &err);
    self->shard_is_here = self->shard_is_here || got == FMQ_RECEIVE_DONE;
}

static void handle(fmq_client_t *self, const fmq_event_t *event)
{
    switch (event->type) {
    case FMQ_EVENT_NOTE:
        (void)fmq_inbound_take(inbound, sizeof inbound / sizeof *inbound, self, event);
        return;
    case FMQ_EVENT_CHUNK:
    case FMQ_EVENT_FETCHED:
    case FMQ_EVENT_FAILED:
        take_shard(self, event);
        fmq_client_fetch_event(self, event);
        return;
    case FMQ_EVENT_REFUSED:
        self->refused = event->error;
        return;
    case FMQ_EVENT_UP:
    case FMQ_EVENT_DOWN:
        fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name,
                      event->type == FMQ_EVENT_UP ? "up" : "down", "endpoint=%s",
                      self->context.endpoint);
        return;
    case FMQ_EVENT_MEMBER:
        return;
    }
}

/* Reads what has come without waiting. */
void fmq_client_pump(fmq_client_t *self)
{
    fmq_event_t event;
    self->terminated = self->terminated ||
                       atomic_load_explicit(&self->told, memory_order_acquire) ||
                       (self->pipe && fmq_pipe_terminated(self->pipe));
    while (fmq_link_receive(self->link, 0, &event, NULL) > 0) {
        fmq_presence_event(&self->presence, &event, fmq_clock_ms());
        handle(self, &event);
    }
    if (self->refused.code == FMQ_OK && self->course.phase != FMQ_COURSE_ENDED)
        (void)fmq_presence_tend(&self->presence, self->context.log, self->name, fmq_clock_ms(),
                                &self->refused);
}
