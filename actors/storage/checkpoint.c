/*
 * checkpoint.c - one checkpoint: written, verified, and read by section.  Assumes
 * a little endian machine for vectors, as the rest of the program does.
 */
#include "actors/storage/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/storage/checkpoint_head.h"
#include "actors/storage/file.h"
#include "actors/storage/little_endian.h"
#include "fedmq/llm/adapter.h"

#define MAGIC "FMQCKPT\n"
#define PIECE (1u << 20)             /* bytes read or digested at once */
#define FIXED 16u                    /* magic, version, size of the head */
#define FRONT (FMQ_DIGEST_SIZE + 8u) /* before a section: schema, size */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "states are stored little endian");

static fmq_section_t *add(fmq_sections_t *self, const fmq_section_t *section)
{
    size_t at = self->size < FMQ_SECTIONS_MAX ? self->size : FMQ_SECTIONS_MAX - 1;
    self->size++;
    self->items[at] = *section;
    return &self->items[at];
}

fmq_section_t *fmq_sections_add(fmq_sections_t *self, const char *name, const fmq_schema_t *schema,
                                float *vector)
{
    return add(self, &(fmq_section_t){.name = name, .schema = schema, .vector = vector});
}

fmq_section_t *fmq_sections_add_bytes(fmq_sections_t *self, const char *name, void *bytes,
                                      size_t size, size_t capacity)
{
    return add(self,
               &(fmq_section_t){.name = name, .bytes = bytes, .size = size, .capacity = capacity});
}

fmq_section_t *fmq_sections_find(fmq_sections_t *self, const char *name)
{
    for (size_t i = 0; i < self->size && i < FMQ_SECTIONS_MAX; i++)
        if (strcmp(self->items[i].name, name) == 0)
            return &self->items[i];
    return NULL;
}

/* The sections as the file will have them. */
static int tabulate(const fmq_sections_t *sections, fmq_stored_sections_t *table, fmq_error_t *err)
{
    *table = (fmq_stored_sections_t){.size = sections->size};
    if (sections->size > FMQ_SECTIONS_MAX)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "%zu sections; %d fit into a checkpoint",
                             sections->size, FMQ_SECTIONS_MAX);
    for (size_t i = 0; i < sections->size; i++) {
        const fmq_section_t *from = &sections->items[i];
        fmq_stored_section_t *to = &table->items[i];
        size_t length = strlen(from->name);
        if (length >= sizeof to->name)
            return fmq_error_set(err, FMQ_ERR_INTERNAL, "section '%s' has too long a name",
                                 from->name);
        memcpy(to->name, from->name, length + 1);
        to->is_vector = from->schema != NULL;
        to->count = from->schema ? fmq_schema_elements(from->schema) : from->size;
        if (from->schema)
            to->schema = fmq_schema_digest(from->schema);
    }
    return 0;
}

static int write_front(fmq_file_t *file, const fmq_checkpoint_t *checkpoint,
                       const fmq_stored_sections_t *table, fmq_error_t *err)
{
    unsigned char fixed[FIXED], head[FMQ_CHECKPOINT_HEAD_MAX];
    size_t size = fmq_checkpoint_head_encode(checkpoint, table, head, err);
    if (size == 0)
        return -1;
    memcpy(fixed, MAGIC, 8);
    fmq_put_u32(fixed + 8, FMQ_CHECKPOINT_VERSION);
    fmq_put_u32(fixed + 12, (uint32_t)size);
    if (fmq_file_write(file, fixed, sizeof fixed, err) < 0)
        return -1;
    return fmq_file_write(file, head, size, err);
}

static int write_section(fmq_file_t *file, const fmq_section_t *section,
                         const fmq_stored_section_t *stored, fmq_error_t *err)
{
    unsigned char front[FRONT];
    const char *from = section->schema ? (const char *)section->vector : section->bytes;
    memcpy(front, stored->schema.bytes, FMQ_DIGEST_SIZE);
    fmq_put_u64(front + FMQ_DIGEST_SIZE, stored->count);
    if (fmq_file_write(file, front, sizeof front, err) < 0)
        return -1;
    uint64_t bytes = fmq_stored_section_bytes(stored);
    for (uint64_t at = 0; at < bytes; at += PIECE) {
        size_t size = bytes - at < PIECE ? (size_t)(bytes - at) : PIECE;
        if (fmq_file_write(file, from + at, size, err) < 0)
            return -1;
    }
    return 0;
}

int fmq_checkpoint_save(const char *path, const fmq_checkpoint_t *checkpoint,
                        const fmq_sections_t *sections, fmq_error_t *err)
{
    fmq_file_t file;
    fmq_stored_sections_t table;
    int rc = -1;
    if (tabulate(sections, &table, err) < 0 || fmq_file_open(&file, path, err) < 0)
        return fmq_error_prefix(err, "checkpoint");
    fmq_file_begin_digest(&file);
    if (write_front(&file, checkpoint, &table, err) < 0)
        goto fail;
    for (size_t i = 0; i < sections->size; i++)
        if (write_section(&file, &sections->items[i], &table.items[i], err) < 0)
            goto fail;
    fmq_digest_t digest = fmq_file_digest(&file);
    if (fmq_file_write(&file, digest.bytes, FMQ_DIGEST_SIZE, err) < 0)
        goto fail;
    rc = fmq_file_commit(&file, err);
fail:
    fmq_file_abandon(&file);
    return rc < 0 ? fmq_error_prefix(err, "checkpoint") : 0;
}

