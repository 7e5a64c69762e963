/*
 * flags.h - the arguments of the benchmark programs: "--name NUMBER", "--name
 * TEXT", and "--name" alone.
 */
#ifndef FEDMQ_TESTS_BENCH_FLAGS_H
#define FEDMQ_TESTS_BENCH_FLAGS_H

#include <stdbool.h>
#include <stddef.h>

/* One argument; of number, text and set, one is not NULL and holds the default. */
typedef struct {
    const char *name; /* "--threads" */
    int *number;
    int least, most;
    const char **text;
    const char *choices; /* of a text: "f32|bf16"; anything where they have no bar */
    bool *set;
} bench_flag_t;

static inline bench_flag_t bench_number(const char *name, int *number, int least, int most)
{
    return (bench_flag_t){.name = name, .number = number, .least = least, .most = most};
}

/* choices: "f32|bf16", or what the text is, for the usage: "DIR". */
static inline bench_flag_t bench_text(const char *name, const char **text, const char *choices)
{
    return (bench_flag_t){.name = name, .text = text, .choices = choices};
}

static inline bench_flag_t bench_switch(const char *name, bool *set)
{
    return (bench_flag_t){.name = name, .set = set};
}

/* Takes every argument, or says on stderr which there are and exits with
 * status 2. */
void bench_flags(const bench_flag_t *flags, size_t count, int argc, char **argv);
/* Says so and exits; for what a range does not say. */
void bench_usage(const bench_flag_t *flags, size_t count, const char *program);

#endif
