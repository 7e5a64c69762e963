/*
 * round_files.h - files that are numbered by rounds: <directory>/<prefix>000007.state.
 */
#ifndef FEDMQ_ACTORS_STORAGE_ROUND_FILES_H
#define FEDMQ_ACTORS_STORAGE_ROUND_FILES_H

#include <stdint.h>

#include "fedmq/base/error.h"
#include "fedmq/base/log.h"

/* Which; borrowed. */
typedef struct {
    const char *directory, *prefix;
} fmq_round_files_t;

/* That of a round; the caller's.  NULL with FMQ_ERR_NOMEM. */
char *fmq_round_files_path(const fmq_round_files_t *self, uint32_t round, fmq_error_t *err);

/* The highest round with a file that is at least `least` and below `below`; -1: there is none, or
 * no directory.  Files of others, and one that a killed process had not finished (file.h), are
 * none. */
int64_t fmq_round_files_highest(const fmq_round_files_t *self, int64_t least, int64_t below);

/* Removes all but that of a round and, unless before is NULL, of *before. */
void fmq_round_files_keep(const fmq_round_files_t *self, uint32_t round, const uint32_t *before);

/* Who reads one: 1; 0: it is of another run; -1 with `why`. */
typedef int fmq_round_files_fn(void *argument, uint32_t round, const char *path, fmq_error_t *why);

typedef struct {
    fmq_round_files_t files;
    fmq_round_files_fn *load;
    void *argument;          /* of load */
    fmq_log_t *log;          /* may be NULL */
    const char *actor;       /* of its lines ... */
    const char *passed_over; /* ... about a file that is not intact */
} fmq_round_files_reading_t;

/* Loads the newest that is of a round below `below`, intact, and not of another run.  1, 0 when
 * there is none, or -1: the disk failed. */
int fmq_round_files_load(const fmq_round_files_reading_t *how, int64_t below, fmq_error_t *err);

#endif
