/*
 * update_log.c - writes updates beside, commits them in groups, and reads them
 * back in client order.  The format of a file is update_file.c's.
 */
#include "actors/storage/update_log.h"
#include "actors/storage/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/storage/file.h"
#include "actors/storage/update_file.h"
#include "fedmq/broker/object.h"
#include "fedmq/broker/state.h"

#define LIST_FILE_MAX  (1u << 20) /* bytes of plan and closed */
#define OPEN_FILES_MAX 128        /* update files kept open while reading */

typedef struct {
    fmq_update_log_entry_t entry;
    int fd;          /* -1: not open */
    uint32_t chunk;  /* the next one, at ... */
    uint64_t offset; /* ... this place */
} slot_t;

struct fmq_update_log {
    fmq_update_log_options_t options; /* directory and run are owned copies */
    char *directory, *folder;         /* owned */
    char run[FMQ_RUN_ID_SIZE];
    slot_t *slots; /* owned, ascending clients */
    size_t size, capacity, open_files;
    fmq_update_log_writer_t *pending; /* owned list of finished writers */
    unsigned char *bytes;             /* owned: one chunk */
    float *part;                      /* owned: of which a range is read, or NULL */
    float *values;                    /* owned: one range */
};

struct fmq_update_log_writer {
    fmq_update_log_t *journal; /* borrowed */
    fmq_update_log_entry_t entry;
    fmq_file_t file;
    uint32_t chunks;
    fmq_update_log_writer_t *next;
};

static char *update_path(const fmq_update_log_t *self, uint32_t client, fmq_error_t *err)
{
    return fmq_file_path(err, "%s/client-%06u.update", self->folder, client);
}

static fmq_update_head_t head_of(const fmq_update_log_t *self, const fmq_update_log_entry_t *entry)
{
    fmq_update_head_t head = {.round = self->options.round,
                              .client = entry->client,
                              .chunks = fmq_state_chunks(self->options.schema),
                              .samples = entry->samples,
                              .update = entry->update,
                              .schema = fmq_schema_digest(self->options.schema)};
    memcpy(head.run, self->run, sizeof head.run);
    return head;
}

static void close_slot(fmq_update_log_t *self, slot_t *slot)
{
    if (slot->fd >= 0) {
        (void)close(slot->fd);
        self->open_files--;
    }
    slot->fd = -1;
}

/* Puts an entry at its place; a client that is there already is replaced. */
static int insert(fmq_update_log_t *self, const fmq_update_log_entry_t *entry, fmq_error_t *err)
{
    size_t at = 0;
    while (at < self->size && self->slots[at].entry.client < entry->client)
        at++;
    if (at < self->size && self->slots[at].entry.client == entry->client) {
        close_slot(self, &self->slots[at]);
        self->slots[at] = (slot_t){.entry = *entry, .fd = -1, .offset = FMQ_UPDATE_HEAD_SIZE};
        return 0;
    }
    if (self->size == self->capacity) {
        size_t capacity = self->capacity ? 2 * self->capacity : 16;
        slot_t *slots = realloc(self->slots, capacity * sizeof *slots);
        if (!slots)
            return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the journal");
        self->slots = slots;
        self->capacity = capacity;
    }
    memmove(self->slots + at + 1, self->slots + at, (self->size - at) * sizeof *self->slots);
    self->slots[at] = (slot_t){.entry = *entry, .fd = -1, .offset = FMQ_UPDATE_HEAD_SIZE};
    self->size++;
    return 0;
}

/* Takes over one file of an earlier process, or removes it. */
static int recover_file(fmq_update_log_t *self, const char *name, fmq_error_t *err)
{
    unsigned client = 0;
    int end = 0;
    if (sscanf(name, "client-%6u.update%n", &client, &end) != 1 || name[end] != '\0' || end == 0)
        return 0;
    char *path = update_path(self, client, err);
    if (!path)
        return -1;
    fmq_update_log_entry_t entry = {.client = client};
    fmq_update_head_t expected = head_of(self, &entry), head;
    fmq_error_t why;
    int rc = 0;
    if (fmq_update_file_verify(path, &expected, self->bytes, &head, &why) == 0) {
        entry.samples = head.samples;
        entry.update = head.update;
        rc = insert(self, &entry, err);
    } else {
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "journal-file-dropped",
                      "round=%u client=%u reason=\"%s\"", self->options.round, client, why.text);
        (void)unlink(path);
    }
    free(path);
    return rc;
}

