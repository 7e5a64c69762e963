/*
 * update_log.c - appends updates chunk by chunk, commits them in groups, and reads
 * them back in client order.  The bytes are update_record.c's, what an earlier
 * process left update_scan.c reads.
 *
 * The file grows at its end only.  What a writer has brought when it gives up is
 * cut off where it lies at the end, and is else given back to the disk as a hole.
 */
#include "actors/storage/update_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/storage/client_list.h"
#include "actors/storage/directory.h"
#include "actors/storage/file.h"
#include "actors/storage/record_file.h"
#include "actors/storage/update_file.h"
#include "actors/storage/update_scan.h"
#include "fedmq/broker/object.h"
#include "fedmq/broker/state.h"

typedef struct {
    fmq_update_log_entry_t entry;
    fmq_chunk_place_t *places; /* owned: of the chunks */
} slot_t;

struct fmq_update_log {
    fmq_update_log_options_t options; /* directory and run are the caller's while it opens */
    char *folder;                     /* owned */
    fmq_record_file_t file; /* its head says which run, and how many chunks an update has */
    uint32_t writers;       /* numbers that are given away */
    slot_t *slots;          /* owned, ascending clients */
    size_t size, capacity;
    fmq_update_log_writer_t *pending; /* owned list of finished writers */
    unsigned char *bytes;             /* owned: one chunk */
    float *values;                    /* owned: one range */
};

struct fmq_update_log_writer {
    fmq_update_log_t *journal; /* borrowed */
    fmq_update_log_entry_t entry;
    uint32_t number, chunks;
    fmq_chunk_place_t *places; /* owned */
    fmq_update_log_writer_t *next;
};

static int no_memory(fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the log of updates");
}

/* Where a client's entry is, or would be. */
static size_t position(const fmq_update_log_t *self, uint32_t client)
{
    size_t low = 0, high = self->size;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->slots[middle].entry.client < client)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const fmq_update_log_t *self, size_t at, uint32_t client)
{
    return at < self->size && self->slots[at].entry.client == client;
}

/* Puts an entry at its place; a client that is there already is replaced.  Takes
 * places over. */
static int insert(fmq_update_log_t *self, const fmq_update_log_entry_t *entry,
                  fmq_chunk_place_t **places, fmq_error_t *err)
{
    size_t at = position(self, entry->client);
    if (is_at(self, at, entry->client)) {
        free(self->slots[at].places);
    } else {
        if (self->size == self->capacity) {
            size_t capacity = self->capacity ? 2 * self->capacity : 16;
            slot_t *slots = realloc(self->slots, capacity * sizeof *slots);
            if (!slots)
                return no_memory(err);
            self->slots = slots;
            self->capacity = capacity;
        }
        memmove(self->slots + at + 1, self->slots + at, (self->size - at) * sizeof *self->slots);
        self->size++;
    }
    self->slots[at] = (slot_t){.entry = *entry, .places = *places};
    *places = NULL;
    return 0;
}

static bool is_ours(const fmq_update_log_t *self, const fmq_updates_head_t *found)
{
    const fmq_updates_head_t *ours = &self->file.head;
    return strcmp(found->run, ours->run) == 0 && found->round == ours->round &&
           found->chunks == ours->chunks && fmq_digest_equal(&found->schema, &ours->schema);
}

static int take_found(void *argument, const fmq_commit_item_t *item, fmq_chunk_place_t **places,
                      fmq_error_t *err)
{
    const fmq_update_log_entry_t entry = {.client = item->client,
                                          .samples = item->samples,
                                          .update = item->update,
                                          .base = item->base};
    return insert(argument, &entry, places, err);
}

static int drop_file(fmq_update_log_t *self, const char *reason)
{
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "journal-file-dropped",
                  "round=%u file=" FMQ_UPDATES_NAME " reason=\"%s\"", self->options.round, reason);
    (void)unlink(self->file.path);
    fmq_record_file_close(&self->file);
    return 0;
}

static int scan(fmq_update_log_t *self, fmq_error_t *err)
{
    uint64_t end = 0;
    const fmq_update_scan_t how = {.fd = self->file.fd,
                                   .path = self->file.path,
                                   .head = &self->file.head,
                                   .log = self->options.log,
                                   .found = take_found,
                                   .argument = self};
    if (fmq_update_scan(&how, &end, &self->writers, err) < 0)
        return -1;
    off_t size = lseek(self->file.fd, 0, SEEK_END);
    if (size > 0 && (uint64_t)size > end)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "journal-cut",
                      "round=%u offset=%" PRIu64 " bytes=%" PRIu64
                      " reason=\"written, but never committed\"",
                      self->options.round, end, (uint64_t)size - end);
    return fmq_record_file_cut(&self->file, end, err);
}

