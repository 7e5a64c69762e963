/*
 * bench_quantized.c - what a product costs when the weights stay at 8 or 4
 * bits, beside fp32: GPT-2 124M's modules, forward and backward, in one run.
 *
 * All kinds take turns within a round, so that weights come from memory as in
 * a training step; the median over the rounds is printed, and the bytes.
 *
 * Usage: bench_quantized [THREADS] [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>

#include "fedmq/llm/backend.h"
#include "tests/bench/peak.h"
#include "tests/llm/backend/acts.h"

#define ROUNDS_MAX 100
#define GROUP      64

static const size_t shapes[][2] = {{2304, 768}, {768, 768}, {3072, 768}, {768, 3072}};
enum { SHAPES = 4, KINDS = 3, LAYERS = 4 }; /* kinds: fp32, 8 bits, 4 bits */

typedef struct {
    llm_backend_t *be;
    llm_matrix_t *weights[KINDS][LAYERS][SHAPES];
    float *x, *y;
} bench_t;

/* Arbitrary codes; values do not change the time. */
static llm_matrix_t *make(llm_backend_t *be, int kind, size_t out, size_t in)
{
    float *floats = calloc(out * in, sizeof *floats);
    uint8_t *codes = malloc(out * in);
    if (!floats || !codes)
        exit(1);
    for (size_t i = 0; i < out * in; i++) {
        codes[i] = (uint8_t)(i * 37 >> 2);
        floats[i] = 0.01f * (float)(i % 7);
    }
    llm_quantized_t data = {codes, floats, kind == 1 ? 8 : 4, GROUP};
    llm_matrix_t *matrix = kind ? be->ops->matrix_new_quantized(be, &data, out, in, false)
                                : be->ops->matrix_new(be, floats, FMQ_F32, out, in, false);
    free(floats);
    free(codes);
    if (!matrix)
        exit(1);
    return matrix;
}

static double pass(const bench_t *bench, int kind, size_t M, int backward)
{
    const llm_ops_t *ops = bench->be->ops;
    double start = bench_now();
    for (int l = 0; l < LAYERS; l++)
        for (int s = 0; s < SHAPES; s++) {
            const llm_matrix_t *w = bench->weights[kind][l][s];
            if (backward)
                ops->linear_backward(bench->be, act(bench->x), shapes[s][1], const_act(bench->y),
                                     shapes[s][0], w, M, false);
            else
                ops->linear_forward(bench->be, act(bench->y), shapes[s][0], const_act(bench->x),
                                    shapes[s][1], w, NULL, M);
        }
    return bench_now() - start;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const bench_t *bench, size_t M, int rounds)
{
    static const char *const names[] = {"fp32", "8 bits", "4 bits"};
    double times[2][KINDS][ROUNDS_MAX], flop = 0;
    for (int s = 0; s < SHAPES; s++)
        flop += 2.0 * LAYERS * (double)(M * shapes[s][0] * shapes[s][1]);
    for (int round = -1; round < rounds; round++)
        for (int backward = 0; backward < 2; backward++)
            for (int kind = 0; kind < KINDS; kind++) {
                double seconds = pass(bench, kind, M, backward);
                if (round >= 0)
                    times[backward][kind][round] = seconds;
            }
    for (int backward = 0; backward < 2; backward++)
        for (int kind = 0; kind < KINDS; kind++) {
            double *t = times[backward][kind];
            qsort(t, (size_t)rounds, sizeof *t, ascending);
            double base = times[backward][0][rounds / 2];
            printf("M=%-4zu %s %-6s  %8.3f ms a layer  %6.1f GFLOP/s  %5.2f of fp32's time\n", M,
                   backward ? "backward" : "forward ", names[kind], 1e3 * t[rounds / 2] / LAYERS,
                   flop / t[rounds / 2] * 1e-9, t[rounds / 2] / base);
        }
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 2;
    int rounds = argc > 2 ? atoi(argv[2]) : 9;
    fmq_error_t err;
    if (threads < 1 || threads > BENCH_THREADS_MAX || rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    bench_t bench = {.be = llm_backend_cpu_new((unsigned)threads, &err)};
    if (!bench.be) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const llm_ops_t *ops = bench.be->ops;
    for (int kind = 0; kind < KINDS; kind++) {
        size_t bytes = 0;
        for (int l = 0; l < LAYERS; l++)
            for (int s = 0; s < SHAPES; s++) {
                bench.weights[kind][l][s] = make(bench.be, kind, shapes[s][0], shapes[s][1]);
                bytes += ops->matrix_bytes(bench.weights[kind][l][s]);
            }
        printf("%d: %.2f MiB a layer\n", kind, (double)bytes / LAYERS / 1048576);
    }
    bench.x = ops->alloc(bench.be, 512 * 3072 * sizeof(float));
    bench.y = ops->alloc(bench.be, 512 * 3072 * sizeof(float));
    if (!bench.x || !bench.y)
        return 1;
    ops->zero(bench.be, bench.x, 512 * 3072 * sizeof(float));
    ops->zero(bench.be, bench.y, 512 * 3072 * sizeof(float));
    printf("%s, %d threads, scales of %d weights\n", llm_backend_variant(bench.be), threads, GROUP);
    static const size_t tokens[] = {512, 64, 1};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        measure(&bench, tokens[i], rounds);
    for (int kind = 0; kind < KINDS; kind++)
        for (int l = 0; l < LAYERS; l++)
            for (int s = 0; s < SHAPES; s++)
                ops->matrix_destroy(bench.be, &bench.weights[kind][l][s]);
    ops->release(bench.be, bench.x);
    ops->release(bench.be, bench.y);
    llm_backend_destroy(&bench.be);
    return 0;
}
