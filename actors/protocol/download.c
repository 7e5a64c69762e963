/*
 * download.c - the one policy of fetching, and fetches that follow it.
 */
#include "actors/protocol/download.h"

#include <stdio.h>
#include <string.h>

/* Codes that say something about the object's content, or about who may have
 * it, stay true when it is asked for again. */
fmq_download_fault_t fmq_download_judge(fmq_error_code_t code)
{
    switch (code) {
    case FMQ_ERR_FORMAT:
    case FMQ_ERR_NUMERIC:
    case FMQ_ERR_MISMATCH:
    case FMQ_ERR_LIMIT:
    case FMQ_ERR_DENIED:
    case FMQ_ERR_UNSUPPORTED:
    case FMQ_ERR_CONFIG:
        return FMQ_DOWNLOAD_WRONG;
    case FMQ_OK:
    case FMQ_ERR_NOMEM:
    case FMQ_ERR_IO:
    case FMQ_ERR_NOTFOUND:
    case FMQ_ERR_TIMEOUT:
    case FMQ_ERR_STOPPED:
    case FMQ_ERR_FAILED:
    case FMQ_ERR_INTERNAL:
        return FMQ_DOWNLOAD_TRANSIENT;
    }
    return FMQ_DOWNLOAD_TRANSIENT;
}

int64_t fmq_download_pause_ms(uint32_t failures)
{
    int64_t pause = FMQ_DOWNLOAD_PAUSE_MS;
    for (uint32_t i = 1; i < failures && pause < FMQ_DOWNLOAD_PAUSE_MAX_MS; i++)
        pause *= 2;
    return pause < FMQ_DOWNLOAD_PAUSE_MAX_MS ? pause : FMQ_DOWNLOAD_PAUSE_MAX_MS;
}

static void pause_after(fmq_download_t *self, const fmq_error_t *why, int64_t now_ms)
{
    self->running = false;
    self->again_ms = now_ms + fmq_download_pause_ms(++self->failures);
    fmq_log_write(self->from.log, self->failures == 1 ? FMQ_LOG_WARNING : FMQ_LOG_INFO,
                  self->from.actor, "fetch-again", "what=%s failures=%u reason=\"%s\"",
                  self->from.what, self->failures, why->text);
}

/* That a link does not take a fetch is its own trouble of the moment. */
static void ask(fmq_download_t *self, int64_t now_ms)
{
    fmq_error_t why;
    if (self->plain) {
        fmq_bytes_reader_release(&self->bytes);
        fmq_bytes_reader_begin(&self->bytes, &self->digest, self->bytes_max);
    } else {
        fmq_state_reader_begin(&self->state, self->state.schema, &self->digest, self->state.vector);
    }
    self->running = true;
    if (fmq_link_fetch(self->from.link, self->owner, &self->digest, 0, self->bytes_max, &why) < 0)
        pause_after(self, &why, now_ms);
}

static void begin(fmq_download_t *self, const fmq_download_from_t *from)
{
    fmq_download_cancel(self);
    self->from = *from;
    (void)snprintf(self->owner, sizeof self->owner, "%s", from->owner);
    self->digest = *from->digest;
    self->from.owner = NULL;
    self->from.digest = NULL;
    self->active = true;
}

void fmq_download_vector(fmq_download_t *self, const fmq_download_from_t *from,
                         const fmq_schema_t *schema, float *vector, int64_t now_ms)
{
    begin(self, from);
    self->bytes_max = fmq_state_bytes_max(schema);
    self->state = (fmq_state_reader_t){.schema = schema, .vector = vector};
    ask(self, now_ms);
}

void fmq_download_bytes(fmq_download_t *self, const fmq_download_from_t *from, uint64_t limit,
                        int64_t now_ms)
{
    begin(self, from);
    self->bytes_max = limit;
    self->plain = true;
    ask(self, now_ms);
}

fmq_receive_t fmq_download_take(fmq_download_t *self, const fmq_event_t *event, int64_t now_ms,
                                fmq_error_t *err)
{
    fmq_error_t why = {0};
    if (!self->active || !self->running)
        return FMQ_RECEIVE_OTHER;
    fmq_receive_t got = self->plain ? fmq_bytes_reader_take(&self->bytes, event, &why)
                                    : fmq_state_reader_take(&self->state, event, &why);
    if (got == FMQ_RECEIVE_DONE)
        self->active = self->running = false;
    if (got != FMQ_RECEIVE_FAILED)
        return got;
    if (event->type != FMQ_EVENT_FAILED)
        (void)fmq_link_cancel(self->from.link, &self->digest, NULL);
    if (fmq_download_judge(why.code) == FMQ_DOWNLOAD_TRANSIENT) {
        pause_after(self, &why, now_ms);
        return FMQ_RECEIVE_MORE;
    }
    self->active = self->running = false;
    return fmq_error_copy(err, &why);
}

void fmq_download_work(fmq_download_t *self, int64_t now_ms)
{
    if (self->active && !self->running && now_ms >= self->again_ms)
        ask(self, now_ms);
}

int fmq_download_patience(const fmq_download_t *self, int64_t now_ms, int most)
{
    if (!self->active || self->running)
        return most;
    int64_t left = self->again_ms > now_ms ? self->again_ms - now_ms : 0;
    return most < 0 || left < most ? (int)left : most;
}

void fmq_download_cancel(fmq_download_t *self)
{
    if (self->active && self->running)
        (void)fmq_link_cancel(self->from.link, &self->digest, NULL);
    fmq_bytes_reader_release(&self->bytes);
    *self = (fmq_download_t){.plain = false};
}
