/*
 * scratch.h - a folder for the files of one test, removed with all it holds.
 * Every failure in here fails the running test.
 */
#ifndef FEDMQ_TESTS_SCRATCH_H
#define FEDMQ_TESTS_SCRATCH_H

#include <stddef.h>

#define SCRATCH_PATH_MAX 512

typedef struct {
    char folder[64];
    char path[SCRATCH_PATH_MAX]; /* of the last file written */
} scratch_t;

void scratch_open(scratch_t *self);
/* Writes a file below the folder, making the folders on its way; its path is
 * left in self->path, which is returned.  A name that ends in .gz is packed. */
const char *scratch_write(scratch_t *self, const char *name, const char *text);
const char *scratch_write_bytes(scratch_t *self, const char *name, const void *data, size_t size);
void scratch_close(scratch_t *self);

#endif
