/*
 * footprint.h - how much memory a piece of work takes at most, measured in a
 * process of its own.
 */
#ifndef FEDMQ_TESTS_BENCH_FOOTPRINT_H
#define FEDMQ_TESTS_BENCH_FOOTPRINT_H

typedef struct {
    double peak; /* MiB: VmHWM, with pages of mapped files */
    double anon; /* MiB: the largest RssAnon of samples 2 ms apart: what no file backs */
    double seconds;
} footprint_t;

/* Forks a child that does the work and ends.  -1 when it did not get to its
 * end; what went wrong it has said itself. */
int footprint_of(void (*work)(const void *argument), const void *argument, footprint_t *out);

#endif
