/*
 * path.c - names of files, and what is said when one cannot be used.
 */
#include "actors/storage/path.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fmq_file_error(fmq_error_t *err, const char *what, const char *path)
{
    int saved = errno;
    const char *advice = saved == ENOSPC || saved == EDQUOT ? "; free some space and resume" : "";
    return fmq_error_set(err, FMQ_ERR_IO, "cannot %s '%s': %s%s", what, path, strerror(saved),
                         advice);
}

char *fmq_file_path(fmq_error_t *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *path = size >= 0 ? malloc((size_t)size + 1) : NULL;
    if (!path) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a path");
        return NULL;
    }
    va_start(args, format);
    (void)vsnprintf(path, (size_t)size + 1, format, args);
    va_end(args);
    return path;
}

char *fmq_prefixed_path(const char *save_to, const char *prefix, fmq_error_t *err)
{
    const char *slash = strrchr(save_to, '/');
    int head = slash ? (int)(slash - save_to) + 1 : 0;
    return fmq_file_path(err, "%.*s%s_%s", head, save_to, prefix, save_to + head);
}
