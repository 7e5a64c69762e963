/*
 * flags.h - "--name NUMBER" arguments of the benchmark programs.
 */
#ifndef FEDMQ_TESTS_BENCH_FLAGS_H
#define FEDMQ_TESTS_BENCH_FLAGS_H

#include <stddef.h>

typedef struct {
    const char *name; /* "--threads" */
    int *value;       /* holds the default */
    int least, most;
} bench_flag_t;

/* Takes every argument, or says on stderr which there are and exits with
 * status 2. */
void bench_flags(const bench_flag_t *flags, size_t count, int argc, char **argv);
/* Says so and exits; for what a range does not say. */
void bench_usage(const bench_flag_t *flags, size_t count, const char *program);

#endif
