/*
 * peak.c - see peak.h.  The best of several runs counts: other processes can
 * only make it slower.
 */
#include "tests/bench/peak.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHAINS 12 /* independent sums: enough to fill the pipelines */

double bench_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The loop is compiled for each instruction set, as the kernels are. */
#define FMA_STEPS 4000000
#define FMA_LOOP(name, isa, vector_t, set, fma, first)                                             \
    __attribute__((target(isa))) static float name(void)                                           \
    {                                                                                              \
        vector_t sum[CHAINS];                                                                      \
        vector_t factor = set(0.999f);                                                             \
        vector_t term = set(0.001f);                                                               \
        for (int c = 0; c < CHAINS; c++)                                                           \
            sum[c] = set((float)c);                                                                \
        for (int i = 0; i < FMA_STEPS; i++)                                                        \
            for (int c = 0; c < CHAINS; c++)                                                       \
                sum[c] = fma(sum[c], factor, term);                                                \
        float total = 0;                                                                           \
        for (int c = 0; c < CHAINS; c++)                                                           \
            total += first(sum[c]);                                                                \
        return total;                                                                              \
    }
#if defined(__x86_64__)
FMA_LOOP(fma_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_cvtss_f32)
FMA_LOOP(fma_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_cvtss_f32)
#endif

static volatile float sink;

static void *peak_main(void *lanes)
{
#if defined(__x86_64__)
    sink = *(const int *)lanes == 16 ? fma_avx512() : fma_avx2();
#else
    (void)lanes;
#endif
    return NULL;
}

double bench_peak(int threads, const char *variant)
{
    int lanes = strncmp(variant, "avx512", 6) == 0 ? 16 : strcmp(variant, "avx2") == 0 ? 8 : 0;
    double best = 0;
    for (int round = 0; round < 20 && lanes; round++) {
        pthread_t others[BENCH_THREADS_MAX];
        double start = bench_now();
        for (int i = 1; i < threads; i++)
            if (pthread_create(&others[i], NULL, peak_main, &lanes) != 0)
                exit(1);
        peak_main(&lanes);
        for (int i = 1; i < threads; i++)
            pthread_join(others[i], NULL);
        double rate = 2.0 * lanes * CHAINS * FMA_STEPS * threads / (bench_now() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}
