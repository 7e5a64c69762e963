/*
 * peak.h - what the cores can do: fused multiply-adds a second, measured.
 */
#ifndef FEDMQ_TESTS_BENCH_PEAK_H
#define FEDMQ_TESTS_BENCH_PEAK_H

#define BENCH_THREADS_MAX 64

/* GFLOP/s of independent fused multiply-adds on so many threads at once, the
 * best of several runs, with the vectors of this variant of the CPU backend
 * ("avx512", "avx2"); 0 where there is no such loop. */
double bench_peak(int threads, const char *variant);

/* Seconds of the monotonic clock. */
double bench_now(void);

#endif