/* Takes over what an earlier process left. */
static int recover(fmq_update_log_t *self, fmq_error_t *err)
{
    unsigned char bytes[FMQ_UPDATES_HEAD_SIZE];
    fmq_updates_head_t found;
    fmq_error_t why = {0};
    self->file.fd = open(self->file.path, O_RDWR | O_CLOEXEC);
    if (self->file.fd < 0)
        return errno == ENOENT ? 0 : fmq_file_error(err, "open", self->file.path);
    if (fmq_file_read_at(self->file.fd, self->file.path, 0, bytes, sizeof bytes, &why) < 0) {
        if (why.code == FMQ_ERR_FORMAT)
            return drop_file(self, why.text);
        return fmq_error_copy(err, &why);
    }
    if (fmq_updates_head_decode(&found, bytes, &why) < 0)
        return drop_file(self, why.text);
    if (!is_ours(self, &found))
        return drop_file(self, "of another run, round or schema than expected");
    self->file.head = found;
    return scan(self, err);
}

static int add_chunk(void *argument, const void *data, size_t size, fmq_error_t *err)
{
    return fmq_update_log_writer_add(argument, data, size, err);
}

/* One file of a program that kept each update in a file of its own: into the log,
 * or dropped. */
static int import_file(fmq_update_log_t *self, const char *name, fmq_error_t *err)
{
    const fmq_updates_head_t *ours = &self->file.head;
    unsigned client = 0;
    int end = 0;
    if (sscanf(name, "client-%6u.update%n", &client, &end) != 1 || name[end] != '\0' || end == 0)
        return 0;
    char *path = fmq_file_path(err, "%s/%s", self->folder, name);
    if (!path)
        return -1;
    fmq_update_head_t expected = {.round = ours->round,
                                  .client = client,
                                  .chunks = ours->chunks,
                                  .schema = ours->schema},
                      head;
    fmq_error_t why;
    int rc = 0;
    memcpy(expected.run, ours->run, sizeof expected.run);
    if (fmq_update_file_verify(path, &expected, self->bytes, &head, &why) < 0) {
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "journal-file-dropped",
                      "round=%u client=%u reason=\"%s\"", self->options.round, client, why.text);
        (void)unlink(path);
    } else {
        const fmq_update_log_entry_t entry = {.client = client,
                                              .samples = head.samples,
                                              .update = head.update,
                                              .base = self->options.round};
        fmq_update_log_writer_t *writer = fmq_update_log_begin(self, &entry, err);
        rc = writer ? fmq_update_file_each(path, ours->chunks, self->bytes, add_chunk, writer, err)
                    : -1;
        if (rc == 0)
            rc = fmq_update_log_writer_finish(&writer, &head.update, err);
        fmq_update_log_writer_abandon(&writer);
    }
    free(path);
    return rc;
}

/* Calls each(self, name) for the files of the folder. */
static int each_file(fmq_update_log_t *self,
                     int (*each)(fmq_update_log_t *, const char *, fmq_error_t *), fmq_error_t *err)
{
    DIR *folder = opendir(self->folder);
    if (!folder)
        return fmq_file_error(err, "open", self->folder);
    int rc = 0;
    const struct dirent *item;
    while (rc == 0 && (item = readdir(folder)))
        rc = each(self, item->d_name, err);
    (void)closedir(folder);
    return rc;
}

static int unlink_imported(fmq_update_log_t *self, const char *name, fmq_error_t *err)
{
    unsigned client = 0;
    char *path = NULL;
    if (sscanf(name, "client-%6u.update", &client) == 1 &&
        (path = fmq_file_path(err, "%s/%s", self->folder, name)))
        (void)unlink(path);
    free(path);
    return 0;
}

static int import_old(fmq_update_log_t *self, fmq_error_t *err)
{
    if (each_file(self, import_file, err) < 0)
        return -1;
    if (!self->pending)
        return 0;
    if (fmq_update_log_commit(self, NULL, NULL, err) < 0)
        return -1;
    return each_file(self, unlink_imported, err);
}

static int prepare(fmq_update_log_t *self, fmq_error_t *err)
{
    const fmq_update_log_options_t *options = &self->options;
    self->folder = fmq_file_path(err, "%s/round-%06u", options->directory, options->round);
    self->file.path =
        fmq_file_path(err, "%s/round-%06u/" FMQ_UPDATES_NAME, options->directory, options->round);
    self->bytes = malloc(FMQ_CHUNK_MAX);
    self->values = malloc(FMQ_STATE_RANGE_MAX * sizeof *self->values);
    if (!self->folder || !self->file.path || !self->bytes || !self->values)
        return no_memory(err);
    self->file.head = (fmq_updates_head_t){.round = options->round,
                                           .chunks = fmq_state_chunks(options->schema),
                                           .schema = fmq_schema_digest(options->schema)};
    (void)snprintf(self->file.head.run, sizeof self->file.head.run, "%s", options->run);
    return 0;
}

