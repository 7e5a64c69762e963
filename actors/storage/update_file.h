/*
 * update_file.h - an update in a file of its own, as earlier programs kept them;
 * they are read and no longer written.
 *
 * Little endian: magic "FMQJRNL\n", version u32 = 1, round u32, client u32,
 * chunks u32, samples u64, run (32 hex digits), digest of the update's object,
 * digest of the schema, digest of all before.  Then for every chunk its size
 * (u32) and its bytes, and nothing more.  Knows nothing of directories.
 */
#ifndef FEDMQ_ACTORS_STORAGE_UPDATE_FILE_H
#define FEDMQ_ACTORS_STORAGE_UPDATE_FILE_H

#include "fedmq/actors/messages.h"

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t round, client, chunks;
    uint64_t samples;
    fmq_digest_t update, schema;
} fmq_update_head_t;

/* Reads the whole file: 0 when it is intact and of the expected run, round,
 * client, schema and number of chunks.  chunk: scratch of FMQ_CHUNK_MAX. */
int fmq_update_file_verify(const char *path, const fmq_update_head_t *expected,
                           unsigned char *chunk, fmq_update_head_t *head, fmq_error_t *err);

typedef int(fmq_update_chunk_fn)(void *argument, const void *data, size_t size, fmq_error_t *err);

/* Gives every chunk of a verified file to take, in order; chunk as above. */
int fmq_update_file_each(const char *path, uint32_t chunks, unsigned char *chunk,
                         fmq_update_chunk_fn *take, void *argument, fmq_error_t *err);

#endif