/* Reads forward through a file. */
typedef struct {
    int fd;
    const char *path;
    uint64_t at;
} reader_t;

static int read_next(reader_t *reader, void *out, size_t size, fmq_error_t *err)
{
    if (fmq_file_read_at(reader->fd, reader->path, reader->at, out, size, err) < 0)
        return -1;
    reader->at += size;
    return 0;
}

/* Is the digest at the end that of everything before?  Asked first, so that
 * nothing is concluded from damaged bytes. */
static int verify(reader_t *reader, fmq_error_t *err)
{
    off_t end = lseek(reader->fd, 0, SEEK_END);
    unsigned char *piece = malloc(PIECE);
    int rc = -1;
    if (!piece) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to read '%s'", reader->path);
        goto fail;
    }
    if (end < FMQ_DIGEST_SIZE) {
        (void)fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is too short", reader->path);
        goto fail;
    }
    uint64_t body = (uint64_t)end - FMQ_DIGEST_SIZE;
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    while (reader->at < body) {
        size_t size = body - reader->at < PIECE ? (size_t)(body - reader->at) : PIECE;
        if (read_next(reader, piece, size, err) < 0)
            goto fail;
        fmq_digest_add(&state, piece, size);
    }
    fmq_digest_t stored, digest = fmq_digest_end(&state);
    if (read_next(reader, stored.bytes, FMQ_DIGEST_SIZE, err) < 0)
        goto fail;
    rc = fmq_digest_equal(&digest, &stored)
             ? 0
             : fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is damaged: its digest is wrong",
                             reader->path);
    reader->at = 0;
fail:
    free(piece);
    return rc;
}

/* Where each section lies: behind its schema and its size. */
static int locate_all(const reader_t *reader, fmq_stored_sections_t *table, fmq_error_t *err)
{
    uint64_t at = reader->at;
    for (size_t i = 0; i < table->size; i++) {
        unsigned char front[FRONT];
        fmq_stored_section_t *section = &table->items[i];
        if (fmq_file_read_at(reader->fd, reader->path, at, front, sizeof front, err) < 0)
            return -1;
        memcpy(section->schema.bytes, front, FMQ_DIGEST_SIZE);
        section->count = fmq_get_u64(front + FMQ_DIGEST_SIZE);
        section->offset = at + sizeof front;
        at = section->offset + fmq_stored_section_bytes(section);
    }
    return 0;
}

/* What the head says, and where the sections lie. */
static int read_front(reader_t *reader, fmq_checkpoint_t *checkpoint, fmq_stored_sections_t *table,
                      fmq_error_t *err)
{
    unsigned char fixed[FIXED], head[FMQ_CHECKPOINT_HEAD_MAX];
    if (read_next(reader, fixed, sizeof fixed, err) < 0)
        return -1;
    uint32_t version = fmq_get_u32(fixed + 8), size = fmq_get_u32(fixed + 12);
    if (memcmp(fixed, MAGIC, 8) != 0 || size > sizeof head)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is not a checkpoint", reader->path);
    if (version < 1 || version > FMQ_CHECKPOINT_VERSION)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "'%s' is a checkpoint of version %u; this program reads versions 1 "
                             "to %u",
                             reader->path, version, FMQ_CHECKPOINT_VERSION);
    if (read_next(reader, head, size, err) < 0 ||
        fmq_checkpoint_head_decode(checkpoint, table, version, head, size, err) < 0)
        return -1;
    return locate_all(reader, table, err);
}

static int mismatch(const char *path, const char *what, const char *name, fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "'%s' holds %s '%s'; use the model, adapter, method and emulator that it "
                         "was made with",
                         path, what, name);
}

static const fmq_stored_section_t *find_stored(const fmq_stored_sections_t *table, const char *name)
{
    for (size_t i = 0; i < table->size; i++)
        if (strcmp(table->items[i].name, name) == 0)
            return &table->items[i];
    return NULL;
}

static int check_vector(const char *path, const fmq_stored_section_t *stored,
                        const fmq_schema_t *schema, fmq_error_t *err)
{
    fmq_digest_t expected = fmq_schema_digest(schema);
    if (!stored->is_vector || !fmq_digest_equal(&stored->schema, &expected) ||
        stored->count != fmq_schema_elements(schema))
        return mismatch(path, "another set of tensors in", stored->name, err);
    return 0;
}

