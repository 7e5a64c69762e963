/*
 * versions.h - where the versions of a run's notes begin, in each life of its
 * server.
 *
 * Who reads a note keeps the newest version only, and clients live on when a
 * server is started again: its versions must lie above those of all its former
 * lives, also when the clock has been set back meanwhile.  So the run's
 * directory remembers, in the file `versions`, up to where they may be.
 */
#ifndef FEDMQ_ACTORS_STORAGE_VERSIONS_H
#define FEDMQ_ACTORS_STORAGE_VERSIONS_H

#include <stdint.h>

#include "fedmq/base/error.h"

#define FMQ_VERSIONS_NAME "versions"

/* Takes the next range for this life and makes that durable.  wall_ms: the
 * clock, which counts where it is ahead.  *first is never 0.  -1 with
 * FMQ_ERR_FORMAT when the file is not what it should be. */
int fmq_versions_begin(const char *directory, int64_t wall_ms, uint64_t *first, fmq_error_t *err);

#endif
