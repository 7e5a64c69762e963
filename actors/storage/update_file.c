/*
 * update_file.c - heads and chunks of updates in files of their own.
 */
#include "actors/storage/update_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "actors/storage/file.h"
#include "actors/storage/little_endian.h"
#include "fedmq/broker/object.h"

#define MAGIC     "FMQJRNL\n"
#define VERSION   1u
#define HEAD_SIZE 160u

static int decode_head(fmq_update_head_t *head, const unsigned char in[HEAD_SIZE], fmq_error_t *err)
{
    fmq_digest_t digest = fmq_digest_of(in, 128);
    if (memcmp(in, MAGIC, 8) != 0 || memcmp(in + 128, digest.bytes, FMQ_DIGEST_SIZE) != 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "not an intact journal file");
    if (fmq_get_u32(in + 8) != VERSION)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "a journal file of version %u",
                             fmq_get_u32(in + 8));
    memset(head, 0, sizeof *head);
    head->round = fmq_get_u32(in + 12);
    head->client = fmq_get_u32(in + 16);
    head->chunks = fmq_get_u32(in + 20);
    head->samples = fmq_get_u64(in + 24);
    memcpy(head->run, in + 32, FMQ_RUN_ID_SIZE - 1);
    memcpy(head->update.bytes, in + 64, FMQ_DIGEST_SIZE);
    memcpy(head->schema.bytes, in + 96, FMQ_DIGEST_SIZE);
    return 0;
}

/* Reads the chunk at *offset into out and moves *offset behind it. */
static int read_chunk(int fd, const char *path, uint64_t *offset, unsigned char *out, size_t *size,
                      fmq_error_t *err)
{
    unsigned char length[4];
    if (fmq_file_read_at(fd, path, *offset, length, sizeof length, err) < 0)
        return -1;
    *size = fmq_get_u32(length);
    if (*size > FMQ_CHUNK_MAX)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' has a chunk of %zu bytes", path, *size);
    if (fmq_file_read_at(fd, path, *offset + 4, out, *size, err) < 0)
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
    uint64_t offset = HEAD_SIZE;
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    for (uint32_t i = 0; i < head->chunks; i++) {
        unsigned char length[4];
        size_t size = 0;
        if (read_chunk(fd, path, &offset, chunk, &size, err) < 0)
            return -1;
        fmq_put_u32(length, (uint32_t)size);
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
    unsigned char bytes[HEAD_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    int rc = fmq_file_read_at(fd, path, 0, bytes, sizeof bytes, err);
    if (rc == 0)
        rc = decode_head(head, bytes, err);
    if (rc == 0)
        rc = check_head(head, expected, err);
    if (rc == 0)
        rc = verify_body(fd, path, head, chunk, err);
    (void)close(fd);
    return rc;
}

int fmq_update_file_each(const char *path, uint32_t chunks, unsigned char *chunk,
                         fmq_update_chunk_fn *take, void *argument, fmq_error_t *err)
{
    uint64_t offset = HEAD_SIZE;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < chunks; i++) {
        size_t size = 0;
        rc = read_chunk(fd, path, &offset, chunk, &size, err);
        if (rc == 0)
            rc = take(argument, chunk, size, err);
    }
    (void)close(fd);
    return rc;
}
