/*
 * checkpoint.c - saves, verifies and finds checkpoints.  Assumes a little
 * endian machine for the state itself, as the rest of the program does.
 */
#include "actors/storage/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/storage/file.h"
#include "fedmq/broker/pack.h"
#include "fedmq/llm/adapter.h"

#define MAGIC    "FMQCKPT\n"
#define PLAIN    1u           /* version without an emulator, as it was first */
#define OFFSITE  2u           /* the same with one */
#define MEANT    2u           /* added to either: with the meaning of the state's numbers */
#define HEAD_MAX (16u * 1024) /* bytes of the msgpack map */
#define PIECE    (1u << 20)   /* bytes read or digested at once */
#define FIXED    16u          /* magic, version, size of the head */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "states are stored little endian");

static void pack_best(fmq_packer_t *packer, const fmq_best_t *best)
{
    fmq_pack_array(packer, 3);
    fmq_pack_bool(packer, best->any);
    fmq_pack_real(packer, best->value);
    fmq_pack_uint(packer, best->round);
}

static void pack_early_stop(fmq_packer_t *packer, const fmq_early_stop_t *stop)
{
    fmq_pack_array(packer, 4);
    fmq_pack_bool(packer, stop->any);
    fmq_pack_real(packer, stop->best);
    fmq_pack_uint(packer, stop->worse);
    fmq_pack_array(packer, stop->size);
    for (uint32_t i = 0; i < stop->size; i++)
        fmq_pack_real(packer, stop->last[i]);
}

static size_t encode_head(const fmq_checkpoint_t *checkpoint, void *out, fmq_error_t *err)
{
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, HEAD_MAX);
    fmq_pack_array(&packer, 9);
    fmq_pack_str(&packer, checkpoint->run);
    fmq_pack_uint(&packer, checkpoint->round);
    fmq_pack_uint(&packer, checkpoint->epoch);
    fmq_pack_uint(&packer, checkpoint->empty_rounds);
    fmq_pack_bin(&packer, checkpoint->model.bytes, FMQ_DIGEST_SIZE);
    pack_early_stop(&packer, &checkpoint->early_stop);
    pack_best(&packer, &checkpoint->best);
    fmq_pack_uint(&packer, checkpoint->aligned);
    fmq_pack_str(&packer, checkpoint->meaning);
    return fmq_packer_end(&packer, err);
}

static void expect_array(fmq_unpacker_t *unpacker, uint32_t items)
{
    if (fmq_unpack_array(unpacker, items) != items)
        fmq_unpack_fail(unpacker, "a list of another length was expected");
}

static int decode_head(fmq_checkpoint_t *out, uint32_t version, const void *data, size_t size,
                       fmq_error_t *err)
{
    fmq_unpacker_t unpacker;
    fmq_unpacker_init(&unpacker, data, size);
    memset(out, 0, sizeof *out);
    expect_array(&unpacker, version == PLAIN ? 7 : version == OFFSITE ? 8 : 9);
    fmq_unpack_str(&unpacker, out->run, sizeof out->run);
    out->round = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    out->epoch = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    out->empty_rounds = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    fmq_unpack_bin_exact(&unpacker, out->model.bytes, FMQ_DIGEST_SIZE);
    fmq_early_stop_t *stop = &out->early_stop;
    expect_array(&unpacker, 4);
    stop->any = fmq_unpack_bool(&unpacker);
    stop->best = fmq_unpack_real(&unpacker);
    stop->worse = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    stop->size = fmq_unpack_array(&unpacker, FMQ_EARLY_STOP_WINDOW_MAX);
    for (uint32_t i = 0; i < stop->size; i++)
        stop->last[i] = fmq_unpack_real(&unpacker);
    expect_array(&unpacker, 3);
    out->best.any = fmq_unpack_bool(&unpacker);
    out->best.value = fmq_unpack_real(&unpacker);
    out->best.round = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    if (version != PLAIN)
        out->aligned = (uint32_t)fmq_unpack_uint(&unpacker, UINT32_MAX);
    if (version > OFFSITE)
        fmq_unpack_str(&unpacker, out->meaning, sizeof out->meaning);
    return fmq_unpack_done(&unpacker, err);
}

static void put_u32(unsigned char *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(value >> 8 * i);
}

