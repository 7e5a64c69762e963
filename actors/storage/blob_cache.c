/*
 * blob_cache.c - files of a cache directory: looked at, locked, filled, named.
 */
#include "actors/storage/blob_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "actors/storage/path.h"
#include "base/read_at.h"
#include "fedmq/broker/object.h"

#define MEGABYTE 1e6

char *fmq_blob_cache_path(const char *directory, const fmq_digest_t *digest, fmq_error_t *err)
{
    char hex[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(digest, hex);
    return fmq_file_path(err, "%s/%s", directory, hex);
}

/* Makes one directory, of the user's alone, unless it is there. */
static int make(const char *path, fmq_error_t *err)
{
    struct stat status;
    if (mkdir(path, 0700) == 0 || (stat(path, &status) == 0 && S_ISDIR(status.st_mode)))
        return 0;
    return fmq_error_set(err, FMQ_ERR_IO,
                         "cannot make the directory '%s' for layers: %s; set fedmq.layer_cache to "
                         "one that can be written",
                         path, strerror(errno));
}

/* As mkdir -p. */
static int make_all(char *path, fmq_error_t *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int rc = make(path, err);
        *slash = '/';
        if (rc < 0)
            return -1;
    }
    return make(path, err);
}

/* Where layers are kept when nothing is configured. */
static char *usual_directory(fmq_error_t *err)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/')
        return fmq_file_path(err, "%s/fedmq/layers", cache);
    if (home && *home)
        return fmq_file_path(err, "%s/.cache/fedmq/layers", home);
    fmq_error_set(err, FMQ_ERR_CONFIG,
                  "there is no place for layers: $HOME is not set; set fedmq.layer_cache");
    return NULL;
}

char *fmq_blob_cache_directory(const char *configured, fmq_error_t *err)
{
    char *path = *configured ? fmq_file_path(err, "%s", configured) : usual_directory(err);
    if (path && make_all(path, err) < 0) {
        free(path);
        return NULL;
    }
    return path;
}

static int failed(const char *path, const char *what, fmq_error_t *err)
{
    int number = errno;
    return fmq_error_set(err, FMQ_ERR_IO, "cannot %s '%s': %s%s", what, path, strerror(number),
                         number == ENOSPC || number == EDQUOT
                             ? "; make room, or set fedmq.layer_cache to another disk"
                             : "");
}

/* Adds `bytes` bytes of the file to the digest, chunk by chunk.  1: there were
 * so many; 0: fewer. */
static int digest_file(int fd, const char *path, uint64_t bytes, fmq_digest_state_t *state,
                       fmq_error_t *err)
{
    uint8_t *chunk = malloc(FMQ_CHUNK_MAX);
    int result = 1;
    if (!chunk)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a chunk");
    fmq_digest_begin(state);
    for (uint64_t at = 0; at < bytes && result == 1;) {
        size_t want = bytes - at < FMQ_CHUNK_MAX ? (size_t)(bytes - at) : FMQ_CHUNK_MAX;
        ssize_t got = fmq_read_at(fd, at, chunk, want);
        if (got < 0)
            result = failed(path, "read", err);
        else if ((size_t)got < want)
            result = 0;
        else
            fmq_object_digest_chunk(state, chunk, want);
        at += want;
    }
    free(chunk);
    return result;
}

/* Whether the open file is the part. */
static int is_part(int fd, const char *path, const fmq_blob_t *part, fmq_error_t *err)
{
    struct stat status;
    fmq_digest_state_t state;
    if (fstat(fd, &status) < 0)
        return failed(path, "read", err);
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != part->bytes)
        return 0;
    int result = digest_file(fd, path, part->bytes, &state, err);
    if (result != 1)
        return result;
    fmq_digest_t digest = fmq_digest_end(&state);
    return fmq_digest_equal(&digest, &part->digest);
}

int fmq_blob_cache_has(const char *directory, const fmq_blob_t *part, fmq_error_t *err)
{
    char *path = fmq_blob_cache_path(directory, &part->digest, err);
    int result = -1;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0)
        result = is_part(fd, path, part, err);
    else if (path && errno == ENOENT)
        result = 0;
    else if (path)
        (void)failed(path, "read", err);
    if (fd >= 0)
        (void)close(fd);
    free(path);
    return result;
}

uint64_t fmq_blob_cache_partial(const char *directory, const fmq_blob_t *part)
{
    char hex[FMQ_DIGEST_HEX_SIZE];
    struct stat status;
    fmq_digest_hex(&part->digest, hex);
    char *path = fmq_file_path(NULL, "%s/%s.part", directory, hex);
    bool there = path && stat(path, &status) == 0 && S_ISREG(status.st_mode);
    free(path);
    if (!there || status.st_size < 0)
        return 0;
    uint64_t bytes = (uint64_t)status.st_size;
    return bytes < part->bytes ? bytes : part->bytes;
}

int fmq_blob_cache_room(const char *directory, uint64_t bytes, fmq_error_t *err)
{
    struct statvfs disk;
    if (statvfs(directory, &disk) < 0)
        return failed(directory, "look at the disk of", err);
    uint64_t unit = disk.f_frsize ? disk.f_frsize : 1;
    uint64_t blocks = bytes / unit + (bytes % unit != 0);
    if (blocks <= disk.f_bavail)
        return 0;
    return fmq_error_set(err, FMQ_ERR_LIMIT,
                         "the layers of this run need %.1f MB more in '%s', whose disk has %.1f "
                         "MB left; make room, or set fedmq.layer_cache to another disk",
                         (double)bytes / MEGABYTE, directory,
                         (double)disk.f_bavail * (double)unit / MEGABYTE);
}

