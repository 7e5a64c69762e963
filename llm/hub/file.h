/*
 * file.h - whole files in, and files replaced atomically.
 *
 * Private to the engine.  Reads regular files only, up to a limit the caller
 * names.  A file that is written appears under its name complete or not at all.
 */
#ifndef FEDMQ_LLM_HUB_FILE_H
#define FEDMQ_LLM_HUB_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "fedmq/base/error.h"

/* "<directory>/<name>", the caller's; NULL when out of memory. */
char *llm_file_path(const char *directory, const char *name);

bool llm_file_exists(const char *path);
bool llm_file_is_directory(const char *path);

/* Opens a regular file for reading and tells its size.  Returns a descriptor
 * that the caller closes, or -1 with FMQ_ERR_NOTFOUND, FMQ_ERR_IO or
 * FMQ_ERR_FORMAT (not a regular file). */
int llm_file_open(const char *path, size_t *size, fmq_error_t *err);

/* Content of a file of at most size_max bytes, the caller's, with a NUL behind
 * it that *size does not count.  NULL also with FMQ_ERR_LIMIT. */
char *llm_file_read(const char *path, size_t size_max, size_t *size, fmq_error_t *err);

/* A file on its way to disk: write to stream, then commit or abandon. */
typedef struct {
    FILE *stream;    /* owned */
    char *path;      /* owned: where it will be */
    char *temporary; /* owned: where it is now, in the same directory */
} llm_file_out_t;

/* Creates the temporary.  On failure nothing is left behind. */
int llm_file_create(llm_file_out_t *out, const char *path, fmq_error_t *err);

/* Flushes and syncs the file, renames it to its path and syncs the directory.
 * On failure the old file is untouched and the temporary is gone.  Releases
 * out either way. */
int llm_file_commit(llm_file_out_t *out, fmq_error_t *err);

/* A rename is durable once the directory that holds the name is: syncs that. */
int llm_file_sync_name(const char *path, fmq_error_t *err);

/* Removes the temporary and releases out; does nothing when released. */
void llm_file_abandon(llm_file_out_t *out);

#endif
