/*
 * run_log.c - keeps lines, then writes them and all that follow to a file.
 */
#include "actors/launcher/run_log.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fmq_run_log {
    pthread_mutex_t lock;
    char *kept; /* owned; lines that wait */
    size_t size;
    FILE *file; /* owned; NULL: not yet */
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
    if (self->file)
        (void)fclose(self->file);
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
    (void)level;
    (void)pthread_mutex_lock(&self->lock);
    if (self->file)
        (void)fprintf(self->file, "%s\n", line);
    else
        keep(self, line);
    (void)pthread_mutex_unlock(&self->lock);
}

int fmq_run_log_open(fmq_run_log_t *self, const char *directory, fmq_error_t *err)
{
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/run.log", directory);
    if (size < 0 || (size_t)size >= sizeof path)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "the path of the run's directory is too long");
    FILE *file = fopen(path, "a");
    if (!file)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    (void)setvbuf(file, NULL, _IOLBF, 0);
    (void)pthread_mutex_lock(&self->lock);
    if (self->size > 0)
        (void)fwrite(self->kept, 1, self->size, file);
    free(self->kept);
    self->kept = NULL;
    self->size = 0;
    self->file = file;
    (void)pthread_mutex_unlock(&self->lock);
    return 0;
}
