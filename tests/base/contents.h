/*
 * contents.h - a page of the project as a text.  Include cmocka first.
 */
#ifndef FEDMQ_TESTS_BASE_CONTENTS_H
#define FEDMQ_TESTS_BASE_CONTENTS_H

#include <stdio.h>
#include <stdlib.h>

#define CONTENTS_MAX (1 << 20) /* bytes with NUL */

/* The caller's. */
static inline char *contents(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    char *text = calloc(1, CONTENTS_MAX);
    assert_true(fread(text, 1, CONTENTS_MAX - 1, file) > 0);
    (void)fclose(file);
    return text;
}

#endif
