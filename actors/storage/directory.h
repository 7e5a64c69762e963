/*
 * directory.h - directories that are durable, and a run's, which has one leader
 * at a time.
 *
 * The file LOCK in it is locked (fcntl, so that it also works on NFS with a
 * lock service) for as long as its process lives; the system takes the lock
 * away from a process that was killed.  Who comes second is told who leads.
 * The file stays; only the lock counts.
 */
#ifndef FEDMQ_ACTORS_STORAGE_DIRECTORY_H
#define FEDMQ_ACTORS_STORAGE_DIRECTORY_H

#include <stdbool.h>

#include "fedmq/base/error.h"

#define FMQ_LOCK_NAME "LOCK"

/* mkdir -p, each new name made durable; an existing directory is fine. */
int fmq_directory_make(const char *path, fmq_error_t *err);
/* The names in a directory, and in the one that holds path, are on the disk. */
int fmq_directory_sync(const char *directory, fmq_error_t *err);
int fmq_directory_sync_of(const char *path, fmq_error_t *err);

typedef struct fmq_lock fmq_lock_t;

/* Locks a directory that exists, without saying yet who did.  NULL with
 * FMQ_ERR_DENIED when another process leads the run (err names it), FMQ_ERR_IO
 * when the file cannot be written. */
fmq_lock_t *fmq_lock_take(const char *directory, fmq_error_t *err);

/* Writes into the file who leads: process, host, since when, and command. */
int fmq_lock_sign(fmq_lock_t *self, const char *command, fmq_error_t *err);

/* Does a process lead the run in this directory now?  Looks and touches nothing. */
bool fmq_lock_is_held(const char *directory);

/* Gives the lock back.  One that was never signed leaves no file that was not
 * there before. */
void fmq_lock_release(fmq_lock_t **self_p);

#endif