static uint32_t get_u32(const unsigned char *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static int write_front(fmq_file_t *file, const fmq_checkpoint_t *checkpoint, uint32_t version,
                       fmq_error_t *err)
{
    unsigned char fixed[FIXED], head[HEAD_MAX];
    size_t size = encode_head(checkpoint, head, err);
    if (size == 0)
        return -1;
    memcpy(fixed, MAGIC, 8);
    put_u32(fixed + 8, version);
    put_u32(fixed + 12, (uint32_t)size);
    if (fmq_file_write(file, fixed, sizeof fixed, err) < 0)
        return -1;
    return fmq_file_write(file, head, size, err);
}

/* Digest of the schema, elements, values. */
static int write_vector(fmq_file_t *file, const fmq_schema_t *schema, const float *values,
                        fmq_error_t *err)
{
    unsigned char elements[8];
    fmq_digest_t digest = fmq_schema_digest(schema);
    uint64_t count = fmq_schema_elements(schema), bytes = count * sizeof *values;
    put_u32(elements, (uint32_t)count);
    put_u32(elements + 4, (uint32_t)(count >> 32));
    if (fmq_file_write(file, digest.bytes, FMQ_DIGEST_SIZE, err) < 0 ||
        fmq_file_write(file, elements, sizeof elements, err) < 0)
        return -1;
    for (uint64_t at = 0; at < bytes; at += PIECE) {
        size_t size = bytes - at < PIECE ? (size_t)(bytes - at) : PIECE;
        if (fmq_file_write(file, (const char *)values + at, size, err) < 0)
            return -1;
    }
    return 0;
}

int fmq_checkpoint_save(const char *path, const fmq_checkpoint_t *checkpoint,
                        const fmq_vectors_t *vectors, fmq_error_t *err)
{
    fmq_file_t file;
    bool offsite = vectors->emulator_schema != NULL;
    int rc = -1;
    if (fmq_file_open(&file, path, err) < 0)
        return fmq_error_prefix(err, "checkpoint");
    fmq_file_begin_digest(&file);
    if (write_front(&file, checkpoint, (offsite ? OFFSITE : PLAIN) + MEANT, err) < 0 ||
        write_vector(&file, vectors->schema, vectors->state, err) < 0 ||
        (offsite && write_vector(&file, vectors->emulator_schema, vectors->emulator, err) < 0))
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

static int mismatch(const reader_t *reader, const char *what, fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "'%s' holds %s; use the model, adapter and emulator that it was made with",
                         reader->path, what);
}

/* Reads up to the vectors.  offsite: whether an emulator belongs behind them;
 * NULL: that does not matter. */
static int read_front(reader_t *reader, const bool *offsite, fmq_checkpoint_t *checkpoint,
                      fmq_error_t *err)
{
    unsigned char fixed[FIXED], head[HEAD_MAX];
    if (read_next(reader, fixed, sizeof fixed, err) < 0)
        return -1;
    uint32_t version = get_u32(fixed + 8), size = get_u32(fixed + 12);
    if (memcmp(fixed, MAGIC, 8) != 0 || size > HEAD_MAX)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is not a checkpoint", reader->path);
    if (version < PLAIN || version > OFFSITE + MEANT)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "'%s' is a checkpoint of version %u; this program reads versions %u "
                             "to %u",
                             reader->path, version, PLAIN, OFFSITE + MEANT);
    if (offsite && (version % MEANT == 0) != *offsite)
        return mismatch(reader, *offsite ? "no emulator" : "an emulator (offsite tuning)", err);
    if (read_next(reader, head, size, err) < 0)
        return -1;
    return decode_head(checkpoint, version, head, size, err);
}

/* Up to a vector's values. */
static int read_vector_front(reader_t *reader, const fmq_schema_t *schema, fmq_error_t *err)
{
    unsigned char elements[8];
    fmq_digest_t digest, expected = fmq_schema_digest(schema);
    if (read_next(reader, digest.bytes, FMQ_DIGEST_SIZE, err) < 0 ||
        read_next(reader, elements, sizeof elements, err) < 0)
        return -1;
    uint64_t count = get_u32(elements) | (uint64_t)get_u32(elements + 4) << 32;
    if (!fmq_digest_equal(&digest, &expected) || count != fmq_schema_elements(schema))
        return mismatch(reader, "another set of trainable tensors", err);
    return 0;
}

static int read_vector(reader_t *reader, const fmq_schema_t *schema, float *values,
                       fmq_error_t *err)
{
    if (read_vector_front(reader, schema, err) < 0)
        return -1;
    return read_next(reader, values, (size_t)fmq_schema_elements(schema) * sizeof *values, err);
}

static int read_all(reader_t *reader, const fmq_vectors_t *vectors, fmq_checkpoint_t *checkpoint,
                    fmq_error_t *err)
{
    bool offsite = vectors->emulator_schema != NULL;
    if (verify(reader, err) < 0 || read_front(reader, &offsite, checkpoint, err) < 0 ||
        read_vector(reader, vectors->schema, vectors->state, err) < 0 ||
        (offsite && read_vector(reader, vectors->emulator_schema, vectors->emulator, err) < 0))
        return -1;
    if (lseek(reader->fd, 0, SEEK_END) != (off_t)(reader->at + FMQ_DIGEST_SIZE))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is not as long as it should be",
                             reader->path);
    return 0;
}

