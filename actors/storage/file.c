/*
 * file.c - write beside, sync, rename, sync the directory.
 */
#include "actors/storage/file.h"
#include "actors/storage/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/read_at.h"

int fmq_file_open(fmq_file_t *self, const char *path, fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    self->fd = -1;
    self->path = fmq_file_path(err, "%s", path);
    self->temporary = fmq_file_path(err, "%s.tmp", path);
    if (!self->path || !self->temporary)
        goto fail;
    self->fd = open(self->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (self->fd < 0) {
        (void)fmq_file_error(err, "create", self->temporary);
        goto fail;
    }
    return 0;
fail:
    fmq_file_abandon(self);
    return -1;
}

int fmq_file_write(fmq_file_t *self, const void *data, size_t size, fmq_error_t *err)
{
    const char *bytes = data;
    for (size_t done = 0; done < size;) {
        ssize_t got = write(self->fd, bytes + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fmq_file_error(err, "write", self->temporary);
        done += (size_t)got;
    }
    if (self->digests)
        fmq_digest_add(&self->digest, data, size);
    return 0;
}

void fmq_file_begin_digest(fmq_file_t *self)
{
    self->digests = true;
    fmq_digest_begin(&self->digest);
}

fmq_digest_t fmq_file_digest(const fmq_file_t *self)
{
    fmq_digest_state_t copy = self->digest;
    return fmq_digest_end(&copy);
}

int fmq_file_sync(fmq_file_t *self, fmq_error_t *err)
{
    if (fsync(self->fd) < 0)
        return fmq_file_error(err, "sync", self->temporary);
    int fd = self->fd;
    self->fd = -1;
    return close(fd) < 0 ? fmq_file_error(err, "close", self->temporary) : 0;
}

int fmq_file_rename(fmq_file_t *self, fmq_error_t *err)
{
    if (rename(self->temporary, self->path) < 0)
        return fmq_file_error(err, "rename a file to", self->path);
    free(self->temporary);
    self->temporary = NULL;
    return 0;
}

int fmq_file_commit(fmq_file_t *self, fmq_error_t *err)
{
    if (fmq_file_sync(self, err) < 0 || fmq_file_rename(self, err) < 0)
        return -1;
    return fmq_directory_sync_of(self->path, err);
}

void fmq_file_abandon(fmq_file_t *self)
{
    if (self->temporary) {
        if (self->fd >= 0)
            (void)close(self->fd);
        (void)unlink(self->temporary);
    }
    free(self->temporary);
    free(self->path);
    memset(self, 0, sizeof *self);
    self->fd = -1;
}

int fmq_file_save(const char *path, const void *data, size_t size, fmq_error_t *err)
{
    fmq_file_t file;
    if (fmq_file_open(&file, path, err) < 0)
        return -1;
    int rc = fmq_file_write(&file, data, size, err);
    if (rc == 0)
        rc = fmq_file_commit(&file, err);
    fmq_file_abandon(&file);
    return rc;
}

int fmq_file_read_at(int fd, const char *path, uint64_t offset, void *out, size_t size,
                     fmq_error_t *err)
{
    ssize_t got = fmq_read_at(fd, offset, out, size);
    if (got < 0)
        return fmq_file_error(err, "read", path);
    if ((size_t)got < size)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' ends too early", path);
    return 0;
}

char *fmq_file_load(const char *path, size_t most, size_t *size, fmq_error_t *err)
{
    char *data = NULL;
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fmq_error_code_t code = errno == ENOENT ? FMQ_ERR_NOTFOUND : FMQ_ERR_IO;
        (void)fmq_error_set(err, code, "cannot open '%s': %s", path, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &status) < 0) {
        (void)fmq_file_error(err, "look at", path);
        goto fail;
    }
    if (status.st_size < 0 || (uint64_t)status.st_size > most) {
        (void)fmq_error_set(err, FMQ_ERR_LIMIT, "'%s' has more than %zu bytes", path, most);
        goto fail;
    }
    *size = (size_t)status.st_size;
    data = malloc(*size + 1);
    if (!data) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for '%s'", path);
    } else if (fmq_file_read_at(fd, path, 0, data, *size, err) < 0) {
        free(data);
        data = NULL;
    } else {
        data[*size] = '\0';
    }
fail:
    (void)close(fd);
    return data;
}
