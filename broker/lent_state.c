/*
 * lent_state.c - chunks of a vector, or of a file, made when they are read.
 *
 * A disk is not believed: before the vector goes away each range of its values
 * gets a checksum, which what the file gives must have.
 *
 * The lock is between readers and the one who takes the vector away: reading a
 * chunk is short, and after the vector is away nobody knows its address.
 */
#include "broker/lent_state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/read_at.h"

/* Shared by the object and the lender. */
typedef struct {
    pthread_rwlock_t lock;
    const fmq_schema_t *schema; /* borrowed */
    fmq_codec_t codec;
    const float *vector; /* borrowed or owned; NULL: see fd */
    float *owned;        /* the same, or NULL */
    int fd;              /* -1: nowhere any more */
    uint64_t offset;     /* of the first element in it */
    uint64_t *checksums; /* owned: of each range, once there is a file */
} source_t;

struct fmq_lent_state {
    source_t *source;     /* owned by object */
    fmq_object_t *object; /* owned reference */
};

/* Scratch of a reader. */
typedef struct {
    unsigned char *chunk; /* FMQ_CHUNK_MAX */
    float *values;        /* FMQ_STATE_RANGE_MAX */
} room_t;

static void room_release(room_t *self)
{
    free(self->chunk);
    free(self->values);
}

static int room_init(room_t *self, fmq_error_t *err)
{
    self->chunk = malloc(FMQ_CHUNK_MAX);
    self->values = malloc(FMQ_STATE_RANGE_MAX * sizeof *self->values);
    if (self->chunk && self->values)
        return 0;
    room_release(self);
    return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a chunk of a state");
}

/* One range of values from the file, if they are what they were. */
static int read_file(const source_t *self, uint32_t index, float *values, fmq_error_t *err)
{
    uint64_t first, count;
    fmq_state_range(self->schema, index, &first, &count);
    size_t bytes = (size_t)count * sizeof *values;
    ssize_t got = fmq_read_at(self->fd, self->offset + first * sizeof *values, values, bytes);
    if (got < 0 || (size_t)got != bytes)
        return fmq_error_set(err, FMQ_ERR_IO, "a state that was moved to disk is gone: %s",
                             got < 0 ? strerror(errno) : "its file ends too early");
    if (fmq_checksum(values, bytes) != self->checksums[index])
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "a state that was moved to disk has changed there: range %u does not "
                             "have its checksum any more",
                             index);
    return 0;
}

static int encode(const source_t *self, uint32_t index, const float *values, void *out, size_t size,
                  fmq_error_t *err)
{
    size_t used = fmq_state_encode_chunk(self->schema, index, values, self->codec, out, err);
    if (used > 0 && used != size)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "chunk %u of a lent state has changed", index);
    return used > 0 ? 0 : -1;
}

static int render_moved(const source_t *self, uint32_t index, void *out, size_t size,
                        fmq_error_t *err)
{
    uint64_t first, count;
    fmq_state_range(self->schema, index, &first, &count);
    float *values = malloc((size_t)count * sizeof *values);
    if (!values)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a chunk of a state");
    int rc = read_file(self, index, values, err);
    if (rc == 0)
        rc = encode(self, index, values, out, size, err);
    free(values);
    return rc;
}

static int render(void *argument, uint32_t index, void *out, size_t size, fmq_error_t *err)
{
    source_t *self = argument;
    int rc;
    pthread_rwlock_rdlock(&self->lock);
    if (self->vector)
        rc = encode(self, index, self->vector + (uint64_t)index * FMQ_STATE_RANGE_MAX, out, size,
                    err);
    else if (self->fd >= 0)
        rc = render_moved(self, index, out, size, err);
    else
        rc = fmq_error_set(err, FMQ_ERR_NOTFOUND, "its owner does not lend it any more");
    pthread_rwlock_unlock(&self->lock);
    return rc;
}

static void source_destroy(void *argument)
{
    source_t *self = argument;
    if (self->fd >= 0)
        (void)close(self->fd);
    free(self->owned);
    free(self->checksums);
    pthread_rwlock_destroy(&self->lock);
    free(self);
}

/* Sizes of all chunks and the object's digest: every chunk is made once. */
static int survey(source_t *self, uint32_t *sizes, fmq_digest_t *digest, fmq_error_t *err)
{
    unsigned char *chunk = malloc(FMQ_CHUNK_MAX);
    uint32_t chunks = fmq_state_chunks(self->schema);
    fmq_digest_state_t state;
    int rc = chunk ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a chunk of a state");
    fmq_digest_begin(&state);
    for (uint32_t i = 0; rc == 0 && i < chunks; i++) {
        const float *values = self->vector + (uint64_t)i * FMQ_STATE_RANGE_MAX;
        size_t size = fmq_state_encode_chunk(self->schema, i, values, self->codec, chunk, err);
        sizes[i] = (uint32_t)size;
        rc = size > 0 ? 0 : -1;
        if (rc == 0)
            fmq_object_digest_chunk(&state, chunk, size);
    }
    *digest = fmq_digest_end(&state);
    free(chunk);
    return rc;
}

static source_t *source_new(const fmq_schema_t *schema, const float *vector, fmq_codec_t codec)
{
    source_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    *self = (source_t){.schema = schema, .codec = codec, .vector = vector, .fd = -1};
    if (pthread_rwlock_init(&self->lock, NULL) == 0)
        return self;
    free(self);
    return NULL;
}

