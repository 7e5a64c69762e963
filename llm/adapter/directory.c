/*
 * directory.c - see directory.h.
 */
#include "llm/adapter/directory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fedmq/llm/tokenizer.h"
#include "llm/adapter/layout.h"
#include "llm/hub/file.h"

/* Written in this order: a directory with a configuration is complete. */
static const char *const written[] = {
    "adapter_model.safetensors",
    LLM_LAYERS_FILE,
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json",
    "adapter_config.json",
    "config.json",
};
#define WRITTEN       (sizeof written / sizeof *written)
#define COPIED_FIRST  3  /* tokenizer.json ... */
#define COPIED_BEHIND 12 /* ... generation_config.json */

/* A file that the source does not have is passed over: no model has them all. */
static int copy_file(const char *from, const char *to, fmq_error_t *err)
{
    if (!llm_file_exists(from))
        return 0;
    size_t size = 0;
    char *text = llm_file_read(from, LLM_TOKENIZER_FILE_MAX, &size, err);
    llm_file_out_t out;
    if (!text || llm_file_create(&out, to, err) < 0) {
        free(text);
        return -1;
    }
    int rc = 0;
    if (fwrite(text, 1, size, out.stream) != size) {
        rc = fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s': %s", to, strerror(errno));
        llm_file_abandon(&out);
    } else {
        rc = llm_file_commit(&out, err);
    }
    free(text);
    return rc;
}

int llm_directory_copy_tokenizer(const char *source, const char *directory, fmq_error_t *err)
{
    int rc = 0;
    for (size_t i = COPIED_FIRST; source && i < COPIED_BEHIND && rc == 0; i++) {
        char *from = llm_file_path(source, written[i]);
        char *to = llm_file_path(directory, written[i]);
        rc = from && to ? copy_file(from, to, err)
                        : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
        free(from);
        free(to);
    }
    return rc;
}
/* Moves the files we write, one by one, into a directory that exists. */
static int move_files(const char *from, const char *to, fmq_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; i < WRITTEN && rc == 0; i++) {
        char *source = llm_file_path(from, written[i]);
        char *target = llm_file_path(to, written[i]);
        if (!source || !target)
            rc = fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
        else if (rename(source, target) < 0 && errno != ENOENT)
            rc = fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s': %s", target, strerror(errno));
        free(source);
        free(target);
    }
    char *inside = llm_file_path(to, written[0]);
    if (rc == 0)
        rc = inside ? llm_file_sync_name(inside, err)
                    : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    free(inside);
    return rc;
}

static void remove_temporary(const char *directory)
{
    for (size_t i = 0; i < WRITTEN; i++) {
        char *path = llm_file_path(directory, written[i]);
        if (path)
            (void)unlink(path);
        free(path);
    }
    (void)rmdir(directory);
}

/* Its length without slashes at the end. */
static size_t bare_length(const char *directory)
{
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/')
        size--;
    return size;
}

char *llm_directory_begin(const char *directory, fmq_error_t *err)
{
    size_t size = bare_length(directory);
    char *path = malloc(size + sizeof ".XXXXXX");
    if (!path) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
        return NULL;
    }
    memcpy(path, directory, size);
    memcpy(path + size, ".XXXXXX", sizeof ".XXXXXX");
    if (!mkdtemp(path) || chmod(path, 0755) < 0) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot create a directory beside '%s': %s", directory,
                      strerror(errno));
        free(path);
        return NULL;
    }
    return path;
}

static int sync_directory_name(const char *directory, fmq_error_t *err)
{
    char *bare = strndup(directory, bare_length(directory));
    int rc = bare ? llm_file_sync_name(bare, err)
                  : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    free(bare);
    return rc;
}

static int put_in_place(const char *temporary, const char *directory, fmq_error_t *err)
{
    if (llm_file_is_directory(directory))
        return move_files(temporary, directory, err);
    if (rename(temporary, directory) < 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot create '%s': %s", directory, strerror(errno));
    return sync_directory_name(directory, err);
}

int llm_directory_end(char **temporary_p, const char *directory, int rc, fmq_error_t *err)
{
    if (rc == 0)
        rc = put_in_place(*temporary_p, directory, err);
    remove_temporary(*temporary_p);
    free(*temporary_p);
    *temporary_p = NULL;
    return rc;
}