fmq_update_log_t *fmq_update_log_open(const fmq_update_log_options_t *options, fmq_error_t *err)
{
    fmq_update_log_t *self = calloc(1, sizeof *self);
    if (!self) {
        (void)no_memory(err);
        return NULL;
    }
    self->options = *options;
    self->file.fd = -1;
    if (prepare(self, err) < 0 || fmq_directory_make(self->folder, err) < 0 ||
        recover(self, err) < 0 || import_old(self, err) < 0 ||
        fmq_directory_sync(options->directory, err) < 0)
        fmq_update_log_close(&self);
    return self;
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
    fmq_record_file_close(&self->file);
    for (size_t i = 0; i < self->size; i++)
        free(self->slots[i].places);
    free(self->slots);
    free(self->folder);
    free(self->file.path);
    free(self->bytes);
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

uint32_t fmq_update_log_round(const fmq_update_log_t *self)
{
    return self->options.round;
}

const fmq_update_log_entry_t *fmq_update_log_at(const fmq_update_log_t *self, size_t index)
{
    return &self->slots[index].entry;
}

const fmq_update_log_entry_t *fmq_update_log_find(const fmq_update_log_t *self, uint32_t client)
{
    size_t at = position(self, client);
    return is_at(self, at, client) ? &self->slots[at].entry : NULL;
}

fmq_update_log_writer_t *fmq_update_log_begin(fmq_update_log_t *self,
                                              const fmq_update_log_entry_t *entry, fmq_error_t *err)
{
    if (fmq_record_file_begin(&self->file, err) < 0)
        return NULL;
    fmq_update_log_writer_t *writer = calloc(1, sizeof *writer);
    uint32_t chunks = self->file.head.chunks;
    fmq_chunk_place_t *places = calloc(chunks ? chunks : 1, sizeof *places);
    if (!writer || !places) {
        free(writer);
        free(places);
        (void)no_memory(err);
        return NULL;
    }
    *writer = (fmq_update_log_writer_t){
        .journal = self, .entry = *entry, .number = self->writers++, .places = places};
    return writer;
}

int fmq_update_log_writer_add(fmq_update_log_writer_t *writer, const void *data, size_t size,
                              fmq_error_t *err)
{
    fmq_update_log_t *self = writer->journal;
    if (writer->chunks >= self->file.head.chunks)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "an update has more than its %u chunks",
                             writer->chunks);
    if (size > FMQ_CHUNK_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "a chunk of %zu bytes; the limit is %u", size,
                             FMQ_CHUNK_MAX);
    if (fmq_state_decode(self->options.schema, writer->chunks, data, size, self->values, err) < 0)
        return fmq_error_prefix(err, "chunk %u", writer->chunks);
    const fmq_record_t record = {.kind = FMQ_RECORD_CHUNK,
                                 .writer = writer->number,
                                 .index = writer->chunks,
                                 .size = (uint32_t)size};
    uint64_t at = 0;
    if (fmq_record_file_append(&self->file, &record, data, &at, err) < 0)
        return -1;
    writer->places[writer->chunks++] = fmq_chunk_place(at, size);
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
    if (writer->chunks != self->file.head.chunks)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "an update has %u of its %u chunks",
                             writer->chunks, self->file.head.chunks);
    if (!fmq_digest_equal(verified, &writer->entry.update))
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "an update is not what its digest says");
    writer->next = self->pending;
    self->pending = writer;
    *writer_p = NULL;
    return 0;
}

/* Gives what nobody will read back to the disk; what cannot be given back lies
 * there until the round is removed. */
static void give_back(fmq_update_log_writer_t *writer)
{
    fmq_update_log_t *self = writer->journal;
    fmq_error_t ignored;
    uint64_t end = self->file.end;
    uint32_t chunks = writer->chunks;
    while (chunks > 0 && fmq_chunk_place_offset(writer->places[chunks - 1]) +
                                 fmq_chunk_place_size(writer->places[chunks - 1]) ==
                             end)
        end = fmq_chunk_place_offset(writer->places[--chunks]) - FMQ_RECORD_HEAD_SIZE;
    if (end < self->file.end)
        (void)fmq_record_file_cut(&self->file, end, &ignored);
    for (uint32_t i = 0; i < chunks; i++)
        fmq_record_file_punch(&self->file, fmq_chunk_place_offset(writer->places[i]),
                              fmq_chunk_place_size(writer->places[i]));
}

