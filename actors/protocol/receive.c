/*
 * receive.c - takes the events of a fetch in order.  The fabric verifies the
 * digest; what the chunks mean is checked here, chunk by chunk.
 */
#include "fedmq/actors/receive.h"

#include <stdlib.h>
#include <string.h>

uint64_t fmq_state_bytes_max(const fmq_schema_t *schema)
{
    return (uint64_t)fmq_state_chunks(schema) * FMQ_CHUNK_MAX;
}

/* Is the event one of the fetch of this digest? */
static bool concerns(const fmq_event_t *event, bool active, const fmq_digest_t *digest)
{
    return active &&
           (event->type == FMQ_EVENT_CHUNK || event->type == FMQ_EVENT_FETCHED ||
            event->type == FMQ_EVENT_FAILED) &&
           fmq_digest_equal(&event->digest, digest);
}

static fmq_receive_t link_failed(const fmq_event_t *event, fmq_error_t *err)
{
    (void)fmq_error_copy(err, &event->error);
    return FMQ_RECEIVE_FAILED;
}

static fmq_receive_t out_of_order(const fmq_event_t *event, uint32_t next, fmq_error_t *err)
{
    (void)fmq_error_set(err, FMQ_ERR_FORMAT, "chunk %u came where chunk %u was expected",
                        event->index, next);
    return FMQ_RECEIVE_FAILED;
}

void fmq_state_reader_begin(fmq_state_reader_t *self, const fmq_schema_t *schema,
                            const fmq_digest_t *digest, float *vector)
{
    *self =
        (fmq_state_reader_t){.schema = schema, .vector = vector, .digest = *digest, .active = true};
}

static fmq_receive_t state_chunk(fmq_state_reader_t *self, const fmq_event_t *event,
                                 fmq_error_t *err)
{
    uint32_t chunks = fmq_state_chunks(self->schema);
    if (event->chunks != chunks) {
        (void)fmq_error_set(err, FMQ_ERR_MISMATCH, "a state of %u chunks where the schema has %u",
                            event->chunks, chunks);
        return FMQ_RECEIVE_FAILED;
    }
    if (event->index != self->next || event->index >= chunks)
        return out_of_order(event, self->next, err);
    uint64_t first, count;
    fmq_state_range(self->schema, event->index, &first, &count);
    if (fmq_state_decode(self->schema, event->index, event->data, event->size, self->vector + first,
                         err) < 0)
        return FMQ_RECEIVE_FAILED;
    self->next++;
    return FMQ_RECEIVE_MORE;
}

fmq_receive_t fmq_state_reader_take(fmq_state_reader_t *self, const fmq_event_t *event,
                                    fmq_error_t *err)
{
    if (!concerns(event, self->active, &self->digest))
        return FMQ_RECEIVE_OTHER;
    fmq_receive_t got;
    if (event->type == FMQ_EVENT_CHUNK) {
        got = state_chunk(self, event, err);
    } else if (event->type == FMQ_EVENT_FAILED) {
        got = link_failed(event, err);
    } else if (self->next != fmq_state_chunks(self->schema)) {
        (void)fmq_error_set(err, FMQ_ERR_FORMAT, "a state ended after %u of %u chunks", self->next,
                            fmq_state_chunks(self->schema));
        got = FMQ_RECEIVE_FAILED;
    } else {
        got = FMQ_RECEIVE_DONE;
    }
    self->active = got == FMQ_RECEIVE_MORE;
    return got;
}

void fmq_bytes_reader_begin(fmq_bytes_reader_t *self, const fmq_digest_t *digest, uint64_t limit)
{
    *self = (fmq_bytes_reader_t){.digest = *digest, .limit = limit, .active = true};
}

void fmq_bytes_reader_release(fmq_bytes_reader_t *self)
{
    free(self->data);
    memset(self, 0, sizeof *self);
}

/* Makes room for `more` bytes and a NUL, at most doubling each time. */
static int grow(fmq_bytes_reader_t *self, size_t more, fmq_error_t *err)
{
    if (more > self->limit - self->size)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "an object of more than %llu bytes",
                             (unsigned long long)self->limit);
    size_t need = self->size + more + 1;
    if (need <= self->capacity)
        return 0;
    size_t capacity = self->capacity > need / 2 ? 2 * self->capacity : need;
    char *data = realloc(self->data, capacity);
    if (!data)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for %zu bytes of an object", capacity);
    self->data = data;
    self->capacity = capacity;
    return 0;
}

static fmq_receive_t bytes_chunk(fmq_bytes_reader_t *self, const fmq_event_t *event,
                                 fmq_error_t *err)
{
    if (event->index != self->next)
        return out_of_order(event, self->next, err);
    if (grow(self, event->size, err) < 0)
        return FMQ_RECEIVE_FAILED;
    if (event->size > 0)
        memcpy(self->data + self->size, event->data, event->size);
    self->size += event->size;
    self->data[self->size] = '\0';
    self->next++;
    return FMQ_RECEIVE_MORE;
}

fmq_receive_t fmq_bytes_reader_take(fmq_bytes_reader_t *self, const fmq_event_t *event,
                                    fmq_error_t *err)
{
    if (!concerns(event, self->active, &self->digest))
        return FMQ_RECEIVE_OTHER;
    fmq_receive_t got;
    if (event->type == FMQ_EVENT_CHUNK)
        got = bytes_chunk(self, event, err);
    else if (event->type == FMQ_EVENT_FAILED)
        got = link_failed(event, err);
    else
        got = grow(self, 0, err) < 0 ? FMQ_RECEIVE_FAILED : FMQ_RECEIVE_DONE;
    if (got == FMQ_RECEIVE_DONE)
        self->data[self->size] = '\0';
    self->active = got == FMQ_RECEIVE_MORE;
    return got;
}
