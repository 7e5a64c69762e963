/*
 * peak.c - see peak.h.  The best of several runs counts: other processes can
 * only make it slower.
 */
#include "tests/bench/peak.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <pthread.h>
#include <stdint.h>
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

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bf16"))) static float pairs_avx512(void)
{
    __m512 sum[CHAINS];
    __m512bh factor = (__m512bh)_mm512_set1_epi16(0x3f80), term = factor;
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm512_set1_ps((float)c);
    for (int i = 0; i < FMA_STEPS; i++)
        for (int c = 0; c < CHAINS; c++)
            sum[c] = _mm512_dpbf16_ps(sum[c], factor, term);
    float total = 0;
    for (int c = 0; c < CHAINS; c++)
        total += _mm512_cvtss_f32(sum[c]);
    return total;
}
#endif

static volatile float sink;

/* Runs work in so many threads at once, the caller being one, each with its
 * own piece of arguments, and returns the seconds. */
static double together(int threads, void *(*work)(void *), void *arguments, size_t size)
{
    pthread_t others[BENCH_THREADS_MAX];
    double start = bench_now();
    for (int i = 1; i < threads; i++)
        if (pthread_create(&others[i], NULL, work, (char *)arguments + (size_t)i * size) != 0)
            exit(1);
    work(arguments);
    for (int i = 1; i < threads; i++)
        pthread_join(others[i], NULL);
    return bench_now() - start;
}

static void *peak_main(void *lanes)
{
#if defined(__x86_64__)
    int which = *(const int *)lanes;
    sink = which == 32 ? pairs_avx512() : which == 16 ? fma_avx512() : fma_avx2();
#else
    (void)lanes;
#endif
    return NULL;
}

static double peak_of(int threads, int lanes)
{
    double best = 0;
    for (int round = 0; round < 20 && lanes; round++) {
        double seconds = together(threads, peak_main, &lanes, 0);
        double rate = 2.0 * lanes * CHAINS * FMA_STEPS * threads / seconds * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}

double bench_peak(int threads, const char *variant)
{
    return peak_of(threads, strncmp(variant, "avx512", 6) == 0 ? 16
                            : strcmp(variant, "avx2") == 0     ? 8
                                                               : 0);
}

double bench_peak_half(int threads)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bf16"))
        return peak_of(threads, 32);
#endif
    return peak_of(threads, 0);
}

#define READ_BYTES (256u << 20) /* a thread */

/* Sums of a thread's share of memory, four at once. */
static void *read_main(void *share)
{
    const uint64_t *words = *(uint64_t *const *)share;
    uint64_t sum[4] = {0};
    for (size_t i = 0; i < READ_BYTES / sizeof *words; i += 32)
        for (size_t lane = 0; lane < 32; lane++)
            sum[lane % 4] += words[i + lane];
    sink = (float)(sum[0] + sum[1] + sum[2] + sum[3]);
    return NULL;
}

double bench_read_bandwidth(int threads)
{
    uint64_t *shares[BENCH_THREADS_MAX];
    double best = 0;
    for (int i = 0; i < threads; i++) {
        shares[i] = malloc(READ_BYTES);
        if (!shares[i])
            exit(1);
        memset(shares[i], i + 1, READ_BYTES);
    }
    for (int round = 0; round < 5; round++) {
        double seconds = together(threads, read_main, shares, sizeof *shares);
        double rate = (double)READ_BYTES * threads / seconds * 1e-9;
        best = rate > best ? rate : best;
    }
    for (int i = 0; i < threads; i++)
        free(shares[i]);
    return best;
}
