/*
 * flags.c - reads the arguments of a benchmark by a table.
 */
#include "tests/bench/flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_usage(const bench_flag_t *flags, size_t count, const char *program)
{
    (void)fprintf(stderr, "usage: %s", program);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(stderr, " [%s %d..%d]", flags[i].name, flags[i].least, flags[i].most);
    (void)fprintf(stderr, "\n");
    exit(2);
}

static const bench_flag_t *find(const bench_flag_t *flags, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(flags[i].name, name) == 0)
            return &flags[i];
    return NULL;
}

void bench_flags(const bench_flag_t *flags, size_t count, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const bench_flag_t *flag = find(flags, count, argv[i]);
        char *end = NULL;
        long value = i + 1 < argc ? strtol(argv[i + 1], &end, 10) : 0;
        if (!flag || !end || end == argv[i + 1] || *end || value < flag->least ||
            value > flag->most)
            bench_usage(flags, count, argv[0]);
        *flag->value = (int)value;
    }
}
