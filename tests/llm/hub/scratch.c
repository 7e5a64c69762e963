/*
 * scratch.c - temporary directories and shared test data for tests.
 */
#define _XOPEN_SOURCE 700 /* nftw() */
#include "tests/llm/hub/scratch.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void scratch_init(scratch_t *scratch)
{
    const char *root = getenv("TMPDIR");
    int n = snprintf(scratch->directory, sizeof scratch->directory, "%s/fedmq-test-XXXXXX",
                     root && *root ? root : "/tmp");
    assert_true(n > 0 && (size_t)n < sizeof scratch->directory);
    assert_non_null(mkdtemp(scratch->directory));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void scratch_release(scratch_t *scratch)
{
    (void)nftw(scratch->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static char *next_buffer(void)
{
    static char buffers[4][2 * SCRATCH_PATH_MAX];
    static unsigned used;
    return buffers[used++ % 4];
}

const char *scratch_path(const scratch_t *scratch, const char *name)
{
    char *path = next_buffer();
    (void)snprintf(path, 2 * SCRATCH_PATH_MAX, "%s/%s", scratch->directory, name);
    return path;
}

const char *scratch_write(const scratch_t *scratch, const char *name, const void *data, size_t size)
{
    const char *path = scratch_path(scratch, name);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(data, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
    return path;
}

const char *scratch_text(const scratch_t *scratch, const char *name, const char *text)
{
    return scratch_write(scratch, name, text, strlen(text));
}

const char *scratch_folder(const scratch_t *scratch, const char *name)
{
    const char *path = scratch_path(scratch, name);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

char *scratch_read(const char *path, size_t *size)
{
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return NULL;
    char *content = NULL;
    if (fseek(stream, 0, SEEK_END) == 0) {
        long length = ftell(stream);
        rewind(stream);
        content = length < 0 ? NULL : malloc((size_t)length + 1);
        if (content) {
            *size = fread(content, 1, (size_t)length, stream);
            content[*size] = '\0';
        }
    }
    (void)fclose(stream);
    return content;
}

static const char *asset_path(const char *name)
{
    const char *root = getenv("FEDMQ_ASSETS");
    char *path = next_buffer();
    if (root && *root)
        (void)snprintf(path, 2 * SCRATCH_PATH_MAX, "%s/%s", root, name);
    else
        (void)snprintf(path, 2 * SCRATCH_PATH_MAX, "%s/../shared/assets/%s", FEDMQ_SOURCE_DIR,
                       name);
    return path;
}

const char *scratch_asset_if(const char *name)
{
    const char *path = asset_path(name);
    return access(path, R_OK) == 0 ? path : NULL;
}

const char *scratch_asset(const char *name)
{
    const char *path = asset_path(name);
    if (access(path, R_OK) != 0) {
        print_message("skipped: no test data at '%s' (set FEDMQ_ASSETS)\n", path);
        skip();
    }
    return path;
}
