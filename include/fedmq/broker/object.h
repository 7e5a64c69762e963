/*
 * object.h - what travels: an immutable, content-addressed list of chunks.
 *
 * A chunk is at most 256 KiB and useful on its own, so that nobody ever builds
 * or buffers a whole message.  Objects are reference-counted and thread-safe
 * once sealed; actors of one process share the same memory.
 */
#ifndef FEDMQ_BROKER_OBJECT_H
#define FEDMQ_BROKER_OBJECT_H

#include <stdbool.h>

#include "fedmq/base/api.h"
#include "fedmq/base/digest.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

#define FMQ_CHUNK_MAX         (256u * 1024) /* bytes of a payload frame */
#define FMQ_OBJECT_CHUNKS_MAX (1u << 20)

typedef struct fmq_object fmq_object_t;

/* An empty object to which chunks are added.  NULL: out of memory. */
fmq_object_t *fmq_object_new(void);
/* Copies a chunk behind the others.  FMQ_ERR_LIMIT beyond the limits. */
int fmq_object_add(fmq_object_t *self, const void *data, size_t size, fmq_error_t *err);
/* Adds a chunk of size bytes for the caller to fill before the object is
 * sealed; NULL as above. */
void *fmq_object_place(fmq_object_t *self, size_t size, fmq_error_t *err);
/* Shortens the last chunk to size bytes (at least one). */
void fmq_object_trim(fmq_object_t *self, size_t size);
/* Fixes the content; afterwards only readers and fmq_object_hold/drop. */
void fmq_object_seal(fmq_object_t *self);
/* The same for a receiver that has just computed the digest of these very
 * chunks by fmq_object_digest_chunk(). */
void fmq_object_seal_as(fmq_object_t *self, const fmq_digest_t *digest);
/* Bytes cut into full chunks, sealed; no bytes give an object of no chunks. */
fmq_object_t *fmq_object_from_bytes(const void *data, size_t size, fmq_error_t *err);

/* A stretch of memory. */
typedef struct {
    const void *data;
    uint64_t bytes;
} fmq_segment_t;

/* Tells the lender of borrowed memory that it is not read any more. */
typedef void(fmq_release_fn)(void *argument);

/* The bytes of segments, one behind the other, cut into full chunks, sealed.  A
 * chunk that lies within one segment is borrowed, one that does not is a copy;
 * so what is lent must not change until release(argument), which is called once
 * by whoever drops the last reference, in that thread.  On failure it is not
 * called: NULL with FMQ_ERR_LIMIT or FMQ_ERR_NOMEM.  release may be NULL. */
fmq_object_t *fmq_object_borrow(const fmq_segment_t *segments, size_t count,
                                fmq_release_fn *release, void *argument, fmq_error_t *err);

/* Makes the chunks of an object when somebody reads them, so that the object
 * holds none of them.  Called in any thread, several at a time. */
typedef struct {
    /* Writes chunk index, the same bytes each time, into out: size bytes, as
     * was said of it.  Readers of this process believe them.  -1: it cannot be
     * had now, or is not what it was. */
    int (*render)(void *argument, uint32_t index, void *out, size_t size, fmq_error_t *err);
    fmq_release_fn *release; /* once, by whoever drops the last reference; may be NULL */
    void *argument;
} fmq_renderer_t;

/* A sealed object of such chunks, whose sizes and digest are known.  On failure
 * release is not called: NULL with FMQ_ERR_LIMIT or FMQ_ERR_NOMEM. */
fmq_object_t *fmq_object_rendered(const fmq_renderer_t *renderer, const uint32_t *sizes,
                                  uint32_t chunks, const fmq_digest_t *digest, fmq_error_t *err);

/* Another reference to a sealed object; returns self. */
fmq_object_t *fmq_object_hold(fmq_object_t *self);
/* Gives a reference back and nulls it; the last one frees. */
void fmq_object_drop(fmq_object_t **self_p);

bool fmq_object_sealed(const fmq_object_t *self);
/* BLAKE2b-256 over, for each chunk in order, its size (u32, little endian) and
 * its bytes. */
const fmq_digest_t *fmq_object_digest(const fmq_object_t *self);
/* Adds one chunk to a digest that is begun and ended by fmq_digest_*(): how a
 * receiver recomputes an object's digest chunk by chunk. */
void fmq_object_digest_chunk(fmq_digest_state_t *state, const void *data, size_t size);
uint64_t fmq_object_bytes(const fmq_object_t *self);
uint32_t fmq_object_chunks(const fmq_object_t *self);
/* A chunk's bytes; NULL with its size where they are rendered: copy it. */
const void *fmq_object_chunk(const fmq_object_t *self, uint32_t index, size_t *size);
/* Copies a chunk of any object into out, which has room for its size. */
int fmq_object_copy(const fmq_object_t *self, uint32_t index, void *out, fmq_error_t *err);

FMQ_API_END

#endif
