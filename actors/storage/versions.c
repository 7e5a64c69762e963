/*
 * versions.c - a number in a file: 2^20 versions belong to each step of it, and
 * 2^20 steps to each life, which are more notes than a life can have.
 */
#include "actors/storage/versions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/storage/file.h"

#define STEP_BITS 20
#define LIFE      (UINT64_C(1) << 20)
#define STEPS_MAX (UINT64_C(1) << 43) /* beyond what any clock has said: a damaged file */
#define FILE_MAX  64

static int damaged(const char *path, fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_FORMAT,
                         "'%s' holds no number of the kind that was written there; remove it, if "
                         "this machine's clock has not been set back",
                         path);
}

/* The step that the next life may begin at; 0 where nothing is known. */
static int load(const char *path, uint64_t *next, fmq_error_t *err)
{
    size_t size = 0;
    fmq_error_t why = {0};
    char *end = NULL, *text = fmq_file_load(path, FILE_MAX, &size, &why);
    *next = 0;
    if (!text && why.code == FMQ_ERR_NOTFOUND)
        return 0;
    if (!text)
        return why.code == FMQ_ERR_LIMIT ? damaged(path, err) : fmq_error_copy(err, &why);
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool right =
        end != text && strcmp(end, "\n") == 0 && errno == 0 && *text != '-' && value < STEPS_MAX;
    free(text);
    if (!right)
        return damaged(path, err);
    *next = value;
    return 0;
}

int fmq_versions_begin(const char *directory, int64_t wall_ms, uint64_t *first, fmq_error_t *err)
{
    char text[FILE_MAX];
    uint64_t next = 0, now = wall_ms > 0 && (uint64_t)wall_ms < STEPS_MAX ? (uint64_t)wall_ms : 1;
    char *path = fmq_file_path(err, "%s/" FMQ_VERSIONS_NAME, directory);
    int rc = path ? load(path, &next, err) : -1;
    if (rc == 0) {
        uint64_t step = next > now ? next : now;
        int size = snprintf(text, sizeof text, "%" PRIu64 "\n", step + LIFE);
        rc = fmq_file_save(path, text, (size_t)size, err);
        if (rc == 0)
            *first = step << STEP_BITS;
    }
    free(path);
    return rc;
}