static int read_section(const reader_t *reader, const fmq_stored_section_t *stored,
                        fmq_section_t *out, fmq_error_t *err)
{
    if (out->schema) {
        if (check_vector(reader->path, stored, out->schema, err) < 0)
            return -1;
    } else if (stored->is_vector || stored->count > out->capacity) {
        return mismatch(reader->path, "something else in", stored->name, err);
    } else {
        out->size = (size_t)stored->count;
    }
    out->found = true;
    return fmq_file_read_at(reader->fd, reader->path, stored->offset,
                            out->schema ? (void *)out->vector : out->bytes,
                            (size_t)fmq_stored_section_bytes(stored), err);
}

/* What is wanted is there, and nothing that nobody wants. */
static int check_names(const char *path, const fmq_stored_sections_t *table,
                       fmq_sections_t *sections, fmq_error_t *err)
{
    const char *passed_over = sections->passed_over;
    for (size_t i = 0; i < table->size; i++)
        if (!fmq_sections_find(sections, table->items[i].name) &&
            (!passed_over || strncmp(table->items[i].name, passed_over, strlen(passed_over)) != 0))
            return mismatch(path, "also", table->items[i].name, err);
    for (size_t i = 0; i < sections->size; i++)
        if (!sections->items[i].optional && !find_stored(table, sections->items[i].name))
            return mismatch(path, "no", sections->items[i].name, err);
    return 0;
}

/* The sections end where the digest of all begins. */
static int check_end(const reader_t *reader, const fmq_stored_sections_t *table, fmq_error_t *err)
{
    uint64_t end = reader->at;
    if (table->size > 0)
        end = table->items[table->size - 1].offset +
              fmq_stored_section_bytes(&table->items[table->size - 1]);
    if (lseek(reader->fd, 0, SEEK_END) != (off_t)(end + FMQ_DIGEST_SIZE))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is not as long as it should be",
                             reader->path);
    return 0;
}

static int read_all(reader_t *reader, fmq_sections_t *sections, fmq_checkpoint_t *checkpoint,
                    fmq_error_t *err)
{
    fmq_stored_sections_t table;
    if (sections->size > FMQ_SECTIONS_MAX)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "more sections than a checkpoint can have");
    if (verify(reader, err) < 0 || read_front(reader, checkpoint, &table, err) < 0 ||
        check_names(reader->path, &table, sections, err) < 0)
        return -1;
    for (size_t i = 0; i < sections->size; i++) {
        const fmq_stored_section_t *stored = find_stored(&table, sections->items[i].name);
        sections->items[i].found = false;
        if (stored && read_section(reader, stored, &sections->items[i], err) < 0)
            return -1;
    }
    return check_end(reader, &table, err);
}

static int open_reader(reader_t *reader, const char *path, fmq_error_t *err)
{
    *reader = (reader_t){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (reader->fd >= 0)
        return 0;
    return fmq_error_set(err, errno == ENOENT ? FMQ_ERR_NOTFOUND : FMQ_ERR_IO,
                         "cannot open checkpoint '%s': %s", path, strerror(errno));
}

int fmq_checkpoint_load(const char *path, fmq_sections_t *sections, fmq_checkpoint_t *checkpoint,
                        fmq_error_t *err)
{
    reader_t reader;
    fmq_checkpoint_t found;
    if (open_reader(&reader, path, err) < 0)
        return -1;
    int rc = read_all(&reader, sections, &found, err);
    (void)close(reader.fd);
    if (rc == 0)
        *checkpoint = found;
    return rc;
}

int fmq_checkpoint_read_head(const char *path, fmq_checkpoint_t *checkpoint, fmq_error_t *err)
{
    reader_t reader;
    fmq_stored_sections_t table;
    if (open_reader(&reader, path, err) < 0)
        return -1;
    int rc = verify(&reader, err) < 0 ? -1 : read_front(&reader, checkpoint, &table, err);
    (void)close(reader.fd);
    return rc;
}

int fmq_checkpoint_locate(const char *path, const char *section, const fmq_schema_t *schema,
                          uint64_t *offset, fmq_error_t *err)
{
    reader_t reader;
    fmq_checkpoint_t checkpoint;
    fmq_stored_sections_t table;
    if (open_reader(&reader, path, err) < 0)
        return -1;
    int rc = read_front(&reader, &checkpoint, &table, err);
    (void)close(reader.fd);
    if (rc < 0)
        return -1;
    const fmq_stored_section_t *stored = find_stored(&table, section);
    if (!stored)
        return mismatch(path, "no", section, err);
    if (check_vector(path, stored, schema, err) < 0)
        return -1;
    *offset = stored->offset;
    return 0;
}

int fmq_checkpoint_compare(const fmq_checkpoint_t *self, const char *meaning, const char *path,
                           fmq_error_t *err)
{
    llm_difference_t difference;
    if (!*self->meaning || !llm_meaning_differs(self->meaning, meaning, &difference))
        return 0;
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "'%s' was made with '%s' %s, here it is %s: its numbers would mean "
                         "something else; use the settings that it was made with",
                         path, difference.key, difference.there, difference.here);
}
