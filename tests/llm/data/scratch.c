/*
 * scratch.c - temporary files for tests.
 */
#define _XOPEN_SOURCE 700
#include "tests/llm/data/scratch.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

void scratch_open(scratch_t *self)
{
    strcpy(self->folder, "/tmp/fedmq-test-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
}

static void make_folders(char *path)
{
    for (char *at = path + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        (void)mkdir(path, 0700);
        *at = '/';
    }
}

static void write_packed(const char *path, const void *data, size_t size)
{
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

const char *scratch_write_bytes(scratch_t *self, const char *name, const void *data, size_t size)
{
    int length = snprintf(self->path, sizeof self->path, "%s/%s", self->folder, name);
    assert_true(length > 0 && length < (int)sizeof self->path);
    make_folders(self->path);
    FILE *file = fopen(self->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return self->path;
}

const char *scratch_write(scratch_t *self, const char *name, const char *text)
{
    size_t length = strlen(name);
    scratch_write_bytes(self, name, text, strlen(text));
    if (length > 3 && strcmp(name + length - 3, ".gz") == 0)
        write_packed(self->path, text, strlen(text));
    return self->path;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

void scratch_close(scratch_t *self)
{
    assert_int_equal(nftw(self->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}