static int recover(fmq_update_log_t *self, fmq_error_t *err)
{
    DIR *folder = opendir(self->folder);
    if (!folder)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot open '%s': %s", self->folder,
                             strerror(errno));
    int rc = 0;
    const struct dirent *item;
    while (rc == 0 && (item = readdir(folder)))
        rc = recover_file(self, item->d_name, err);
    (void)closedir(folder);
    return rc;
}

fmq_update_log_t *fmq_update_log_open(const fmq_update_log_options_t *options, fmq_error_t *err)
{
    fmq_update_log_t *self = calloc(1, sizeof *self);
    if (!self) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a journal");
        return NULL;
    }
    self->options = *options;
    (void)snprintf(self->run, sizeof self->run, "%s", options->run);
    self->directory = fmq_file_path(err, "%s", options->directory);
    self->folder = fmq_file_path(err, "%s/round-%06u", options->directory, options->round);
    self->bytes = malloc(FMQ_CHUNK_MAX);
    self->values = malloc(FMQ_STATE_RANGE_MAX * sizeof *self->values);
    if (!self->directory || !self->folder)
        goto fail;
    if (!self->bytes || !self->values) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a journal");
        goto fail;
    }
    if (fmq_directory_make(self->folder, err) < 0 || recover(self, err) < 0 ||
        fmq_directory_sync(self->directory, err) < 0)
        goto fail;
    return self;
fail:
    fmq_update_log_close(&self);
    return NULL;
}

void fmq_update_log_close(fmq_update_log_t **self_p)
{
    fmq_update_log_t *self = *self_p;
    if (!self)
        return;
    while (self->pending) {
        fmq_update_log_writer_t *writer = self->pending;
        self->pending = writer->next;
        fmq_update_log_writer_abandon(&writer);
    }
    for (size_t i = 0; i < self->size; i++)
        close_slot(self, &self->slots[i]);
    free(self->slots);
    free(self->directory);
    free(self->folder);
    free(self->bytes);
    free(self->part);
    free(self->values);
    free(self);
    *self_p = NULL;
}

static void remove_file(const char *folder, const char *name)
{
    char *path = fmq_file_path(NULL, "%s/%s", folder, name);
    if (path)
        (void)unlink(path);
    free(path);
}

void fmq_update_log_remove(const char *directory, uint32_t round)
{
    char *path = fmq_file_path(NULL, "%s/round-%06u", directory, round);
    DIR *folder = path ? opendir(path) : NULL;
    if (folder) {
        const struct dirent *item;
        while ((item = readdir(folder)))
            if (item->d_name[0] != '.')
                remove_file(path, item->d_name);
        (void)closedir(folder);
        (void)rmdir(path);
    }
    free(path);
}

size_t fmq_update_log_size(const fmq_update_log_t *self)
{
    return self->size;
}

const fmq_update_log_entry_t *fmq_update_log_at(const fmq_update_log_t *self, size_t index)
{
    return &self->slots[index].entry;
}

const fmq_update_log_entry_t *fmq_update_log_find(const fmq_update_log_t *self, uint32_t client)
{
    for (size_t i = 0; i < self->size; i++)
        if (self->slots[i].entry.client == client)
            return &self->slots[i].entry;
    return NULL;
}

fmq_update_log_writer_t *fmq_update_log_begin(fmq_update_log_t *self,
                                              const fmq_update_log_entry_t *entry, fmq_error_t *err)
{
    unsigned char bytes[FMQ_UPDATE_HEAD_SIZE];
    fmq_update_head_t head = head_of(self, entry);
    fmq_update_log_writer_t *writer = calloc(1, sizeof *writer);
    char *path = update_path(self, entry->client, err);
    if (!writer || !path) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to journal an update");
        goto fail;
    }
    writer->journal = self;
    writer->entry = *entry;
    writer->file.fd = -1;
    if (fmq_file_open(&writer->file, path, err) < 0)
        goto fail;
    fmq_update_head_encode(&head, bytes);
    if (fmq_file_write(&writer->file, bytes, sizeof bytes, err) < 0)
        goto fail;
    free(path);
    return writer;
fail:
    free(path);
    if (writer)
        fmq_update_log_writer_abandon(&writer);
    return NULL;
}

