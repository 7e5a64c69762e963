/*
 * blob_cache.h - parts on disk, each in a file named by the digest of what it holds.
 *
 * A part is written to "<digest>.part" under a lock of the process's, and gets
 * its name when it is whole, right and on the disk; so a file under its final
 * name is never half of something, and processes that share the directory
 * write no part twice at once.  Locks are fcntl's: threads of one process must
 * not use it at the same time.  Knows no network.
 */
#ifndef FEDMQ_ACTORS_STORAGE_BLOB_CACHE_H
#define FEDMQ_ACTORS_STORAGE_BLOB_CACHE_H

#include "fedmq/actors/blob.h"

/* "<directory>/<digest in hex>", the caller's. */
char *fmq_blob_cache_path(const char *directory, const fmq_digest_t *digest, fmq_error_t *err);

/* Whether the part is here, whole and with the right bytes: all are read.  1,
 * 0, or -1 with err when it cannot be said. */
int fmq_blob_cache_has(const char *directory, const fmq_blob_t *part, fmq_error_t *err);

/* How many bytes of it an earlier attempt has left. */
uint64_t fmq_blob_cache_partial(const char *directory, const fmq_blob_t *part);

/* FMQ_ERR_LIMIT, with what to do, when the disk has no room for bytes more. */
int fmq_blob_cache_room(const char *directory, uint64_t bytes, fmq_error_t *err);

/* A part on its way into the cache. */
typedef struct {
    int fd;               /* -1: closed */
    char *path, *partial; /* owned */
    fmq_blob_t part;
    uint64_t bytes;           /* in the file: whole chunks */
    fmq_digest_state_t state; /* over them */
} fmq_blob_cache_entry_t;

typedef enum {
    FMQ_BLOB_CACHE_FAILED = -1, /* err says why */
    FMQ_BLOB_CACHE_BUSY,        /* another process is at it: try again later */
    FMQ_BLOB_CACHE_HERE,        /* another process has brought it meanwhile */
    FMQ_BLOB_CACHE_BEGUN        /* ours; bytes says from where on */
} fmq_blob_cache_begun_t;

/* Begins a part that is not here, at the last whole chunk of what an earlier
 * attempt left. */
fmq_blob_cache_begun_t fmq_blob_cache_begin(fmq_blob_cache_entry_t *self, const char *directory,
                                            const fmq_blob_t *part, fmq_error_t *err);
/* The next chunk. */
int fmq_blob_cache_add(fmq_blob_cache_entry_t *self, const void *data, size_t size,
                       fmq_error_t *err);
/* Forgets what is there: to begin again at chunk 0. */
int fmq_blob_cache_restart(fmq_blob_cache_entry_t *self, fmq_error_t *err);
/* Gives the whole part its name and closes.  FMQ_ERR_MISMATCH, with the file
 * still open, when its bytes are not those of the digest. */
int fmq_blob_cache_commit(fmq_blob_cache_entry_t *self, fmq_error_t *err);
/* Closes and leaves what is there for the next attempt; harmless when closed. */
void fmq_blob_cache_leave(fmq_blob_cache_entry_t *self);

#endif
