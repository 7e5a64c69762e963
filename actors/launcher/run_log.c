/*
 * run_log.c - keeps lines, then writes them and all that follow to a file.
 */
#include "actors/launcher/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fmq_run_log {
    pthread_mutex_t lock;
    char *kept; /* owned; lines that wait */
    size_t size;
    int descriptor;
    fmq_writer_t *writer; /* owned; NULL: not yet */
};

fmq_run_log_t *fmq_run_log_new(void)
{
    fmq_run_log_t *self = calloc(1, sizeof *self);
    if (self && pthread_mutex_init(&self->lock, NULL) == 0)
        return self;
    free(self);
    return NULL;
}

void fmq_run_log_destroy(fmq_run_log_t **self_p)
{
    fmq_run_log_t *self = *self_p;
    if (!self)
        return;
    if (self->writer)
        (void)close(self->descriptor);
    fmq_writer_destroy(&self->writer);
    free(self->kept);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

static void keep(fmq_run_log_t *self, const char *line)
{
    size_t length = strlen(line);
    if (self->size + length + 1 > FMQ_RUN_LOG_KEPT_MAX)
        return;
    char *kept = realloc(self->kept, self->size + length + 1);
    if (!kept)
        return;
    memcpy(kept + self->size, line, length);
    kept[self->size + length] = '\n';
    self->kept = kept;
    self->size += length + 1;
}

void fmq_run_log_write(void *argument, fmq_log_level_t level, const char *line)
{
    fmq_run_log_t *self = argument;
    (void)pthread_mutex_lock(&self->lock);
    if (self->writer)
        fmq_log_sink_writer(self->writer, level, line);
    else
        keep(self, line);
    (void)pthread_mutex_unlock(&self->lock);
}

/* A line each: a writer takes no text of any size. */
static void put_kept(fmq_run_log_t *self, fmq_writer_t *writer)
{
    size_t begin = 0;
    for (size_t i = 0; i < self->size; i++)
        if (self->kept[i] == '\n') {
            fmq_writer_put(writer, FMQ_WRITER_IMPORTANT, self->kept + begin, i + 1 - begin);
            begin = i + 1;
        }
    free(self->kept);
    self->kept = NULL;
    self->size = 0;
}

int fmq_run_log_open(fmq_run_log_t *self, const char *directory, fmq_error_t *err)
{
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/run.log", directory);
    if (size < 0 || (size_t)size >= sizeof path)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "the path of the run's directory is too long");
    int descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    const fmq_writer_options_t options = {.descriptor = descriptor, .notice = fmq_log_notice};
    fmq_writer_t *writer = fmq_writer_new(&options, err);
    if (!writer) {
        (void)close(descriptor);
        return -1;
    }
    (void)pthread_mutex_lock(&self->lock);
    put_kept(self, writer);
    self->descriptor = descriptor;
    self->writer = writer;
    (void)pthread_mutex_unlock(&self->lock);
    return 0;
}

fmq_writer_t *fmq_run_log_writer(fmq_run_log_t *self)
{
    (void)pthread_mutex_lock(&self->lock);
    fmq_writer_t *writer = self->writer;
    (void)pthread_mutex_unlock(&self->lock);
    return writer;
}
