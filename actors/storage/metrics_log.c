/*
 * metrics_log.c - appends measurements with one write(2) each.
 */
#include "actors/storage/metrics_log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/storage/file.h"
#include "fedmq/base/clock.h"

struct fmq_metrics_log {
    int fd;
    char *path; /* owned */
};

/* Length of the file up to its last newline. */
static off_t whole_lines(int fd, const char *path, fmq_error_t *err)
{
    off_t end = lseek(fd, 0, SEEK_END);
    while (end > 0) {
        char last;
        if (fmq_file_read_at(fd, path, (uint64_t)end - 1, &last, 1, err) < 0)
            return -1;
        if (last == '\n')
            break;
        end--;
    }
    return end;
}

fmq_metrics_log_t *fmq_metrics_log_open(const char *path, fmq_error_t *err)
{
    fmq_metrics_log_t *self = calloc(1, sizeof *self);
    if (!self) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for '%s'", path);
        return NULL;
    }
    self->fd = -1;
    self->path = fmq_file_path(err, "%s", path);
    if (!self->path)
        goto fail;
    self->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (self->fd < 0) {
        (void)fmq_error_set(err, FMQ_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
        goto fail;
    }
    off_t size = whole_lines(self->fd, path, err);
    if (size < 0)
        goto fail;
    if (ftruncate(self->fd, size) < 0) {
        (void)fmq_error_set(err, FMQ_ERR_IO, "cannot cut '%s': %s", path, strerror(errno));
        goto fail;
    }
    return self;
fail:
    fmq_metrics_log_close(&self);
    return NULL;
}

void fmq_metrics_log_close(fmq_metrics_log_t **self_p)
{
    fmq_metrics_log_t *self = *self_p;
    if (!self)
        return;
    if (self->fd >= 0)
        (void)close(self->fd);
    free(self->path);
    free(self);
    *self_p = NULL;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* Takes metrics over. */
static int append(fmq_metrics_log_t *self, const fmq_metrics_log_key_t *key, json_t *metrics,
                  fmq_error_t *err)
{
    char now[FMQ_CLOCK_UTC_SIZE];
    fmq_clock_utc(now);
    int rc = -1;
    char *line = NULL;
    json_t *object =
        json_pack("{s:I, s:s, s:s, s:o, s:s}", "round", (json_int_t)key->round, "source",
                  key->source, "form", key->form, "metrics", metrics, "time", now);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    if (text)
        line = fmq_file_path(err, "%s\n", text);
    if (!line) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a line of '%s'", self->path);
        goto fail;
    }
    size_t size = strlen(line);
    ssize_t got = write(self->fd, line, size);
    if (got < 0 || (size_t)got != size) {
        (void)fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s': %s", self->path,
                            got < 0 ? strerror(errno) : "only a part was written");
        goto fail;
    }
    rc = 0;
fail:
    free(line);
    free(text);
    json_decref(object);
    return rc;
}

int fmq_metrics_log_add(fmq_metrics_log_t *self, const fmq_metrics_log_key_t *key,
                        const fmq_merged_t *metrics, fmq_error_t *err)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < metrics->size; i++)
        (void)json_object_set_new(object, metrics->items[i].name, number(metrics->items[i].value));
    return append(self, key, object, err);
}

int fmq_metrics_log_add_raw(fmq_metrics_log_t *self, const fmq_metrics_log_key_t *key,
                            const fmq_metrics_t *metrics, fmq_error_t *err)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < metrics->size; i++)
        (void)json_object_set_new(object, metrics->items[i].name, number(metrics->items[i].value));
    return append(self, key, object, err);
}

int fmq_metrics_log_sync(fmq_metrics_log_t *self, fmq_error_t *err)
{
    if (fsync(self->fd) == 0 || errno == EINVAL) /* a pipe or /dev/null has nothing to sync */
        return 0;
    return fmq_error_set(err, FMQ_ERR_IO, "cannot sync '%s': %s", self->path, strerror(errno));
}