static void release(fmq_update_log_writer_t *writer)
{
    free(writer->places);
    free(writer);
}

void fmq_update_log_writer_abandon(fmq_update_log_writer_t **writer_p)
{
    fmq_update_log_writer_t *writer = *writer_p;
    if (!writer)
        return;
    give_back(writer);
    release(writer);
    *writer_p = NULL;
}

size_t fmq_update_log_pending(const fmq_update_log_t *self)
{
    size_t size = 0;
    for (const fmq_update_log_writer_t *writer = self->pending; writer; writer = writer->next)
        size++;
    return size;
}

static int append_commit(fmq_update_log_t *self, fmq_error_t *err)
{
    size_t size = fmq_update_log_pending(self) * FMQ_COMMIT_ITEM_SIZE, at = 0;
    unsigned char *items = malloc(size + FMQ_DIGEST_SIZE);
    if (!items)
        return no_memory(err);
    for (const fmq_update_log_writer_t *writer = self->pending; writer; writer = writer->next) {
        const fmq_commit_item_t item = {.client = writer->entry.client,
                                        .base = writer->entry.base,
                                        .writer = writer->number,
                                        .samples = writer->entry.samples,
                                        .update = writer->entry.update};
        fmq_commit_item_encode(&item, items + at);
        at += FMQ_COMMIT_ITEM_SIZE;
    }
    fmq_digest_t digest = fmq_commit_digest(&self->file.head.salt,
                                            self->file.end + FMQ_RECORD_HEAD_SIZE, items, size);
    memcpy(items + size, digest.bytes, FMQ_DIGEST_SIZE);
    const fmq_record_t record = {.kind = FMQ_RECORD_COMMIT,
                                 .size = (uint32_t)(size + FMQ_DIGEST_SIZE)};
    uint64_t before = self->file.end;
    int rc = fmq_record_file_append(&self->file, &record, items, NULL, err);
    if (rc == 0 && (rc = fmq_record_file_write(&self->file, err)) < 0) {
        fmq_error_t ignored; /* a later commit says it again */
        (void)fmq_record_file_cut(&self->file, before, &ignored);
    }
    free(items);
    return rc;
}

int fmq_update_log_commit(fmq_update_log_t *self, void (*committed)(void *, uint32_t client),
                          void *argument, fmq_error_t *err)
{
    if (!self->pending)
        return 0;
    if (append_commit(self, err) < 0 || fmq_record_file_sync(&self->file, self->folder, err) < 0)
        return -1;
    while (self->pending) {
        fmq_update_log_writer_t *writer = self->pending;
        if (insert(self, &writer->entry, &writer->places, err) < 0)
            return -1;
        if (committed)
            committed(argument, writer->entry.client);
        self->pending = writer->next;
        release(writer);
    }
    return 0;
}

int fmq_update_log_read_range(fmq_update_log_t *self, size_t index, uint64_t first, uint64_t count,
                              float *values, fmq_error_t *err)
{
    const slot_t *slot = &self->slots[index];
    const fmq_state_part_t part = {first, count};
    fmq_chunk_place_t place = slot->places[first / FMQ_STATE_RANGE_MAX];
    size_t size = fmq_chunk_place_size(place);
    if (fmq_file_read_at(self->file.fd, self->file.path, fmq_chunk_place_offset(place), self->bytes,
                         size, err) < 0)
        return -1;
    if (fmq_state_decode_part(self->options.schema, &part, self->bytes, size, values, err) < 0)
        return fmq_error_prefix(err, "'%s', client %u", self->file.path, slot->entry.client);
    return 0;
}

static fmq_client_list_t list_of(const fmq_update_log_t *self, fmq_update_log_list_t which)
{
    static const char *const names[] = {"plan", "closed"};
    return (fmq_client_list_t){.folder = self->folder,
                               .name = names[which],
                               .run = self->file.head.run,
                               .round = self->options.round,
                               .log = self->options.log};
}

int fmq_update_log_save_list(fmq_update_log_t *self, fmq_update_log_list_t which,
                             const uint32_t *clients, size_t size, fmq_error_t *err)
{
    fmq_client_list_t list = list_of(self, which);
    return fmq_client_list_save(&list, clients, size, err);
}

int fmq_update_log_load_list(fmq_update_log_t *self, fmq_update_log_list_t which,
                             uint32_t **clients, size_t *size, fmq_error_t *err)
{
    fmq_client_list_t list = list_of(self, which);
    return fmq_client_list_load(&list, clients, size, err);
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
            free(self->slots[i].places);
    }
    self->size = kept;
}