int fmq_update_log_writer_add(fmq_update_log_writer_t *writer, const void *data, size_t size,
                              fmq_error_t *err)
{
    fmq_update_log_t *self = writer->journal;
    if (writer->chunks >= fmq_state_chunks(self->options.schema))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "an update has more than its %u chunks",
                             writer->chunks);
    if (size > FMQ_CHUNK_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "a chunk of %zu bytes; the limit is %u", size,
                             FMQ_CHUNK_MAX);
    if (fmq_state_decode(self->options.schema, writer->chunks, data, size, self->values, err) < 0)
        return fmq_error_prefix(err, "chunk %u", writer->chunks);
    unsigned char length[4];
    fmq_update_put_u32(length, (uint32_t)size);
    if (fmq_file_write(&writer->file, length, sizeof length, err) < 0 ||
        fmq_file_write(&writer->file, data, size, err) < 0)
        return -1;
    writer->chunks++;
    return 0;
}

uint32_t fmq_update_log_writer_chunks(const fmq_update_log_writer_t *writer)
{
    return writer->chunks;
}

int fmq_update_log_writer_finish(fmq_update_log_writer_t **writer_p, const fmq_digest_t *verified,
                                 fmq_error_t *err)
{
    fmq_update_log_writer_t *writer = *writer_p;
    fmq_update_log_t *self = writer->journal;
    uint32_t chunks = fmq_state_chunks(self->options.schema);
    if (writer->chunks != chunks)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "an update has %u of its %u chunks",
                             writer->chunks, chunks);
    if (!fmq_digest_equal(verified, &writer->entry.update))
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "an update is not what its digest says");
    writer->next = self->pending;
    self->pending = writer;
    *writer_p = NULL;
    return 0;
}

void fmq_update_log_writer_abandon(fmq_update_log_writer_t **writer_p)
{
    fmq_update_log_writer_t *writer = *writer_p;
    if (!writer)
        return;
    fmq_file_abandon(&writer->file);
    free(writer);
    *writer_p = NULL;
}

size_t fmq_update_log_pending(const fmq_update_log_t *self)
{
    size_t size = 0;
    for (const fmq_update_log_writer_t *writer = self->pending; writer; writer = writer->next)
        size++;
    return size;
}

int fmq_update_log_commit(fmq_update_log_t *self, void (*committed)(void *, uint32_t client),
                          void *argument, fmq_error_t *err)
{
    if (!self->pending)
        return 0;
    for (fmq_update_log_writer_t *writer = self->pending; writer; writer = writer->next)
        if (fmq_file_sync(&writer->file, err) < 0)
            return -1;
    for (fmq_update_log_writer_t *writer = self->pending; writer; writer = writer->next)
        if (fmq_file_rename(&writer->file, err) < 0)
            return -1;
    if (fmq_directory_sync(self->folder, err) < 0)
        return -1;
    while (self->pending) {
        fmq_update_log_writer_t *writer = self->pending;
        if (insert(self, &writer->entry, err) < 0)
            return -1;
        if (committed)
            committed(argument, writer->entry.client);
        self->pending = writer->next;
        fmq_update_log_writer_abandon(&writer);
    }
    return 0;
}

