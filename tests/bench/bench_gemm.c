/*
 * bench_gemm.c - GFLOP/s of the CPU backend's products with frozen weights at
 * the shapes of GPT-2 124M, beside what the cores can do and what OpenBLAS
 * does, in one run.
 *
 * Peak is the best of several runs of a loop of independent fused
 * multiply-adds on every thread at once.  Each product is the median and the
 * best of repeated calls over all shapes in turn, so that weights come from
 * memory as they do in a training step, not from a cache warmed by the loop.
 *
 * Usage: bench_gemm [THREADS] [ROUNDS]
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/backend.h"
#include "tests/bench/peak.h"
#include "tests/llm/backend/acts.h"

#define ROUNDS_MAX 1000

typedef struct {
    const char *name;
    size_t in, out;
} shape_t;

static const shape_t shapes[] = {
    {"c_attn", 768, 2304},     {"c_proj", 768, 768},     {"mlp.c_fc", 768, 3072},
    {"mlp.c_proj", 3072, 768}, {"lm_head/8", 768, 6336},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0], OPS = 2 };

typedef struct {
    llm_backend_t *be;
    llm_matrix_t *packed[SHAPES];
    float *plain[SHAPES]; /* [out][in], for OpenBLAS */
    float *x, *y;
    size_t M;
} bench_t;

static void product(const bench_t *bench, int shape, int backward, int blas)
{
    int in = (int)shapes[shape].in;
    int out = (int)shapes[shape].out;
    int M = (int)bench->M;
    const llm_ops_t *ops = bench->be->ops;
    if (blas && backward)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, M, in, out, 1, bench->y, out,
                    bench->plain[shape], in, 0, bench->x, in);
    else if (blas)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, out, in, 1, bench->x, in,
                    bench->plain[shape], in, 0, bench->y, out);
    else if (backward)
        ops->linear_backward(bench->be, act(bench->x), shapes[shape].in, const_act(bench->y),
                             shapes[shape].out, bench->packed[shape], bench->M, false);
    else
        ops->linear_forward(bench->be, act(bench->y), shapes[shape].out, const_act(bench->x),
                            shapes[shape].in, bench->packed[shape], NULL, bench->M);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* times[shape][op][blas][round], all products in turn within a round. */
typedef double times_t[SHAPES][OPS][2][ROUNDS_MAX];

static void measure(const bench_t *bench, times_t times, int rounds)
{
    for (int round = -1; round < rounds; round++)
        for (int blas = 0; blas < 2; blas++)
            for (int shape = 0; shape < SHAPES; shape++)
                for (int op = 0; op < OPS; op++) {
                    for (size_t i = 0; i < bench->M * 6336; i += 16)
                        bench->y[i] = 0.01f; /* keeps values finite over rounds */
                    double start = bench_now();
                    product(bench, shape, op, blas);
                    if (round >= 0)
                        times[shape][op][blas][round] = bench_now() - start;
                }
}

static void report(const bench_t *bench, times_t times, int rounds, double peak)
{
    double spent[2] = {0};
    double flops = 0;
    for (int shape = 0; shape < SHAPES; shape++)
        for (int op = 0; op < OPS; op++) {
            double flop = 2.0 * (double)(bench->M * shapes[shape].in * shapes[shape].out);
            printf("M=%-4zu %-10s %s", bench->M, shapes[shape].name, op ? "backward" : "forward ");
            for (int blas = 0; blas < 2; blas++) {
                double *t = times[shape][op][blas];
                qsort(t, (size_t)rounds, sizeof *t, ascending);
                double median = flop / t[rounds / 2] * 1e-9;
                double best = flop / t[0] * 1e-9;
                spent[blas] += t[rounds / 2];
                printf("  %s median %6.1f (%5.1f %%) best %6.1f (%5.1f %%)",
                       blas ? "openblas" : "fedmq", median, 100 * median / peak, best,
                       100 * best / peak);
            }
            flops += flop;
            printf("\n");
        }
    printf("M=%-4zu all: fedmq %.1f GFLOP/s = %.1f %% of peak, openblas %.1f = %.1f %%\n\n",
           bench->M, flops / spent[0] * 1e-9, flops / spent[0] * 1e-7 / peak,
           flops / spent[1] * 1e-9, flops / spent[1] * 1e-7 / peak);
}

static float *filled(const llm_ops_t *ops, llm_backend_t *be, size_t n)
{
    float *memory = ops->alloc(be, n * sizeof(float));
    if (!memory)
        exit(1);
    for (size_t i = 0; i < n; i++)
        memory[i] = 0.01f * (float)(i % 7);
    return memory;
}

int main(int argc, char **argv)
{
    static times_t times;
    int threads = argc > 1 ? atoi(argv[1]) : 2;
    int rounds = argc > 2 ? atoi(argv[2]) : 7;
    fmq_error_t err;
    if (threads < 1 || threads > BENCH_THREADS_MAX || rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    bench_t bench = {.be = llm_backend_cpu_new((unsigned)threads, &err)};
    if (!bench.be) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    openblas_set_num_threads(threads);
    const llm_ops_t *ops = bench.be->ops;
    for (int i = 0; i < SHAPES; i++) {
        bench.plain[i] = filled(ops, bench.be, shapes[i].in * shapes[i].out);
        bench.packed[i] =
            ops->matrix_new(bench.be, bench.plain[i], FMQ_F32, shapes[i].out, shapes[i].in, false);
    }
    bench.x = filled(ops, bench.be, 512 * 3072);
    bench.y = filled(ops, bench.be, 512 * 6336);
    double peak = bench_peak(threads, llm_backend_variant(bench.be));
    printf("%s, %d threads, FMA peak %.1f GFLOP/s\n", llm_backend_variant(bench.be), threads, peak);
    static const size_t tokens[] = {512, 64};
    for (int i = 0; i < 2; i++) {
        bench.M = tokens[i];
        measure(&bench, times, rounds);
        report(&bench, times, rounds, peak);
    }
    return 0;
}
