/*
 * scratch.h - a temporary directory for a test, the files in it, and where the
 * shared test data is.
 */
#ifndef FEDMQ_TESTS_SCRATCH_H
#define FEDMQ_TESTS_SCRATCH_H

#include <stddef.h>

#define SCRATCH_PATH_MAX 4096

typedef struct {
    char directory[SCRATCH_PATH_MAX];
} scratch_t;

/* Makes a new directory below $TMPDIR or /tmp; fails the test when it cannot. */
void scratch_init(scratch_t *scratch);
/* Removes it and everything in it. */
void scratch_release(scratch_t *scratch);

/* Path of a name in the directory, valid until the fourth next call. */
const char *scratch_path(const scratch_t *scratch, const char *name);
/* Writes a file, or makes a folder, and returns its path. */
const char *scratch_write(const scratch_t *scratch, const char *name, const void *data,
                          size_t size);
const char *scratch_text(const scratch_t *scratch, const char *name, const char *text);
const char *scratch_folder(const scratch_t *scratch, const char *name);

/* Whole file with a NUL behind it, the caller's, or NULL. */
char *scratch_read(const char *path, size_t *size);

/* Path of a test asset in $FEDMQ_ASSETS or ../shared/assets beside the source,
 * valid until the fourth next call; prints a line and skips the test when it
 * is not there. */
const char *scratch_asset(const char *name);
/* The same, or NULL. */
const char *scratch_asset_if(const char *name);

#endif
