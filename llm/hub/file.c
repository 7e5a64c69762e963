/*
 * file.c - reading whole files, replacing files atomically.  Knows nothing of
 * what is in them.
 */
#include "llm/hub/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/read_at.h"

#define TEMPORARIES_MAX 1000
#define SUFFIX_MAX      48

char *llm_file_path(const char *directory, const char *name)
{
    size_t head = strlen(directory);
    size_t tail = strlen(name);
    while (head > 1 && directory[head - 1] == '/')
        head--;
    char *path = malloc(head + tail + 2);
    if (!path)
        return NULL;
    memcpy(path, directory, head);
    path[head] = '/';
    memcpy(path + head + 1, name, tail + 1);
    return path;
}

bool llm_file_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

bool llm_file_is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

int llm_file_open(const char *path, size_t *size, fmq_error_t *err)
{
    /* O_NONBLOCK, because opening a FIFO would otherwise wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fmq_error_set(err, errno == ENOENT ? FMQ_ERR_NOTFOUND : FMQ_ERR_IO,
                             "cannot open '%s': %s", path, strerror(errno));
    struct stat status;
    if (fstat(fd, &status) < 0) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot stat '%s': %s", path, strerror(errno));
        goto fail;
    }
    if (!S_ISREG(status.st_mode)) {
        fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is not a regular file", path);
        goto fail;
    }
    *size = (size_t)status.st_size;
    return fd;

fail:
    (void)close(fd);
    return -1;
}

char *llm_file_read(const char *path, size_t size_max, size_t *size, fmq_error_t *err)
{
    char *content = NULL;
    size_t length = 0;
    int fd = llm_file_open(path, &length, err);
    if (fd < 0)
        return NULL;
    if (length > size_max) {
        fmq_error_set(err, FMQ_ERR_LIMIT, "'%s' has %zu bytes, more than the %zu allowed", path,
                      length, size_max);
        goto fail;
    }
    content = malloc(length + 1);
    if (!content) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the %zu bytes of '%s'", length, path);
        goto fail;
    }
    ssize_t got = fmq_read_at(fd, 0, content, length);
    if (got < 0) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
        goto fail;
    }
    (void)close(fd);
    content[got] = '\0';
    *size = (size_t)got;
    return content;

fail:
    (void)close(fd);
    free(content);
    return NULL;
}

static void release(llm_file_out_t *out)
{
    free(out->path);
    free(out->temporary);
    *out = (llm_file_out_t){0};
}

/* Opens "<path>.tmp-<process>-<n>" for the first n that is free.  Not mkstemp(),
 * whose files only their owner may read. */
static int open_temporary(char *temporary, size_t size, const char *path)
{
    int fd = -1;
    for (int n = 0; n < TEMPORARIES_MAX && fd < 0; n++) {
        (void)snprintf(temporary, size, "%s.tmp-%ld-%d", path, (long)getpid(), n);
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd;
}

int llm_file_create(llm_file_out_t *out, const char *path, fmq_error_t *err)
{
    *out = (llm_file_out_t){0};
    out->path = strdup(path);
    size_t size = strlen(path) + SUFFIX_MAX;
    out->temporary = malloc(size);
    if (!out->path || !out->temporary) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to write '%s'", path);
        goto fail;
    }
    int fd = open_temporary(out->temporary, size, path);
    if (fd < 0) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot create '%s': %s", out->temporary, strerror(errno));
        goto fail;
    }
    out->stream = fdopen(fd, "wb");
    if (!out->stream) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
        (void)close(fd);
        (void)unlink(out->temporary);
        goto fail;
    }
    return 0;

fail:
    release(out);
    return -1;
}

int llm_file_sync_name(const char *path, fmq_error_t *err)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash == path ? strdup("/")
                      : slash       ? strndup(path, (size_t)(slash - path))
                                    : strdup(".");
    if (!directory)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to sync the directory of '%s'", path);
    int status = 0;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a directory and say EINVAL. */
    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
        status = fmq_error_set(err, FMQ_ERR_IO, "cannot sync directory '%s': %s", directory,
                               strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    free(directory);
    return status;
}

int llm_file_commit(llm_file_out_t *out, fmq_error_t *err)
{
    if (ferror(out->stream) || fflush(out->stream) != 0 || fsync(fileno(out->stream)) < 0) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s': %s", out->path, strerror(errno));
        goto fail;
    }
    FILE *stream = out->stream;
    out->stream = NULL;
    if (fclose(stream) != 0) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot close '%s': %s", out->temporary, strerror(errno));
        goto fail;
    }
    if (rename(out->temporary, out->path) < 0) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot rename '%s' to '%s': %s", out->temporary, out->path,
                      strerror(errno));
        goto fail;
    }
    int status = llm_file_sync_name(out->path, err);
    release(out);
    return status;

fail:
    llm_file_abandon(out);
    return -1;
}

void llm_file_abandon(llm_file_out_t *out)
{
    if (out->stream)
        (void)fclose(out->stream);
    if (out->temporary)
        (void)unlink(out->temporary);
    release(out);
}
