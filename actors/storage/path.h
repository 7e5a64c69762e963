/*
 * path.h - names of files, and what is said when one cannot be used.
 */
#ifndef FEDMQ_ACTORS_STORAGE_PATH_H
#define FEDMQ_ACTORS_STORAGE_PATH_H

#include "fedmq/base/error.h"

/* FMQ_ERR_IO from errno: "cannot <what> '<path>': ...", and where the disk is
 * full what to do; -1. */
int fmq_file_error(fmq_error_t *err, const char *what, const char *path);

/* A path from its format, the caller's; NULL with err. */
char *fmq_file_path(fmq_error_t *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "models/x" and "final" -> "models/final_x", the caller's. */
char *fmq_prefixed_path(const char *save_to, const char *prefix, fmq_error_t *err);

#endif