/* 1: locked, 0: another process has it. */
static int lock(int fd, const char *path, fmq_error_t *err)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &whole) == 0)
        return 1;
    if (errno == EACCES || errno == EAGAIN)
        return 0;
    return failed(path, "lock", err);
}

/* Whether fd is still what path names: a process that had the lock before us
 * may have given the file its final name. */
static bool still_named(int fd, const char *path)
{
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

/* Keeps the whole chunks of what is there, but never a last, shorter one. */
static int take_up(fmq_blob_cache_entry_t *self, fmq_error_t *err)
{
    struct stat status;
    if (fstat(self->fd, &status) < 0)
        return failed(self->partial, "read", err);
    uint64_t bytes = status.st_size < 0 ? 0 : (uint64_t)status.st_size;
    if (bytes > self->part.bytes)
        bytes = 0;
    if (bytes < self->part.bytes)
        bytes -= bytes % FMQ_CHUNK_MAX;
    if (ftruncate(self->fd, (off_t)bytes) < 0)
        return failed(self->partial, "write", err);
    int whole = digest_file(self->fd, self->partial, bytes, &self->state, err);
    if (whole == 0)
        return fmq_error_set(err, FMQ_ERR_IO, "'%s' was cut while it was read", self->partial);
    self->bytes = bytes;
    return whole < 0 ? -1 : 0;
}

static fmq_blob_cache_begun_t open_partial(fmq_blob_cache_entry_t *self, fmq_error_t *err)
{
    for (;;) {
        self->fd = open(self->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (self->fd < 0)
            return (fmq_blob_cache_begun_t)failed(self->partial, "write", err);
        int locked = lock(self->fd, self->partial, err);
        if (locked <= 0)
            return locked < 0 ? FMQ_BLOB_CACHE_FAILED : FMQ_BLOB_CACHE_BUSY;
        if (still_named(self->fd, self->partial))
            return FMQ_BLOB_CACHE_BEGUN;
        (void)close(self->fd);
        self->fd = -1;
    }
}

fmq_blob_cache_begun_t fmq_blob_cache_begin(fmq_blob_cache_entry_t *self, const char *directory,
                                            const fmq_blob_t *part, fmq_error_t *err)
{
    char hex[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(&part->digest, hex);
    *self = (fmq_blob_cache_entry_t){.fd = -1, .part = *part};
    self->path = fmq_file_path(err, "%s/%s", directory, hex);
    self->partial = fmq_file_path(err, "%s/%s.part", directory, hex);
    fmq_blob_cache_begun_t begun = FMQ_BLOB_CACHE_FAILED;
    if (self->path && self->partial)
        begun = open_partial(self, err);
    if (begun == FMQ_BLOB_CACHE_BEGUN) {
        int has = fmq_blob_cache_has(directory, part, err);
        if (has > 0)
            (void)unlink(self->partial);
        if (has != 0)
            begun = has > 0 ? FMQ_BLOB_CACHE_HERE : FMQ_BLOB_CACHE_FAILED;
    }
    if (begun == FMQ_BLOB_CACHE_BEGUN && take_up(self, err) < 0)
        begun = FMQ_BLOB_CACHE_FAILED;
    if (begun != FMQ_BLOB_CACHE_BEGUN)
        fmq_blob_cache_leave(self);
    return begun;
}

int fmq_blob_cache_add(fmq_blob_cache_entry_t *self, const void *data, size_t size,
                       fmq_error_t *err)
{
    if (size > self->part.bytes - self->bytes)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "a part of %" PRIu64 " bytes has more than the manifest says",
                             self->part.bytes);
    const uint8_t *from = data;
    for (size_t at = 0; at < size;) {
        ssize_t put = pwrite(self->fd, from + at, size - at, (off_t)(self->bytes + at));
        if (put < 0 && errno != EINTR)
            return failed(self->partial, "write", err);
        at += put > 0 ? (size_t)put : 0;
    }
    fmq_object_digest_chunk(&self->state, data, size);
    self->bytes += size;
    return 0;
}

int fmq_blob_cache_restart(fmq_blob_cache_entry_t *self, fmq_error_t *err)
{
    if (ftruncate(self->fd, 0) < 0)
        return failed(self->partial, "write", err);
    self->bytes = 0;
    fmq_digest_begin(&self->state);
    return 0;
}

static int sync_directory(const char *path, fmq_error_t *err)
{
    char *directory = strdup(path);
    if (!directory)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    *strrchr(directory, '/') = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 ? fsync(fd) : -1;
    if (rc < 0)
        (void)failed(directory, "sync", err);
    if (fd >= 0)
        (void)close(fd);
    free(directory);
    return rc;
}

int fmq_blob_cache_commit(fmq_blob_cache_entry_t *self, fmq_error_t *err)
{
    fmq_digest_state_t state = self->state;
    fmq_digest_t digest = fmq_digest_end(&state);
    if (self->bytes != self->part.bytes || !fmq_digest_equal(&digest, &self->part.digest))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "'%s' does not hold what its name says (%" PRIu64 " of %" PRIu64
                             " bytes)",
                             self->partial, self->bytes, self->part.bytes);
    if (fsync(self->fd) < 0)
        return failed(self->partial, "write", err);
    if (rename(self->partial, self->path) < 0)
        return failed(self->path, "write", err);
    int rc = sync_directory(self->path, err);
    fmq_blob_cache_leave(self);
    return rc;
}

void fmq_blob_cache_leave(fmq_blob_cache_entry_t *self)
{
    if (self->path && self->fd >= 0)
        (void)close(self->fd);
    free(self->path);
    free(self->partial);
    *self = (fmq_blob_cache_entry_t){.fd = -1};
}
