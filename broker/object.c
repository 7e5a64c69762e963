/*
 * object.c - an immutable list of chunks with a digest and a reference count.
 *
 * Chunks lie in allocations of their own, or in memory that was lent, so that
 * an object can be as large as memory and is never moved; or they lie nowhere
 * and are made when they are read.  It does no I/O and knows nothing of what the
 * chunks mean.
 */
#include "fedmq/broker/object.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *data;
    uint8_t *owned; /* the same, or NULL when it is lent or rendered */
    uint32_t size;
} chunk_t;

struct fmq_object {
    atomic_uint references;
    bool sealed;
    uint32_t size, capacity; /* chunks */
    uint64_t bytes;
    chunk_t *chunks; /* owned */
    fmq_digest_t digest;
    fmq_release_fn *release; /* of lent memory or of the renderer, or NULL */
    void *argument;
    fmq_renderer_t renderer; /* render is NULL where the chunks lie in memory */
};

fmq_object_t *fmq_object_new(void)
{
    fmq_object_t *self = calloc(1, sizeof *self);
    if (self)
        atomic_init(&self->references, 1);
    return self;
}

static int reserve_one(fmq_object_t *self, fmq_error_t *err)
{
    if (self->size < self->capacity)
        return 0;
    uint32_t capacity = self->capacity ? 2 * self->capacity : 4;
    chunk_t *chunks = realloc(self->chunks, capacity * sizeof *chunks);
    if (!chunks)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u chunks", capacity);
    self->chunks = chunks;
    self->capacity = capacity;
    return 0;
}

/* Makes room for one more chunk of size bytes. */
static int prepare(fmq_object_t *self, size_t size, fmq_error_t *err)
{
    if (self->sealed)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "object is sealed: no chunk can be added");
    if (size == 0 || size > FMQ_CHUNK_MAX || self->size == FMQ_OBJECT_CHUNKS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "chunk %u of %zu bytes: a chunk has 1 to %u bytes, an object at most "
                             "%u",
                             self->size, size, FMQ_CHUNK_MAX, FMQ_OBJECT_CHUNKS_MAX);
    return reserve_one(self, err);
}

void *fmq_object_place(fmq_object_t *self, size_t size, fmq_error_t *err)
{
    if (prepare(self, size, err) < 0)
        return NULL;
    uint8_t *data = malloc(size);
    if (!data) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a chunk of %zu bytes", size);
        return NULL;
    }
    self->chunks[self->size++] = (chunk_t){.data = data, .owned = data, .size = (uint32_t)size};
    self->bytes += size;
    return data;
}

/* A chunk of somebody else's memory. */
static int lend(fmq_object_t *self, const void *data, size_t size, fmq_error_t *err)
{
    if (prepare(self, size, err) < 0)
        return -1;
    self->chunks[self->size++] = (chunk_t){.data = data, .size = (uint32_t)size};
    self->bytes += size;
    return 0;
}

void fmq_object_trim(fmq_object_t *self, size_t size)
{
    if (self->sealed || self->size == 0 || size == 0)
        return;
    chunk_t *last = &self->chunks[self->size - 1];
    if (size >= last->size)
        return;
    self->bytes -= last->size - size;
    last->size = (uint32_t)size;
}

int fmq_object_add(fmq_object_t *self, const void *data, size_t size, fmq_error_t *err)
{
    void *place = fmq_object_place(self, size, err);
    if (!place)
        return -1;
    memcpy(place, data, size);
    return 0;
}

void fmq_object_digest_chunk(fmq_digest_state_t *state, const void *data, size_t size)
{
    const uint8_t head[4] = {(uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16),
                             (uint8_t)(size >> 24)};
    fmq_digest_add(state, head, sizeof head);
    fmq_digest_add(state, data, size);
}

void fmq_object_seal(fmq_object_t *self)
{
    if (self->sealed)
        return;
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    for (uint32_t i = 0; i < self->size; i++)
        fmq_object_digest_chunk(&state, self->chunks[i].data, self->chunks[i].size);
    self->digest = fmq_digest_end(&state);
    self->sealed = true;
}

void fmq_object_seal_as(fmq_object_t *self, const fmq_digest_t *digest)
{
    if (self->sealed)
        return;
    self->digest = *digest;
    self->sealed = true;
}

fmq_object_t *fmq_object_from_bytes(const void *data, size_t size, fmq_error_t *err)
{
    fmq_object_t *self = fmq_object_new();
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an object");
        return NULL;
    }
    const uint8_t *bytes = data;
    for (size_t at = 0; at < size; at += FMQ_CHUNK_MAX) {
        size_t part = size - at < FMQ_CHUNK_MAX ? size - at : FMQ_CHUNK_MAX;
        if (fmq_object_add(self, bytes + at, part, err) < 0) {
            fmq_object_drop(&self);
            return NULL;
        }
    }
    fmq_object_seal(self);
    return self;
}