/* Opens the file of a slot; beyond OPEN_FILES_MAX it is closed after the read. */
static int open_slot(fmq_update_log_t *self, slot_t *slot, const char *path, fmq_error_t *err)
{
    if (slot->fd >= 0)
        return 0;
    slot->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (slot->fd < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    self->open_files++;
    return 0;
}

int fmq_update_log_read(fmq_update_log_t *self, size_t index, uint32_t chunk, float *values,
                        fmq_error_t *err)
{
    slot_t *slot = &self->slots[index];
    char *path = update_path(self, slot->entry.client, err);
    int rc = -1;
    size_t size = 0;
    if (!path || open_slot(self, slot, path, err) < 0)
        goto fail;
    if (chunk < slot->chunk) {
        slot->chunk = 0;
        slot->offset = FMQ_UPDATE_HEAD_SIZE;
    }
    for (; slot->chunk <= chunk; slot->chunk++)
        if (fmq_update_file_chunk(slot->fd, path, &slot->offset,
                                  slot->chunk == chunk ? self->bytes : NULL, &size, err) < 0)
            goto fail;
    if (fmq_state_decode(self->options.schema, chunk, self->bytes, size, values, err) < 0) {
        (void)fmq_error_prefix(err, "'%s'", path);
        goto fail;
    }
    if (self->open_files > OPEN_FILES_MAX)
        close_slot(self, slot);
    rc = 0;
fail:
    free(path);
    return rc;
}

int fmq_update_log_read_range(fmq_update_log_t *self, size_t index, uint64_t first, uint64_t count,
                              float *values, fmq_error_t *err)
{
    uint32_t chunk = (uint32_t)(first / FMQ_STATE_RANGE_MAX);
    uint64_t from, whole;
    fmq_state_range(self->options.schema, chunk, &from, &whole);
    if (first == from && count == whole)
        return fmq_update_log_read(self, index, chunk, values, err);
    if (!self->part && !(self->part = malloc(FMQ_STATE_RANGE_MAX * sizeof *self->part)))
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to read an update");
    if (fmq_update_log_read(self, index, chunk, self->part, err) < 0)
        return -1;
    memcpy(values, self->part + (first - from), (size_t)count * sizeof *values);
    return 0;
}

static const char *const list_names[] = {"plan", "closed"};

/* "<run> <round> <count> <client>...\n" and the digest of that line. */
int fmq_update_log_save_list(fmq_update_log_t *self, fmq_update_log_list_t which,
                             const uint32_t *clients, size_t size, fmq_error_t *err)
{
    int rc = -1;
    size_t capacity = 256 + 12 * size, at = 0;
    char *path = fmq_file_path(err, "%s/%s", self->folder, list_names[which]);
    char *text = malloc(capacity);
    if (!path || !text) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a journal's list");
        goto fail;
    }
    at = (size_t)snprintf(text, capacity, "%s %u %zu", self->run, self->options.round, size);
    for (size_t i = 0; i < size; i++)
        at += (size_t)snprintf(text + at, capacity - at, " %u", clients[i]);
    at += (size_t)snprintf(text + at, capacity - at, "\n");
    fmq_digest_t digest = fmq_digest_of(text, at);
    fmq_digest_hex(&digest, text + at);
    at += FMQ_DIGEST_HEX_SIZE - 1;
    rc = fmq_file_save(path, text, at, err);
fail:
    free(text);
    free(path);
    return rc;
}

/* Parses text in place; the number of clients, or -1 when it is not ours. */
static int64_t parse_list(const fmq_update_log_t *self, const char *text, size_t size,
                          uint32_t **clients)
{
    char expected[FMQ_DIGEST_HEX_SIZE];
    const char *end = memchr(text, '\n', size);
    if (!end)
        return -1;
    fmq_digest_t digest = fmq_digest_of(text, (size_t)(end - text) + 1);
    fmq_digest_hex(&digest, expected);
    if (strcmp(end + 1, expected) != 0)
        return -1;
    char run[FMQ_RUN_ID_SIZE];
    unsigned round = 0;
    size_t count = 0;
    int used = 0;
    if (sscanf(text, "%32s %u %zu%n", run, &round, &count, &used) != 3 ||
        strcmp(run, self->run) != 0 || round != self->options.round || count > size)
        return -1;
    uint32_t *list = calloc(count + 1, sizeof *list);
    const char *at = text + used;
    for (size_t i = 0; list && i < count; i++) {
        char *next = NULL;
        list[i] = (uint32_t)strtoul(at, &next, 10);
        at = next;
    }
    *clients = list;
    return list ? (int64_t)count : -1;
}

int fmq_update_log_load_list(fmq_update_log_t *self, fmq_update_log_list_t which,
                             uint32_t **clients, size_t *size, fmq_error_t *err)
{
    size_t bytes = 0;
    fmq_error_t why;
    char *path = fmq_file_path(err, "%s/%s", self->folder, list_names[which]);
    if (!path)
        return -1;
    int rc = 0;
    char *text = fmq_file_load(path, LIST_FILE_MAX, &bytes, &why);
    if (text) {
        int64_t count = parse_list(self, text, bytes, clients);
        if (count >= 0) {
            *size = (size_t)count;
            rc = 1;
        } else {
            fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "journal-file-dropped",
                          "round=%u file=%s reason=\"not intact or of another run\"",
                          self->options.round, list_names[which]);
        }
    } else if (why.code != FMQ_ERR_NOTFOUND) {
        rc = fmq_error_set(err, why.code, "%s", why.text);
    }
    free(text);
    free(path);
    return rc;
}

void fmq_update_log_keep(fmq_update_log_t *self, const uint32_t *clients, size_t size)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->size; i++) {
        bool wanted = false;
        for (size_t j = 0; j < size && !wanted; j++)
            wanted = clients[j] == self->slots[i].entry.client;
        if (wanted)
            self->slots[kept++] = self->slots[i];
        else
            close_slot(self, &self->slots[i]);
    }
    self->size = kept;
}
