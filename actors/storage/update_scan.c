/*
 * update_scan.c - forwards through an update log.
 */
#include "actors/storage/update_scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/storage/file.h"
#include "fedmq/broker/object.h"

#define WINDOW (256u * 1024) /* bytes read at once where a record is looked for */

/* What a writer has brought so far. */
typedef struct {
    uint32_t number;
    fmq_chunk_place_t *places; /* owned */
    uint32_t size, capacity;
    bool broken; /* a chunk is missing */
} brought_t;

typedef struct {
    const fmq_update_scan_t *how;
    brought_t *brought; /* owned */
    size_t size, capacity;
    unsigned char *chunk;  /* owned: FMQ_CHUNK_MAX */
    unsigned char *window; /* owned: WINDOW */
    uint64_t file_size, committed;
    uint32_t writers;
} scan_t;

static int no_memory(const scan_t *self, fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to read '%s'", self->how->path);
}

/* Writers come one after the other, so the one that is asked for is among the
 * last. */
static brought_t *find_writer(scan_t *self, uint32_t number)
{
    for (size_t i = self->size; i > 0; i--)
        if (self->brought[i - 1].number == number)
            return &self->brought[i - 1];
    return NULL;
}

static brought_t *add_writer(scan_t *self, uint32_t number)
{
    if (self->size == self->capacity) {
        size_t capacity = self->capacity ? 2 * self->capacity : 16;
        brought_t *brought = realloc(self->brought, capacity * sizeof *brought);
        if (!brought)
            return NULL;
        self->brought = brought;
        self->capacity = capacity;
    }
    self->brought[self->size] = (brought_t){.number = number};
    return &self->brought[self->size++];
}

static void drop_writer(scan_t *self, brought_t *brought)
{
    free(brought->places);
    size_t at = (size_t)(brought - self->brought);
    memmove(brought, brought + 1, (self->size - at - 1) * sizeof *brought);
    self->size--;
}

static int take_chunk(scan_t *self, const fmq_record_t *record, uint64_t at, fmq_error_t *err)
{
    brought_t *brought = find_writer(self, record->writer);
    if (!brought && !(brought = add_writer(self, record->writer)))
        return no_memory(self, err);
    if (record->writer >= self->writers)
        self->writers = record->writer + 1;
    if (record->index != brought->size || record->index >= self->how->head->chunks)
        brought->broken = true;
    if (brought->broken)
        return 0;
    if (brought->size == brought->capacity) {
        uint32_t capacity = brought->capacity ? 2 * brought->capacity : 4;
        fmq_chunk_place_t *places = realloc(brought->places, capacity * sizeof *places);
        if (!places)
            return no_memory(self, err);
        brought->places = places;
        brought->capacity = capacity;
    }
    brought->places[brought->size++] = fmq_chunk_place(at, record->size);
    return 0;
}

/* 1: these are the bytes of the digest; 0: they are not; -1: the disk failed. */
static int verify(scan_t *self, const brought_t *brought, const fmq_digest_t *expected,
                  fmq_error_t *err)
{
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    for (uint32_t i = 0; i < brought->size; i++) {
        size_t size = fmq_chunk_place_size(brought->places[i]);
        if (fmq_file_read_at(self->how->fd, self->how->path,
                             fmq_chunk_place_offset(brought->places[i]), self->chunk, size,
                             err) < 0)
            return -1;
        fmq_object_digest_chunk(&state, self->chunk, size);
    }
    fmq_digest_t digest = fmq_digest_end(&state);
    return fmq_digest_equal(&digest, expected);
}

static int take_item(scan_t *self, const fmq_commit_item_t *item, fmq_error_t *err)
{
    const char *reason = NULL;
    brought_t *brought = find_writer(self, item->writer);
    if (!brought || brought->broken || brought->size != self->how->head->chunks) {
        reason = "some of its bytes are damaged";
    } else {
        int whole = verify(self, brought, &item->update, err);
        if (whole < 0)
            return -1;
        if (whole && self->how->found(self->how->argument, item, &brought->places, err) < 0)
            return -1;
        if (!whole)
            reason = "the bytes are not what their digest says";
    }
    if (reason)
        fmq_log_write(self->how->log, FMQ_LOG_WARNING, "server", "journal-update-dropped",
                      "round=%u client=%u reason=\"%s\"", self->how->head->round, item->client,
                      reason);
    if (brought)
        drop_writer(self, brought);
    return 0;
}

