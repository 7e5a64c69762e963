/*
 * record_file.c - grows a file by whole records.
 */
#define _GNU_SOURCE /* fallocate() */
#include "actors/storage/record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"

#define WAITING_MAX ((size_t)256 * 1024) /* bytes */
#define SMALL_MAX   ((size_t)32 * 1024)  /* bytes of a record that waits for others */

/* Where the file ends, without what waits. */
static uint64_t written(const fmq_record_file_t *self)
{
    return self->end - self->held;
}

static int cut_file(fmq_record_file_t *self, uint64_t end, fmq_error_t *err)
{
    if (ftruncate(self->fd, (off_t)end) < 0)
        return fmq_file_error(err, "cut", self->path);
    if (lseek(self->fd, (off_t)end, SEEK_SET) < 0)
        return fmq_file_error(err, "write", self->path);
    return 0;
}

/* With nothing waiting the file itself may be longer than is known, after a crash. */
int fmq_record_file_cut(fmq_record_file_t *self, uint64_t end, fmq_error_t *err)
{
    uint64_t on_disk = written(self);
    bool within = self->held > 0 && end >= on_disk;
    if (!within && cut_file(self, end, err) < 0)
        return -1;
    self->held = within ? (size_t)(end - on_disk) : 0;
    self->end = end;
    return 0;
}

/* Writes a head and what follows it where the file stands; a failure leaves none of it. */
static int write_both(fmq_record_file_t *self, unsigned char *head, size_t head_size,
                      const void *data, size_t size, fmq_error_t *err)
{
    uint64_t before = written(self);
    size_t total = head_size + size;
    for (size_t done = 0; done < total;) {
        size_t of_head = done < head_size ? done : head_size, of_data = done - of_head;
        const struct iovec parts[2] = {
            {.iov_base = head + of_head, .iov_len = head_size - of_head},
            {.iov_base = (unsigned char *)(uintptr_t)data + of_data, .iov_len = size - of_data}};
        ssize_t got = writev(self->fd, parts, 2);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fmq_error_t ignored;
            (void)fmq_file_error(err, "write", self->path);
            (void)cut_file(self, before, &ignored);
            return -1;
        }
        done += (size_t)got;
    }
    return 0;
}

int fmq_record_file_write(fmq_record_file_t *self, fmq_error_t *err)
{
    if (self->held > 0 && write_both(self, self->waiting, self->held, NULL, 0, err) < 0)
        return -1;
    self->held = 0;
    return 0;
}

/* Puts both at the end, behind what waits. */
static int put(fmq_record_file_t *self, unsigned char *head, size_t head_size, const void *data,
               size_t size, fmq_error_t *err)
{
    size_t total = head_size + size;
    bool waits = self->waiting && total <= SMALL_MAX;
    if ((!waits || self->held + total > WAITING_MAX) && fmq_record_file_write(self, err) < 0)
        return -1;
    if (!waits && write_both(self, head, head_size, data, size, err) < 0)
        return -1;
    if (waits) {
        memcpy(self->waiting + self->held, head, head_size);
        if (size > 0)
            memcpy(self->waiting + self->held + head_size, data, size);
        self->held += total;
    }
    self->end += total;
    return 0;
}

int fmq_record_file_begin(fmq_record_file_t *self, fmq_error_t *err)
{
    unsigned char bytes[FMQ_UPDATES_HEAD_SIZE];
    if (self->fd >= 0)
        return 0;
    self->fd = open(self->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (self->fd < 0)
        return fmq_file_error(err, "create", self->path);
    self->fresh = true;
    self->end = self->held = 0;
    randombytes_buf(self->head.salt.bytes, sizeof self->head.salt.bytes);
    fmq_updates_head_encode(&self->head, bytes);
    if (put(self, bytes, sizeof bytes, NULL, 0, err) == 0)
        return 0;
    (void)close(self->fd);
    self->fd = -1;
    return -1;
}

int fmq_record_file_append(fmq_record_file_t *self, const fmq_record_t *record, const void *data,
                           uint64_t *at, fmq_error_t *err)
{
    unsigned char head[FMQ_RECORD_HEAD_SIZE];
    uint64_t place = self->end + sizeof head;
    fmq_record_encode(record, &self->head.salt, self->end, head);
    if (!self->waiting)
        self->waiting = malloc(WAITING_MAX); /* without it every record is a write */
    if (put(self, head, sizeof head, data, record->size, err) < 0)
        return -1;
    if (at)
        *at = place;
    return 0;
}

void fmq_record_file_punch(fmq_record_file_t *self, uint64_t offset, size_t size)
{
    fmq_error_t ignored;
    if (offset + size > written(self))
        (void)fmq_record_file_write(self, &ignored);
#ifdef FALLOC_FL_PUNCH_HOLE
    (void)fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                    (off_t)size);
#else
    (void)self, (void)offset, (void)size;
#endif
}

int fmq_record_file_sync(fmq_record_file_t *self, const char *folder, fmq_error_t *err)
{
    if (fmq_record_file_write(self, err) < 0)
        return -1;
    if (fsync(self->fd) < 0)
        return fmq_file_error(err, "sync", self->path);
    if (self->fresh && fmq_directory_sync(folder, err) < 0)
        return -1;
    self->fresh = false;
    return 0;
}

void fmq_record_file_close(fmq_record_file_t *self)
{
    if (self->fd >= 0)
        (void)close(self->fd);
    free(self->waiting);
    self->waiting = NULL;
    self->held = 0;
    self->fd = -1;
}
