/*
 * round_files.c - finds files by the numbers in their names.
 */
#include "actors/storage/round_files.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/storage/path.h"

char *fmq_round_files_path(const fmq_round_files_t *self, uint32_t round, fmq_error_t *err)
{
    return fmq_file_path(err, "%s/%s%06u.state", self->directory, self->prefix, round);
}

static bool round_of(const fmq_round_files_t *self, const char *name, unsigned *round)
{
    int end = 0;
    size_t length = strlen(self->prefix);
    return strncmp(name, self->prefix, length) == 0 &&
           sscanf(name + length, "%9u.state%n", round, &end) == 1 && end > 0 &&
           name[length + (size_t)end] == '\0';
}

int64_t fmq_round_files_highest(const fmq_round_files_t *self, int64_t least, int64_t below)
{
    int64_t highest = -1;
    DIR *directory = opendir(self->directory);
    if (!directory)
        return -1;
    const struct dirent *item;
    while ((item = readdir(directory))) {
        unsigned round = 0;
        if (round_of(self, item->d_name, &round) && round >= least && round < below &&
            round > highest)
            highest = round;
    }
    (void)closedir(directory);
    return highest;
}

void fmq_round_files_keep(const fmq_round_files_t *self, uint32_t round, const uint32_t *before)
{
    int64_t found = INT64_MAX;
    while ((found = fmq_round_files_highest(self, 0, found)) >= 0) {
        char *path = fmq_round_files_path(self, (uint32_t)found, NULL);
        if (path && found != round && !(before && found == *before))
            (void)unlink(path);
        free(path);
    }
}

int fmq_round_files_load(const fmq_round_files_reading_t *how, int64_t below, fmq_error_t *err)
{
    while ((below = fmq_round_files_highest(&how->files, 0, below)) >= 0) {
        fmq_error_t why = {0};
        char *path = fmq_round_files_path(&how->files, (uint32_t)below, &why);
        int rc = path ? how->load(how->argument, (uint32_t)below, path, &why) : -1;
        free(path);
        if (rc > 0)
            return 1;
        if (rc < 0 && (why.code == FMQ_ERR_IO || why.code == FMQ_ERR_NOMEM))
            return fmq_error_copy(err, &why);
        if (rc < 0)
            fmq_log_write(how->log, FMQ_LOG_WARNING, how->actor, how->passed_over, "reason=\"%s\"",
                          why.text);
    }
    return 0;
}
