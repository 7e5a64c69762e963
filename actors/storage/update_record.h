/*
 * update_record.h - the bytes of an update log (journal/round-000007/updates).
 *
 * Little endian.  The head: magic "FMQULOG\n", version u32 = 1, round u32,
 * chunks of an update u32, 0 u32, run (32 hex digits), digest of the schema, 32
 * random bytes (the salt), digest of all before.  Then records, one after the
 * other, each with a head of its own: kind u32, writer u32, index u32, size u32,
 * and the first 16 bytes of the digest of salt, place in the file (u64) and
 * these; and then size bytes.  A chunk is chunk `index` of what `writer` brings,
 * byte for byte as it came.  A commit says which writers' updates are there as
 * a whole: for each client u32, base u32, writer u32, 0 u32, samples u64, digest
 * of the update's object; and behind them the digest of salt, place and all of
 * them.  Nobody outside knows the salt, so nothing that a client sends can look
 * like a record.  Knows no files.
 */
#ifndef FEDMQ_ACTORS_STORAGE_UPDATE_RECORD_H
#define FEDMQ_ACTORS_STORAGE_UPDATE_RECORD_H

#include <stdbool.h>

#include "fedmq/actors/messages.h"

#define FMQ_UPDATES_HEAD_SIZE 152u
#define FMQ_RECORD_HEAD_SIZE  32u
#define FMQ_COMMIT_ITEM_SIZE  56u

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t round, chunks;
    fmq_digest_t schema, salt;
} fmq_updates_head_t;

void fmq_updates_head_encode(const fmq_updates_head_t *head,
                             unsigned char out[FMQ_UPDATES_HEAD_SIZE]);
/* FMQ_ERR_FORMAT for bytes that are not a head. */
int fmq_updates_head_decode(fmq_updates_head_t *head, const unsigned char in[FMQ_UPDATES_HEAD_SIZE],
                            fmq_error_t *err);

typedef enum {
    FMQ_RECORD_CHUNK = 0x4b4e4843, /* "CHNK" */
    FMQ_RECORD_COMMIT = 0x54494d43 /* "CMIT" */
} fmq_record_kind_t;

typedef struct {
    fmq_record_kind_t kind;
    uint32_t writer, index, size; /* a commit has writer and index 0 */
} fmq_record_t;

/* at: where in the file the head of the record begins. */
void fmq_record_encode(const fmq_record_t *record, const fmq_digest_t *salt, uint64_t at,
                       unsigned char out[FMQ_RECORD_HEAD_SIZE]);
/* False for bytes that are not the head of a record at this place. */
bool fmq_record_decode(fmq_record_t *record, const fmq_digest_t *salt, uint64_t at,
                       const unsigned char in[FMQ_RECORD_HEAD_SIZE]);

typedef struct {
    uint32_t client, base, writer;
    uint64_t samples;
    fmq_digest_t update;
} fmq_commit_item_t;

void fmq_commit_item_encode(const fmq_commit_item_t *item, unsigned char out[FMQ_COMMIT_ITEM_SIZE]);
void fmq_commit_item_decode(fmq_commit_item_t *item, const unsigned char in[FMQ_COMMIT_ITEM_SIZE]);
/* Of the items of a commit whose record's head is at `at`. */
fmq_digest_t fmq_commit_digest(const fmq_digest_t *salt, uint64_t at, const unsigned char *items,
                               size_t size);

#endif
