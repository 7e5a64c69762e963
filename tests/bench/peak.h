/*
 * peak.h - what the cores can do: operations a second, and bytes
 * from memory, measured.
 */
#ifndef FEDMQ_TESTS_BENCH_PEAK_H
#define FEDMQ_TESTS_BENCH_PEAK_H

#define BENCH_THREADS_MAX 64

/* GFLOP/s of independent fused multiply-adds on so many threads at once, the
 * best of several runs, with the vectors of this variant of the CPU backend
 * ("avx512", "avx2"); 0 where there is no such loop. */
double bench_peak(int threads, const char *variant);

/* The same of pairs of bf16 values summed in fp32 (AVX512-BF16); 0 where the
 * processor has no such instruction. */
double bench_peak_half(int threads);

/* GB/s that so many threads read from memory, the best of a few runs over more
 * than caches hold. */
double bench_read_bandwidth(int threads);

/* Seconds of the monotonic clock. */
double bench_now(void);

#endif