int fmq_checkpoint_load(const char *path, const fmq_vectors_t *vectors,
                        fmq_checkpoint_t *checkpoint, fmq_error_t *err)
{
    reader_t reader = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (reader.fd < 0)
        return fmq_error_set(err, errno == ENOENT ? FMQ_ERR_NOTFOUND : FMQ_ERR_IO,
                             "cannot open checkpoint '%s': %s", path, strerror(errno));
    fmq_checkpoint_t found;
    int rc = read_all(&reader, vectors, &found, err);
    (void)close(reader.fd);
    if (rc == 0)
        *checkpoint = found;
    return rc;
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

static char *path_of(const char *directory, uint32_t round, fmq_error_t *err)
{
    return fmq_file_path(err, "%s/round-%06u.state", directory, round);
}

int fmq_checkpoint_put(const char *directory, const fmq_checkpoint_t *checkpoint,
                       const fmq_vectors_t *vectors, fmq_error_t *err)
{
    char *path = path_of(directory, checkpoint->round, err);
    int rc = path ? fmq_checkpoint_save(path, checkpoint, vectors, err) : -1;
    free(path);
    return rc;
}

char *fmq_checkpoint_find_state(const char *directory, uint32_t round, const fmq_schema_t *schema,
                                uint64_t *offset, fmq_error_t *err)
{
    fmq_checkpoint_t checkpoint;
    char *path = path_of(directory, round, err);
    if (!path)
        return NULL;
    reader_t reader = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    int rc = -1;
    if (reader.fd < 0)
        (void)fmq_error_set(err, FMQ_ERR_IO, "cannot open checkpoint '%s': %s", path,
                            strerror(errno));
    else if (read_front(&reader, NULL, &checkpoint, err) == 0)
        rc = read_vector_front(&reader, schema, err);
    if (reader.fd >= 0)
        (void)close(reader.fd);
    *offset = reader.at;
    if (rc < 0)
        free(path);
    return rc < 0 ? NULL : path;
}

/* The highest round with a checkpoint that is at least `least` and below
 * `below`; -1 when there is none. */
static int64_t highest_round(const char *directory, int64_t least, int64_t below)
{
    int64_t highest = -1;
    DIR *folder = opendir(directory);
    if (!folder)
        return -1;
    const struct dirent *item;
    while ((item = readdir(folder))) {
        unsigned round = 0;
        int end = 0;
        if (sscanf(item->d_name, "round-%9u.state%n", &round, &end) == 1 && end > 0 &&
            item->d_name[end] == '\0' && round >= least && round < below && round > highest)
            highest = round;
    }
    (void)closedir(folder);
    return highest;
}

int fmq_checkpoint_newest(const fmq_checkpoint_search_t *search, fmq_checkpoint_t *checkpoint,
                          uint32_t *skipped, fmq_error_t *err)
{
    *skipped = 0;
    int64_t round = INT64_MAX;
    while ((round = highest_round(search->directory, 0, round)) >= 0) {
        fmq_error_t why;
        char *path = path_of(search->directory, (uint32_t)round, err);
        if (!path)
            return -1;
        int rc = fmq_checkpoint_load(path, search->vectors, checkpoint, &why);
        free(path);
        if (rc == 0)
            return 1;
        if (why.code == FMQ_ERR_MISMATCH)
            return fmq_error_set(err, why.code, "%s", why.text);
        fmq_log_write(search->log, FMQ_LOG_WARNING, "server", "checkpoint-skipped",
                      "round=%" PRId64 " reason=\"%s\"", round, why.text);
        ++*skipped;
    }
    if (*skipped > 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "none of the %u checkpoints in '%s' is intact; remove them to begin "
                             "anew",
                             *skipped, search->directory);
    return 0;
}

static int look_at(const char *path, fmq_checkpoint_t *checkpoint, fmq_error_t *err)
{
    reader_t reader = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (reader.fd < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot open checkpoint '%s': %s", path,
                             strerror(errno));
    int rc = verify(&reader, err) < 0 ? -1 : read_front(&reader, NULL, checkpoint, err);
    (void)close(reader.fd);
    return rc;
}

int fmq_checkpoint_look(const char *directory, fmq_checkpoint_t *newest, fmq_error_t *err)
{
    int64_t round = INT64_MAX;
    bool any = false;
    while ((round = highest_round(directory, 0, round)) >= 0) {
        char *path = path_of(directory, (uint32_t)round, err);
        int rc = path ? look_at(path, newest, err) : -1;
        free(path);
        if (rc == 0)
            return 1;
        any = true;
    }
    return any ? -1 : 0;
}

static void remove_range(const char *directory, int64_t least, int64_t below)
{
    int64_t round;
    while ((round = highest_round(directory, least, below)) >= 0) {
        char *path = path_of(directory, (uint32_t)round, NULL);
        bool removed = path && unlink(path) == 0;
        free(path);
        if (!removed)
            return;
    }
}

void fmq_checkpoint_prune(const char *directory, uint32_t round)
{
    remove_range(directory, 0, round);
}

void fmq_checkpoint_forget(const char *directory, uint32_t round)
{
    remove_range(directory, (int64_t)round + 1, INT64_MAX);
}