/* 1: taken; 0: it is damaged. */
static int take_commit(scan_t *self, const fmq_record_t *record, uint64_t at, fmq_error_t *err)
{
    if (record->size < FMQ_DIGEST_SIZE ||
        (record->size - FMQ_DIGEST_SIZE) % FMQ_COMMIT_ITEM_SIZE != 0)
        return 0;
    size_t size = record->size - FMQ_DIGEST_SIZE;
    unsigned char *items = malloc(record->size);
    if (!items)
        return no_memory(self, err);
    int rc = fmq_file_read_at(self->how->fd, self->how->path, at, items, record->size, err);
    if (rc == 0) {
        fmq_digest_t digest = fmq_commit_digest(&self->how->head->salt, at, items, size);
        rc = memcmp(items + size, digest.bytes, FMQ_DIGEST_SIZE) == 0;
    }
    for (size_t i = 0; rc > 0 && i < size; i += FMQ_COMMIT_ITEM_SIZE) {
        fmq_commit_item_t item;
        fmq_commit_item_decode(&item, items + i);
        if (take_item(self, &item, err) < 0)
            rc = -1;
    }
    free(items);
    if (rc > 0)
        self->committed = at + record->size;
    return rc;
}

/* The record at *at: 1 and *at behind it; 0: there is none; -1. */
static int take_record(scan_t *self, uint64_t *at, fmq_error_t *err)
{
    unsigned char bytes[FMQ_RECORD_HEAD_SIZE];
    fmq_record_t record;
    if (self->file_size - *at < sizeof bytes)
        return 0;
    if (fmq_file_read_at(self->how->fd, self->how->path, *at, bytes, sizeof bytes, err) < 0)
        return -1;
    uint64_t body = *at + sizeof bytes;
    if (!fmq_record_decode(&record, &self->how->head->salt, *at, bytes) ||
        record.size > self->file_size - body ||
        (record.kind == FMQ_RECORD_CHUNK && record.size > FMQ_CHUNK_MAX))
        return 0;
    int rc = 1;
    if (record.kind == FMQ_RECORD_CHUNK)
        rc = take_chunk(self, &record, body, err) < 0 ? -1 : 1;
    else
        rc = take_commit(self, &record, body, err);
    if (rc > 0)
        *at = body + record.size;
    return rc;
}

/* The next place behind `at` where the head of a record lies, or the file's end. */
static int find_record(scan_t *self, uint64_t *at, fmq_error_t *err)
{
    fmq_record_t record;
    for (uint64_t from = *at + 1; from + FMQ_RECORD_HEAD_SIZE <= self->file_size;) {
        uint64_t rest = self->file_size - from;
        size_t size = rest < WINDOW ? (size_t)rest : WINDOW;
        if (fmq_file_read_at(self->how->fd, self->how->path, from, self->window, size, err) < 0)
            return -1;
        for (size_t i = 0; i + FMQ_RECORD_HEAD_SIZE <= size; i++)
            if (fmq_record_decode(&record, &self->how->head->salt, from + i, self->window + i)) {
                *at = from + i;
                return 0;
            }
        from += size - FMQ_RECORD_HEAD_SIZE + 1;
    }
    *at = self->file_size;
    return 0;
}

static int scan(scan_t *self, fmq_error_t *err)
{
    uint64_t at = FMQ_UPDATES_HEAD_SIZE;
    self->committed = at;
    while (at < self->file_size) {
        uint64_t bad = at;
        int rc = take_record(self, &at, err);
        if (rc < 0 || (rc == 0 && find_record(self, &at, err) < 0))
            return -1;
        if (rc == 0 && at < self->file_size)
            fmq_log_write(self->how->log, FMQ_LOG_WARNING, "server", "journal-damaged",
                          "round=%u file=\"%s\" offset=%" PRIu64 " bytes=%" PRIu64,
                          self->how->head->round, self->how->path, bad, at - bad);
    }
    return 0;
}

int fmq_update_scan(const fmq_update_scan_t *how, uint64_t *end, uint32_t *writers,
                    fmq_error_t *err)
{
    off_t size = lseek(how->fd, 0, SEEK_END);
    if (size < 0)
        return fmq_file_error(err, "look at", how->path);
    scan_t self = {.how = how,
                   .file_size = (uint64_t)size,
                   .chunk = malloc(FMQ_CHUNK_MAX),
                   .window = malloc(WINDOW)};
    int rc = self.chunk && self.window ? scan(&self, err) : no_memory(&self, err);
    *end = self.committed;
    *writers = self.writers;
    for (size_t i = 0; i < self.size; i++)
        free(self.brought[i].places);
    free(self.brought);
    free(self.chunk);
    free(self.window);
    return rc;
}
