/*
 * update_record.c - heads, records and commits of an update log as bytes.
 */
#include "actors/storage/update_record.h"

#include <string.h>

#include "actors/storage/little_endian.h"

#define MAGIC        "FMQULOG\n"
#define VERSION      1u
#define CHECKED      16u /* bytes of a record's head that its check covers */
#define HEAD_CHECKED (FMQ_UPDATES_HEAD_SIZE - FMQ_DIGEST_SIZE)

void fmq_updates_head_encode(const fmq_updates_head_t *head,
                             unsigned char out[FMQ_UPDATES_HEAD_SIZE])
{
    memcpy(out, MAGIC, 8);
    fmq_put_u32(out + 8, VERSION);
    fmq_put_u32(out + 12, head->round);
    fmq_put_u32(out + 16, head->chunks);
    fmq_put_u32(out + 20, 0);
    memcpy(out + 24, head->run, FMQ_RUN_ID_SIZE - 1);
    memcpy(out + 56, head->schema.bytes, FMQ_DIGEST_SIZE);
    memcpy(out + 88, head->salt.bytes, FMQ_DIGEST_SIZE);
    fmq_digest_t digest = fmq_digest_of(out, HEAD_CHECKED);
    memcpy(out + HEAD_CHECKED, digest.bytes, FMQ_DIGEST_SIZE);
}

int fmq_updates_head_decode(fmq_updates_head_t *head, const unsigned char in[FMQ_UPDATES_HEAD_SIZE],
                            fmq_error_t *err)
{
    fmq_digest_t digest = fmq_digest_of(in, HEAD_CHECKED);
    if (memcmp(in, MAGIC, 8) != 0 || memcmp(in + HEAD_CHECKED, digest.bytes, FMQ_DIGEST_SIZE) != 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "it does not begin as an update log");
    if (fmq_get_u32(in + 8) != VERSION)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "it is an update log of version %u; this "
                             "program reads version %u",
                             fmq_get_u32(in + 8), VERSION);
    memset(head, 0, sizeof *head);
    head->round = fmq_get_u32(in + 12);
    head->chunks = fmq_get_u32(in + 16);
    memcpy(head->run, in + 24, FMQ_RUN_ID_SIZE - 1);
    memcpy(head->schema.bytes, in + 56, FMQ_DIGEST_SIZE);
    memcpy(head->salt.bytes, in + 88, FMQ_DIGEST_SIZE);
    return 0;
}

static fmq_digest_t salted(const fmq_digest_t *salt, uint64_t at, const unsigned char *bytes,
                           size_t size)
{
    unsigned char place[8];
    fmq_digest_state_t state;
    fmq_put_u64(place, at);
    fmq_digest_begin(&state);
    fmq_digest_add(&state, salt->bytes, FMQ_DIGEST_SIZE);
    fmq_digest_add(&state, place, sizeof place);
    fmq_digest_add(&state, bytes, size);
    return fmq_digest_end(&state);
}

void fmq_record_encode(const fmq_record_t *record, const fmq_digest_t *salt, uint64_t at,
                       unsigned char out[FMQ_RECORD_HEAD_SIZE])
{
    fmq_put_u32(out, (uint32_t)record->kind);
    fmq_put_u32(out + 4, record->writer);
    fmq_put_u32(out + 8, record->index);
    fmq_put_u32(out + 12, record->size);
    fmq_digest_t check = salted(salt, at, out, CHECKED);
    memcpy(out + CHECKED, check.bytes, FMQ_RECORD_HEAD_SIZE - CHECKED);
}

bool fmq_record_decode(fmq_record_t *record, const fmq_digest_t *salt, uint64_t at,
                       const unsigned char in[FMQ_RECORD_HEAD_SIZE])
{
    uint32_t kind = fmq_get_u32(in);
    if (kind != FMQ_RECORD_CHUNK && kind != FMQ_RECORD_COMMIT)
        return false;
    fmq_digest_t check = salted(salt, at, in, CHECKED);
    if (memcmp(in + CHECKED, check.bytes, FMQ_RECORD_HEAD_SIZE - CHECKED) != 0)
        return false;
    *record = (fmq_record_t){.kind = (fmq_record_kind_t)kind,
                             .writer = fmq_get_u32(in + 4),
                             .index = fmq_get_u32(in + 8),
                             .size = fmq_get_u32(in + 12)};
    return true;
}

void fmq_commit_item_encode(const fmq_commit_item_t *item, unsigned char out[FMQ_COMMIT_ITEM_SIZE])
{
    fmq_put_u32(out, item->client);
    fmq_put_u32(out + 4, item->base);
    fmq_put_u32(out + 8, item->writer);
    fmq_put_u32(out + 12, 0);
    fmq_put_u64(out + 16, item->samples);
    memcpy(out + 24, item->update.bytes, FMQ_DIGEST_SIZE);
}

void fmq_commit_item_decode(fmq_commit_item_t *item, const unsigned char in[FMQ_COMMIT_ITEM_SIZE])
{
    *item = (fmq_commit_item_t){.client = fmq_get_u32(in),
                                .base = fmq_get_u32(in + 4),
                                .writer = fmq_get_u32(in + 8),
                                .samples = fmq_get_u64(in + 16)};
    memcpy(item->update.bytes, in + 24, FMQ_DIGEST_SIZE);
}

fmq_digest_t fmq_commit_digest(const fmq_digest_t *salt, uint64_t at, const unsigned char *items,
                               size_t size)
{
    return salted(salt, at, items, size);
}
