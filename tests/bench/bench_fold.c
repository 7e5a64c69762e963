/*
 * bench_fold.c - how fast rules fold updates that lie in memory: bytes of updates a
 * processor second.
 *
 *     bench_fold [--updates 64] [--mib 16]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fedmq/extend/rule.h"

static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* All updates are the same memory, each from another place on. */
typedef struct {
    const float *values;
    uint64_t elements;
} source_t;

static int read_range(void *argument, size_t index, uint64_t first, uint64_t count, float *values,
                      fmq_error_t *err)
{
    const source_t *source = argument;
    (void)err;
    memcpy(values, source->values + index * 16 + first, (size_t)count * sizeof *values);
    return 0;
}

static int put(void *argument, uint64_t first, uint64_t count, float *values, fmq_error_t *err)
{
    (void)err;
    memcpy((float *)argument + first, values, (size_t)count * sizeof *values);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"fedavg", "median"};
    size_t updates = 64, elements = (size_t)4 << 20;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--updates") == 0)
            updates = strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--mib") == 0)
            elements = strtoul(argv[i + 1], NULL, 10) << 18;
    }
    size_t size = elements + 16 * updates;
    float *values = malloc(size * sizeof *values), *state = malloc(elements * sizeof *state);
    uint64_t *samples = malloc((updates ? updates : 1) * sizeof *samples);
    if (!values || !state || !samples || updates == 0)
        return 1;
    for (size_t i = 0; i < size; i++)
        values[i] = (float)(i * 2654435761u % 1000003u) / 1e6F;
    for (size_t i = 0; i < updates; i++)
        samples[i] = 1 + i % 7;
    source_t source = {values, elements};
    const fmq_updates_t all = {updates, samples, elements, read_range, &source};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        double best = 1e9;
        for (int run = 0; run < 5; run++) {
            double began = processor_seconds();
            if (fmq_rule_run(fmq_rule_find(names[i], NULL), &all, put, state, NULL) < 0)
                return 1;
            double took = processor_seconds() - began;
            best = took < best ? took : best;
        }
        printf("%-8s %zu updates of %zu MiB: %.2f GB/s\n", names[i], updates, elements >> 18,
               1e-9 * (double)(updates * elements * sizeof *values) / best);
    }
    free(values);
    free(state);
    free(samples);
    return 0;
}
