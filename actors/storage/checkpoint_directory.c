/*
 * checkpoint_directory.c - checkpoints by round: the newest intact one, and those
 * that are not needed any more.
 */
#include "actors/storage/checkpoint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "actors/storage/round_files.h"

static fmq_round_files_t files_of(const char *directory)
{
    return (fmq_round_files_t){.directory = directory, .prefix = "round-"};
}

static char *path_of(const char *directory, uint32_t round, fmq_error_t *err)
{
    const fmq_round_files_t files = files_of(directory);
    return fmq_round_files_path(&files, round, err);
}

int fmq_checkpoint_put(const char *directory, const fmq_checkpoint_t *checkpoint,
                       const fmq_sections_t *sections, fmq_error_t *err)
{
    char *path = path_of(directory, checkpoint->round, err);
    int rc = path ? fmq_checkpoint_save(path, checkpoint, sections, err) : -1;
    free(path);
    return rc;
}

char *fmq_checkpoint_find_state(const char *directory, uint32_t round, const fmq_schema_t *schema,
                                uint64_t *offset, fmq_error_t *err)
{
    char *path = path_of(directory, round, err);
    if (path && fmq_checkpoint_locate(path, FMQ_SECTION_STATE, schema, offset, err) < 0) {
        free(path);
        path = NULL;
    }
    return path;
}

int fmq_checkpoint_newest(const fmq_checkpoint_search_t *search, fmq_checkpoint_t *checkpoint,
                          uint32_t *skipped, fmq_error_t *err)
{
    const fmq_round_files_t files = files_of(search->directory);
    *skipped = 0;
    int64_t round = INT64_MAX;
    while ((round = fmq_round_files_highest(&files, 0, round)) >= 0) {
        fmq_error_t why;
        char *path = path_of(search->directory, (uint32_t)round, err);
        if (!path)
            return -1;
        int rc = fmq_checkpoint_load(path, search->sections, checkpoint, &why);
        free(path);
        if (rc == 0)
            return 1;
        if (why.code == FMQ_ERR_MISMATCH)
            return fmq_error_copy(err, &why);
        fmq_log_write(search->log, FMQ_LOG_WARNING, "server", "checkpoint-skipped",
                      "round=%" PRId64 " reason=\"%s\"", round, why.text);
        ++*skipped;
    }
    if (*skipped > 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "none of the %u checkpoints in '%s' is intact; remove them to begin "
                             "anew",
                             *skipped, search->directory);
    return 0;
}

int fmq_checkpoint_look(const char *directory, fmq_checkpoint_t *newest, fmq_error_t *err)
{
    const fmq_round_files_t files = files_of(directory);
    int64_t round = INT64_MAX;
    bool any = false;
    while ((round = fmq_round_files_highest(&files, 0, round)) >= 0) {
        char *path = path_of(directory, (uint32_t)round, err);
        int rc = path ? fmq_checkpoint_read_head(path, newest, err) : -1;
        free(path);
        if (rc == 0)
            return 1;
        any = true;
    }
    return any ? -1 : 0;
}

static void remove_range(const char *directory, int64_t least, int64_t below)
{
    const fmq_round_files_t files = files_of(directory);
    int64_t round;
    while ((round = fmq_round_files_highest(&files, least, below)) >= 0) {
        char *path = path_of(directory, (uint32_t)round, NULL);
        bool removed = path && unlink(path) == 0;
        free(path);
        if (!removed)
            return;
    }
}

void fmq_checkpoint_prune(const char *directory, uint32_t round)
{
    remove_range(directory, 0, round);
}

void fmq_checkpoint_forget(const char *directory, uint32_t round)
{
    remove_range(directory, (int64_t)round + 1, INT64_MAX);
}
