/*
 * update_file.c - heads and chunks of journaled updates.
 */
#include "actors/storage/update_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "actors/storage/file.h"
#include "fedmq/broker/object.h"

#define MAGIC   "FMQJRNL\n"
#define VERSION 1u

void fmq_update_put_u32(unsigned char out[4], uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(value >> 8 * i);
}

static uint32_t get_u32(const unsigned char *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

void fmq_update_head_encode(const fmq_update_head_t *head, unsigned char out[FMQ_UPDATE_HEAD_SIZE])
{
    memcpy(out, MAGIC, 8);
    fmq_update_put_u32(out + 8, VERSION);
    fmq_update_put_u32(out + 12, head->round);
    fmq_update_put_u32(out + 16, head->client);
    fmq_update_put_u32(out + 20, head->chunks);
    fmq_update_put_u32(out + 24, (uint32_t)head->samples);
    fmq_update_put_u32(out + 28, (uint32_t)(head->samples >> 32));
    memcpy(out + 32, head->run, FMQ_RUN_ID_SIZE - 1);
    memcpy(out + 64, head->update.bytes, FMQ_DIGEST_SIZE);
    memcpy(out + 96, head->schema.bytes, FMQ_DIGEST_SIZE);
    fmq_digest_t digest = fmq_digest_of(out, 128);
    memcpy(out + 128, digest.bytes, FMQ_DIGEST_SIZE);
}

int fmq_update_head_decode(fmq_update_head_t *head, const unsigned char in[FMQ_UPDATE_HEAD_SIZE],
                           fmq_error_t *err)
{
    fmq_digest_t digest = fmq_digest_of(in, 128);
    if (memcmp(in, MAGIC, 8) != 0 || memcmp(in + 128, digest.bytes, FMQ_DIGEST_SIZE) != 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "not an intact journal file");
    if (get_u32(in + 8) != VERSION)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "a journal file of version %u", get_u32(in + 8));
    memset(head, 0, sizeof *head);
    head->round = get_u32(in + 12);
    head->client = get_u32(in + 16);
    head->chunks = get_u32(in + 20);
    head->samples = get_u32(in + 24) | (uint64_t)get_u32(in + 28) << 32;
    memcpy(head->run, in + 32, FMQ_RUN_ID_SIZE - 1);
    memcpy(head->update.bytes, in + 64, FMQ_DIGEST_SIZE);
    memcpy(head->schema.bytes, in + 96, FMQ_DIGEST_SIZE);
    return 0;
}

int fmq_update_file_chunk(int fd, const char *path, uint64_t *offset, unsigned char *out,
                          size_t *size, fmq_error_t *err)
{
    unsigned char length[4];
    if (fmq_file_read_at(fd, path, *offset, length, sizeof length, err) < 0)
        return -1;
    *size = get_u32(length);
    if (*size > FMQ_CHUNK_MAX)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' has a chunk of %zu bytes", path, *size);
    if (out && fmq_file_read_at(fd, path, *offset + 4, out, *size, err) < 0)
        return -1;
    *offset += 4 + *size;
    return 0;
}

static int check_head(const fmq_update_head_t *head, const fmq_update_head_t *expected,
                      fmq_error_t *err)
{
    if (strcmp(head->run, expected->run) != 0 || head->round != expected->round ||
        head->client != expected->client || head->chunks != expected->chunks ||
        !fmq_digest_equal(&head->schema, &expected->schema))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "of another run, round, client or schema than expected");
    return 0;
}

static int verify_body(int fd, const char *path, const fmq_update_head_t *head,
                       unsigned char *chunk, fmq_error_t *err)
{
    uint64_t offset = FMQ_UPDATE_HEAD_SIZE;
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    for (uint32_t i = 0; i < head->chunks; i++) {
        unsigned char length[4];
        size_t size = 0;
        if (fmq_update_file_chunk(fd, path, &offset, chunk, &size, err) < 0)
            return -1;
        fmq_update_put_u32(length, (uint32_t)size);
        fmq_digest_add(&state, length, sizeof length);
        fmq_digest_add(&state, chunk, size);
    }
    fmq_digest_t digest = fmq_digest_end(&state);
    if (!fmq_digest_equal(&digest, &head->update))
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "the bytes are not what their digest says");
    if (lseek(fd, 0, SEEK_END) != (off_t)offset)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "bytes behind the last chunk");
    return 0;
}

int fmq_update_file_verify(const char *path, const fmq_update_head_t *expected,
                           unsigned char *chunk, fmq_update_head_t *head, fmq_error_t *err)
{
    unsigned char bytes[FMQ_UPDATE_HEAD_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    int rc = fmq_file_read_at(fd, path, 0, bytes, sizeof bytes, err);
    if (rc == 0)
        rc = fmq_update_head_decode(head, bytes, err);
    if (rc == 0)
        rc = check_head(head, expected, err);
    if (rc == 0)
        rc = verify_body(fd, path, head, chunk, err);
    (void)close(fd);
    return rc;
}
