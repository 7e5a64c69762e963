/*
 * record_file.h - the file of an update log: records are put at its end.
 *
 * Knows what a record looks like (update_record.h), and nothing of what it says.  Small
 * records wait in memory for others, so that a thousand of them are a few writes; what was
 * not synced would not be there after a crash either way.
 */
#ifndef FEDMQ_ACTORS_STORAGE_RECORD_FILE_H
#define FEDMQ_ACTORS_STORAGE_RECORD_FILE_H

#include "actors/storage/update_record.h"

typedef struct {
    char *path;              /* owned */
    int fd;                  /* -1: there is no file yet */
    bool fresh;              /* its name is not durable yet */
    fmq_updates_head_t head; /* what a new file begins with, or this one does */
    uint64_t end;            /* where the next record goes: */
    unsigned char *waiting;  /* owned: the last bytes before end, not yet written; NULL: no room */
    size_t held;             /* of them */
} fmq_record_file_t;

/* Makes the file unless there is one, with another salt each time. */
int fmq_record_file_begin(fmq_record_file_t *self, fmq_error_t *err);
/* Puts a record and its bytes at the end; a failure, also to write what has waited, leaves
 * none of it.  *at: where the bytes lie; may be NULL. */
int fmq_record_file_append(fmq_record_file_t *self, const fmq_record_t *record, const void *data,
                           uint64_t *at, fmq_error_t *err);
/* Writes what waits; it waits on where that fails. */
int fmq_record_file_write(fmq_record_file_t *self, fmq_error_t *err);
/* Cuts the file and goes on from there. */
int fmq_record_file_cut(fmq_record_file_t *self, uint64_t end, fmq_error_t *err);
/* Gives the disk back what lies there, as far as it takes it. */
void fmq_record_file_punch(fmq_record_file_t *self, uint64_t offset, size_t size);
/* All of it is on the disk, its name in `folder` too. */
int fmq_record_file_sync(fmq_record_file_t *self, const char *folder, fmq_error_t *err);
void fmq_record_file_close(fmq_record_file_t *self);

#endif