/* An object over a vector that is not owned yet, and its source. */
static fmq_object_t *object_over(const fmq_schema_t *schema, const float *vector, fmq_codec_t codec,
                                 source_t **source_p, fmq_error_t *err)
{
    fmq_object_t *object = NULL;
    fmq_digest_t digest;
    uint32_t chunks = fmq_state_chunks(schema);
    if (chunks > FMQ_OBJECT_CHUNKS_MAX) {
        fmq_error_set(err, FMQ_ERR_LIMIT, "a state of %u chunks: an object has at most %u", chunks,
                      FMQ_OBJECT_CHUNKS_MAX);
        return NULL;
    }
    source_t *source = source_new(schema, vector, codec);
    uint32_t *sizes = calloc(chunks ? chunks : 1, sizeof *sizes);
    if (!source || !sizes)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a state of %u chunks", chunks);
    else if (survey(source, sizes, &digest, err) == 0)
        object = fmq_object_rendered(&(fmq_renderer_t){render, source_destroy, source}, sizes,
                                     chunks, &digest, err);
    if (!object && source)
        source_destroy(source);
    free(sizes);
    *source_p = object ? source : NULL;
    return object;
}

fmq_lent_state_t *fmq_lent_state_new(const fmq_schema_t *schema, const float *vector,
                                     fmq_codec_t codec, fmq_error_t *err)
{
    fmq_lent_state_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a lent state");
        return NULL;
    }
    self->object = object_over(schema, vector, codec, &self->source, err);
    if (self->object)
        return self;
    free(self);
    return NULL;
}

fmq_object_t *fmq_lent_state_object(const fmq_lent_state_t *self)
{
    return self->object;
}

/* Of each range of the vector. */
static uint64_t *checksums_of(const source_t *self, fmq_error_t *err)
{
    uint32_t ranges = fmq_state_chunks(self->schema);
    uint64_t first, count, *sums = malloc((ranges ? ranges : 1) * sizeof *sums);
    if (!sums) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the checksums of a state");
        return NULL;
    }
    for (uint32_t i = 0; i < ranges; i++) {
        fmq_state_range(self->schema, i, &first, &count);
        sums[i] = fmq_checksum(self->vector + first, (size_t)count * sizeof *self->vector);
    }
    return sums;
}

/* Only the lender writes to these, in its thread. */
int fmq_lent_state_move(fmq_lent_state_t *self, const char *path, uint64_t offset, fmq_error_t *err)
{
    source_t *source = self->source;
    if (!source->vector)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    uint64_t *checksums = checksums_of(source, err);
    if (!checksums) {
        (void)close(fd);
        return -1;
    }
    pthread_rwlock_wrlock(&source->lock);
    source->fd = fd;
    source->offset = offset;
    source->checksums = checksums;
    source->vector = NULL;
    pthread_rwlock_unlock(&source->lock);
    return 0;
}

int fmq_lent_state_restore(const fmq_lent_state_t *self, float *vector, fmq_error_t *err)
{
    const source_t *source = self->source;
    uint64_t first, count;
    if (source->fd < 0)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "a state that is restored was never moved");
    for (uint32_t i = 0; i < fmq_state_chunks(source->schema); i++) {
        fmq_state_range(source->schema, i, &first, &count);
        if (read_file(source, i, vector + first, err) < 0)
            return -1;
    }
    return 0;
}

void fmq_lent_state_end(fmq_lent_state_t **self_p)
{
    fmq_lent_state_t *self = *self_p;
    if (!self)
        return;
    pthread_rwlock_wrlock(&self->source->lock);
    self->source->vector = NULL;
    pthread_rwlock_unlock(&self->source->lock);
    fmq_object_drop(&self->object);
    free(self);
    *self_p = NULL;
}

fmq_object_t *fmq_state_give(const fmq_schema_t *schema, float **vector_p, fmq_codec_t codec,
                             fmq_error_t *err)
{
    source_t *source;
    fmq_object_t *object = object_over(schema, *vector_p, codec, &source, err);
    if (!object)
        return NULL;
    source->owned = *vector_p;
    *vector_p = NULL;
    return object;
}

typedef struct {
    const fmq_object_t *object;
    const fmq_schema_t *schema;
    fmq_state_take_fn *take;
    void *argument;
    room_t room;
} reading_t;

static int read_chunk(const reading_t *self, uint32_t index, fmq_error_t *err)
{
    size_t size;
    uint64_t first, count;
    (void)fmq_object_chunk(self->object, index, &size);
    if (fmq_object_copy(self->object, index, self->room.chunk, err) < 0 ||
        fmq_state_decode(self->schema, index, self->room.chunk, size, self->room.values, err) < 0)
        return -1;
    fmq_state_range(self->schema, index, &first, &count);
    return self->take(self->argument, first, count, self->room.values, err);
}

int fmq_state_read(const fmq_object_t *object, const fmq_schema_t *schema, fmq_state_take_fn *take,
                   void *argument, fmq_error_t *err)
{
    reading_t self = {.object = object, .schema = schema, .take = take, .argument = argument};
    int rc = 0;
    if (fmq_object_chunks(object) != fmq_state_chunks(schema))
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "a state of %u chunks where the schema has %u",
                             fmq_object_chunks(object), fmq_state_chunks(schema));
    if (room_init(&self.room, err) < 0)
        return -1;
    for (uint32_t i = 0; rc == 0 && i < fmq_object_chunks(object); i++)
        rc = read_chunk(&self, i, err);
    room_release(&self.room);
    return rc;
}
