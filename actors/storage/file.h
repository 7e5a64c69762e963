/*
 * file.h - files that are either wholly there or not at all.
 *
 * Bytes go to "<path>.tmp"; syncing puts them on the disk, and committing
 * renames the file and makes the name durable.  A crash at any point leaves
 * the old file, or none, never half of the new one.
 */
#ifndef FEDMQ_ACTORS_STORAGE_FILE_H
#define FEDMQ_ACTORS_STORAGE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/storage/path.h"
#include "fedmq/base/digest.h"
#include "fedmq/base/error.h"

typedef struct {
    int fd;                    /* -1: closed */
    char *path, *temporary;    /* owned */
    bool digests;              /* fmq_file_begin_digest() was called: */
    fmq_digest_state_t digest; /* of all bytes since */
} fmq_file_t;

/* Begins to write; the directory must exist. */
int fmq_file_open(fmq_file_t *self, const char *path, fmq_error_t *err);
int fmq_file_write(fmq_file_t *self, const void *data, size_t size, fmq_error_t *err);
/* Begins a digest of what is written from here on, and tells what it is so far.
 * Who does not ask for one does not pay for it. */
void fmq_file_begin_digest(fmq_file_t *self);
fmq_digest_t fmq_file_digest(const fmq_file_t *self);

/* Step 1: the bytes are on the disk.  Step 2: the name is given (durable only
 * after fmq_directory_sync()).  Both or abandon must follow open. */
int fmq_file_sync(fmq_file_t *self, fmq_error_t *err);
int fmq_file_rename(fmq_file_t *self, fmq_error_t *err);
/* Both steps and the directory. */
int fmq_file_commit(fmq_file_t *self, fmq_error_t *err);
/* Removes the temporary file, if any, and releases; harmless when zeroed. */
void fmq_file_abandon(fmq_file_t *self);

/* A whole small file at once. */
int fmq_file_save(const char *path, const void *data, size_t size, fmq_error_t *err);
/* Reads a whole file of at most `most` bytes, NUL behind it, the caller's.
 * NULL with FMQ_ERR_NOTFOUND, FMQ_ERR_IO or FMQ_ERR_LIMIT. */
char *fmq_file_load(const char *path, size_t most, size_t *size, fmq_error_t *err);

/* Exactly size bytes at offset: 0, or -1 with FMQ_ERR_FORMAT at the file's end. */
int fmq_file_read_at(int fd, const char *path, uint64_t offset, void *out, size_t size,
                     fmq_error_t *err);

#endif