/* Where the next chunk begins: byte `at` of segment `index`. */
typedef struct {
    const fmq_segment_t *segments;
    size_t index;
    uint64_t at;
} cursor_t;

/* Copies size bytes that lie in several segments, and moves behind them. */
static void gather(cursor_t *cursor, uint8_t *out, size_t size)
{
    while (size > 0) {
        const fmq_segment_t *segment = &cursor->segments[cursor->index];
        uint64_t left = segment->bytes - cursor->at;
        size_t part = left < size ? (size_t)left : size;
        if (part > 0)
            memcpy(out, (const uint8_t *)segment->data + cursor->at, part);
        out += part;
        size -= part;
        cursor->at += part;
        if (cursor->at == segment->bytes) {
            cursor->index++;
            cursor->at = 0;
        }
    }
}

static int borrow_chunk(fmq_object_t *self, cursor_t *cursor, size_t size, fmq_error_t *err)
{
    while (cursor->at == cursor->segments[cursor->index].bytes) {
        cursor->index++;
        cursor->at = 0;
    }
    const fmq_segment_t *segment = &cursor->segments[cursor->index];
    if (segment->bytes - cursor->at >= size) {
        if (lend(self, (const uint8_t *)segment->data + cursor->at, size, err) < 0)
            return -1;
        cursor->at += size;
        return 0;
    }
    uint8_t *place = fmq_object_place(self, size, err);
    if (!place)
        return -1;
    gather(cursor, place, size);
    return 0;
}

fmq_object_t *fmq_object_borrow(const fmq_segment_t *segments, size_t count,
                                fmq_release_fn *release, void *argument, fmq_error_t *err)
{
    const uint64_t most = (uint64_t)FMQ_OBJECT_CHUNKS_MAX * FMQ_CHUNK_MAX;
    uint64_t bytes = 0;
    cursor_t cursor = {.segments = segments};
    for (size_t i = 0; i < count; i++) {
        if (segments[i].bytes > most - bytes) {
            fmq_error_set(err, FMQ_ERR_LIMIT, "an object of more than %llu bytes",
                          (unsigned long long)most);
            return NULL;
        }
        bytes += segments[i].bytes;
    }
    fmq_object_t *self = fmq_object_new();
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an object");
        return NULL;
    }
    while (self->bytes < bytes) {
        uint64_t left = bytes - self->bytes;
        if (borrow_chunk(self, &cursor, left < FMQ_CHUNK_MAX ? (size_t)left : FMQ_CHUNK_MAX, err) <
            0) {
            fmq_object_drop(&self);
            return NULL;
        }
    }
    fmq_object_seal(self);
    self->release = release;
    self->argument = argument;
    return self;
}

fmq_object_t *fmq_object_rendered(const fmq_renderer_t *renderer, const uint32_t *sizes,
                                  uint32_t chunks, const fmq_digest_t *digest, fmq_error_t *err)
{
    fmq_object_t *self = fmq_object_new();
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an object");
        return NULL;
    }
    for (uint32_t i = 0; i < chunks; i++) {
        if (lend(self, NULL, sizes[i], err) < 0) {
            fmq_object_drop(&self);
            return NULL;
        }
    }
    fmq_object_seal_as(self, digest);
    self->renderer = *renderer;
    self->release = renderer->release;
    self->argument = renderer->argument;
    return self;
}

fmq_object_t *fmq_object_hold(fmq_object_t *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
    return self;
}

void fmq_object_drop(fmq_object_t **self_p)
{
    fmq_object_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < self->size; i++)
        free(self->chunks[i].owned);
    free(self->chunks);
    if (self->release)
        self->release(self->argument);
    free(self);
}

bool fmq_object_sealed(const fmq_object_t *self)
{
    return self->sealed;
}

const fmq_digest_t *fmq_object_digest(const fmq_object_t *self)
{
    return &self->digest;
}

uint64_t fmq_object_bytes(const fmq_object_t *self)
{
    return self->bytes;
}

uint32_t fmq_object_chunks(const fmq_object_t *self)
{
    return self->size;
}

const void *fmq_object_chunk(const fmq_object_t *self, uint32_t index, size_t *size)
{
    if (index >= self->size) {
        *size = 0;
        return NULL;
    }
    *size = self->chunks[index].size;
    return self->chunks[index].data;
}

int fmq_object_copy(const fmq_object_t *self, uint32_t index, void *out, fmq_error_t *err)
{
    size_t size;
    const void *data = fmq_object_chunk(self, index, &size);
    if (size == 0)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND, "an object of %u chunks has no chunk %u",
                             self->size, index);
    if (!data)
        return self->renderer.render(self->argument, index, out, size, err);
    memcpy(out, data, size);
    return 0;
}
