/*
 * update_file.h - the format of one journaled update.
 *
 * Little endian: magic "FMQJRNL\n", version u32 = 1, round u32, client u32,
 * chunks u32, samples u64, run (32 hex digits), digest of the update's object,
 * digest of the schema, digest of all before.  Then for every chunk its size
 * (u32) and its bytes, and nothing more.  Knows nothing of directories.
 */
#ifndef FEDMQ_ACTORS_STORAGE_UPDATE_FILE_H
#define FEDMQ_ACTORS_STORAGE_UPDATE_FILE_H

#include "fedmq/actors/messages.h"

#define FMQ_UPDATE_HEAD_SIZE 160u

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t round, client, chunks;
    uint64_t samples;
    fmq_digest_t update, schema;
} fmq_update_head_t;

void fmq_update_put_u32(unsigned char out[4], uint32_t value);
void fmq_update_head_encode(const fmq_update_head_t *head, unsigned char out[FMQ_UPDATE_HEAD_SIZE]);
/* FMQ_ERR_FORMAT for bytes that are not a head. */
int fmq_update_head_decode(fmq_update_head_t *head, const unsigned char in[FMQ_UPDATE_HEAD_SIZE],
                           fmq_error_t *err);

/* Reads the chunk at *offset into out (FMQ_CHUNK_MAX bytes; NULL: passes over
 * it) and moves *offset behind it. */
int fmq_update_file_chunk(int fd, const char *path, uint64_t *offset, unsigned char *out,
                          size_t *size, fmq_error_t *err);

/* Reads the whole file: 0 when it is intact and of the expected run, round,
 * client, schema and number of chunks.  chunk: scratch of FMQ_CHUNK_MAX. */
int fmq_update_file_verify(const char *path, const fmq_update_head_t *expected,
                           unsigned char *chunk, fmq_update_head_t *head, fmq_error_t *err);

#endif
