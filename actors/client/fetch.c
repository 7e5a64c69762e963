/*
 * fetch.c - what a task needs: the state, from this process where it is there, and
 * with offsite tuning
 * the emulator's, which is kept for as long as tasks name the same one.
 * Transient trouble is tried again while the task stands (download.h); what is
 * wrong fails the task.
 */
#include "actors/client/client_private.h"

#include <stdlib.h>

#include "fedmq/base/clock.h"

/* Memory that is not here now will not be here in the next round either: that
 * ends the client, so that who runs it is told what to raise. */
void fmq_client_fail(fmq_client_t *self, const fmq_error_t *err)
{
    if (err->code == FMQ_ERR_NOMEM)
        self->refused = *err;
    fmq_log_write(self->context.log, FMQ_LOG_ERROR, self->name, "task-failed",
                  "round=%u reason=\"%s\"", self->course.task.round, err->text);
    fmq_course_fail(&self->course, err->text);
}

fmq_download_from_t fmq_client_from(const fmq_client_t *self, const char *what, const char *owner,
                                    const fmq_digest_t *digest)
{
    return (fmq_download_from_t){.link = self->link,
                                 .log = self->context.log,
                                 .actor = self->name,
                                 .what = what,
                                 .owner = owner,
                                 .digest = digest};
}

void fmq_client_fetch_cancel(fmq_client_t *self)
{
    fmq_download_cancel(&self->download);
    fmq_download_cancel(&self->emulator_download);
}

int fmq_client_fetch_work(fmq_client_t *self)
{
    fmq_download_t *all[] = {&self->shard, &self->download, &self->emulator_download};
    int64_t now_ms = fmq_clock_ms();
    int patience = -1;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        fmq_download_work(all[i], now_ms);
        patience = fmq_download_patience(all[i], now_ms, patience);
    }
    return patience;
}

void fmq_client_put_state_away(fmq_client_t *self)
{
    fmq_task_state_release(&self->state);
    if (!fmq_client_own_is_here(self) || !self->has_own)
        fmq_task_state_release(&self->own_state);
}

static void fail(fmq_client_t *self, const fmq_error_t *err)
{
    fmq_client_fetch_cancel(self);
    fmq_client_put_state_away(self);
    fmq_client_fail(self, err);
}

/* Begins to fill *vector, which is made when there is none. */
static int begin(fmq_client_t *self, fmq_download_t *download, const fmq_download_from_t *from,
                 const fmq_schema_t *schema, float **vector)
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
    fmq_download_vector(download, from, schema, *vector, fmq_clock_ms());
    return 0;
}

/* Both ends must agree on whether there is an emulator. */
static bool emulator_fits(fmq_client_t *self)
{
    const fmq_message_task_t *task = &self->course.task;
    fmq_error_t err = {0};
    if ((task->emulator_bytes > 0) == (self->context.offsite != NULL))
        return true;
    fmq_error_set(&err, FMQ_ERR_MISMATCH, "the server runs %s offsite tuning, this client %s it",
                  task->emulator_bytes > 0 ? "with" : "without",
                  self->context.offsite ? "with" : "without");
    fail(self, &err);
    return false;
}

static int begin_emulator(fmq_client_t *self)
{
    const fmq_digest_t *digest = &self->course.task.emulator;
    if (!self->context.offsite ||
        (self->has_emulator && fmq_digest_equal(&self->emulator_digest, digest)))
        return 0;
    self->has_emulator = false;
    self->emulator_digest = *digest;
    fmq_download_from_t from = fmq_client_from(self, "emulator", self->server, digest);
    return begin(self, &self->emulator_download, &from,
                 llm_adapter_schema(self->context.offsite->state), &self->emulator);
}

static void tell_when_complete(fmq_client_t *self)
{
    if (!self->download.active && !self->emulator_download.active)
        fmq_course_fetched(&self->course);
}

/* What the server has in this process is read there when it is needed. */
static int begin_state(fmq_client_t *self)
{
    const fmq_digest_t *digest = &self->course.task.state;
    fmq_task_state_release(&self->state);
    self->state.object = fmq_link_find(self->link, digest);
    if (self->state.object)
        return 0;
    fmq_download_from_t from = fmq_client_from(self, "state", self->server, digest);
    return begin(self, &self->download, &from, llm_adapter_schema(self->context.adapter),
                 &self->state.vector);
}

void fmq_client_fetch_task(fmq_client_t *self)
{
    fmq_error_t err = {0};
    if (!emulator_fits(self) || begin_emulator(self) < 0)
        return;
    if (fmq_client_own_recall(self, &err) < 0) {
        fail(self, &err);
        return;
    }
    if (fmq_client_needs_shared(self) && begin_state(self) < 0)
        return;
    tell_when_complete(self);
}

/* Has this event completed the download? */
static bool take(fmq_client_t *self, fmq_download_t *download, const fmq_event_t *event)
{
    fmq_error_t err = {0};
    fmq_receive_t got = fmq_download_take(download, event, fmq_clock_ms(), &err);
    if (got == FMQ_RECEIVE_FAILED)
        fail(self, &err);
    return got == FMQ_RECEIVE_DONE;
}

void fmq_client_fetch_event(fmq_client_t *self, const fmq_event_t *event)
{
    if (event->type == FMQ_EVENT_CHUNK) /* a sign of progress, but no step */
        fmq_link_set_progress(self->link, ++self->chunks, 0);
    bool emulator = take(self, &self->emulator_download, event);
    self->has_emulator = self->has_emulator || emulator;
    if (emulator || take(self, &self->download, event))
        tell_when_complete(self);
}
