/*
 * directory.h - a directory of a model or an adapter on its way to disk.
 *
 * Private to the engine.  All files are written into a directory beside the
 * final one; that is then renamed, or its files are moved one by one when the
 * final one exists already.  Files of others in there are left alone.
 */
#ifndef FEDMQ_LLM_ADAPTER_DIRECTORY_H
#define FEDMQ_LLM_ADAPTER_DIRECTORY_H

#include "fedmq/base/error.h"

/* A new directory "<directory>.XXXXXX" to write into; NULL with err. */
char *llm_directory_begin(const char *directory, fmq_error_t *err);

/* Puts it in place when rc is 0, and removes it else.  Releases *temporary_p
 * either way.  Returns rc, or -1 when it could not be put in place. */
int llm_directory_end(char **temporary_p, const char *directory, int rc, fmq_error_t *err);

/* Copies the tokenizer's files that source has; source may be NULL. */
int llm_directory_copy_tokenizer(const char *source, const char *directory, fmq_error_t *err);

#endif
