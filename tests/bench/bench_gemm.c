/*
 * bench_gemm.c - GFLOP/s of the CPU backend's products with frozen weights at
 * the shapes of GPT-2 124M and a LLaMA of 1.1B, beside what the cores can do and
 * a second side in the same run: OpenBLAS, or with --form the same products over
 * BF16 activations with weights in that form.  A single row is memory's matter,
 * so its line says GB/s of weights.
 *
 * Peaks are the best of several runs of independent multiply-adds (of floats, or
 * of pairs) on every thread at once.  All products take turns within a round, so
 * that weights come from memory as in a training step.  Times are processor
 * seconds over the number of threads, the median and the best of the rounds: on
 * a machine that others use, the clock on the wall measures them.
 *
 * Usage: bench_gemm [--threads N] [--rounds N] [--form bf16|int8|int4|nf4]
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fedmq/llm/backend.h"
#include "tests/bench/flags.h"
#include "tests/bench/peak.h"

#define ROUNDS_MAX  1000
#define TOKENS_MAX  512
#define COLUMNS_MAX 6336

typedef struct {
    const char *name;
    size_t in, out;
} shape_t;

static const shape_t shapes[] = {
    {"gpt2 c_attn", 768, 2304},  {"gpt2 c_proj", 768, 768},  {"gpt2 c_fc", 768, 3072},
    {"gpt2 proj", 3072, 768},    {"gpt2 head/8", 768, 6336}, {"1.1B q", 2048, 2048},
    {"1.1B k", 2048, 256},       {"1.1B gate", 2048, 5632},  {"1.1B down", 5632, 2048},
    {"1.1B head/8", 2048, 4000},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0], OPS = 2, SIDES = 2 };

/* A side without a backend is OpenBLAS. */
typedef struct {
    const char *name;
    llm_backend_t *be;
    llm_matrix_t *weights[SHAPES];
    llm_act_t *x, *y;
} side_t;

typedef struct {
    side_t sides[SIDES];
    float *plain[SHAPES]; /* [out][in] */
    int threads;
    size_t M;
} bench_t;

static double processor_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void blas_product(const bench_t *bench, int shape, int backward)
{
    int in = (int)shapes[shape].in, out = (int)shapes[shape].out, M = (int)bench->M;
    float *x = (float *)(void *)bench->sides[0].x, *y = (float *)(void *)bench->sides[0].y;
    if (backward)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, M, in, out, 1, y, out,
                    bench->plain[shape], in, 0, x, in);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, out, in, 1, x, in,
                    bench->plain[shape], in, 0, y, out);
}

static void product(const bench_t *bench, const side_t *side, int shape, int backward)
{
    const shape_t *s = &shapes[shape];
    if (!side->be)
        blas_product(bench, shape, backward);
    else if (backward)
        side->be->ops->linear_backward(side->be, side->x, s->in, side->y, s->out,
                                       side->weights[shape], bench->M, false);
    else
        side->be->ops->linear_forward(side->be, side->y, s->out, side->x, s->in,
                                      side->weights[shape], NULL, bench->M);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Activations of 0.01 keep values finite over rounds. */
static void fill(const side_t *side)
{
    static float values[TOKENS_MAX * COLUMNS_MAX];
    for (size_t i = 0; i < TOKENS_MAX * COLUMNS_MAX; i++)
        values[i] = 0.01f * (float)(i % 7);
    if (!side->be)
        return;
    llm_act_upload(side->be, side->x, values, TOKENS_MAX * COLUMNS_MAX);
    llm_act_upload(side->be, side->y, values, TOKENS_MAX * COLUMNS_MAX);
}

/* times[shape][op][side][round] */
typedef double times_t[SHAPES][OPS][SIDES][ROUNDS_MAX];

static void measure(const bench_t *bench, times_t times, int rounds)
{
    for (int round = -1; round < rounds; round++)
        for (int side = 0; side < SIDES; side++)
            for (int shape = 0; shape < SHAPES; shape++)
                for (int op = 0; op < OPS; op++) {
                    if (op == 0)
                        fill(&bench->sides[side]);
                    double start = processor_now();
                    product(bench, &bench->sides[side], shape, op);
                    if (round >= 0)
                        times[shape][op][side][round] = (processor_now() - start) / bench->threads;
                }
}

/* One product on one side; returns the median time. */
static double report_side(const bench_t *bench, int shape, int side, double *t, int rounds,
                          double peak)
{
    const side_t *s = &bench->sides[side];
    qsort(t, (size_t)rounds, sizeof *t, ascending);
    double flop = 2.0 * (double)(bench->M * shapes[shape].in * shapes[shape].out);
    double median = flop / t[rounds / 2] * 1e-9, best = flop / t[0] * 1e-9;
    if (bench->M > 1)
        printf("  %s median %6.1f (%5.1f %%) best %6.1f (%5.1f %%)", s->name, median,
               peak > 0 ? 100 * median / peak : 0, best, peak > 0 ? 100 * best / peak : 0);
    else if (s->be)
        printf("  %s median %8.3f ms best %6.1f GB/s", s->name, 1e3 * t[rounds / 2],
               (double)s->be->ops->matrix_bytes(s->weights[shape]) / t[0] * 1e-9);
    return t[rounds / 2];
}

static void report(const bench_t *bench, times_t times, int rounds, const double peaks[SIDES])
{
    double spent[OPS][SIDES] = {{0}};
    for (int op = 0; op < OPS; op++)
        for (int shape = 0; shape < SHAPES; shape++) {
            printf("M=%-4zu %-11s %s", bench->M, shapes[shape].name, op ? "backward" : "forward ");
            for (int side = 0; side < SIDES; side++)
                spent[op][side] +=
                    report_side(bench, shape, side, times[shape][op][side], rounds, peaks[side]);
            printf("\n");
        }
    double flops = 0;
    for (int shape = 0; shape < SHAPES; shape++)
        flops += 2.0 * (double)(bench->M * shapes[shape].in * shapes[shape].out);
    for (int side = 0; side < SIDES; side++)
        printf("M=%-4zu all %s: forward %.1f GFLOP/s, backward %.1f; %.2f of the time of %s\n",
               bench->M, bench->sides[side].name, flops / spent[0][side] * 1e-9,
               flops / spent[1][side] * 1e-9,
               (spent[0][side] + spent[1][side]) / (spent[0][0] + spent[1][0]),
               bench->sides[0].name);
}

static void open_side(bench_t *bench, int index, const char *device, llm_matrix_form_t form)
{
    fmq_error_t err;
    side_t *side = &bench->sides[index];
    side->be = llm_backend_open(device, (unsigned)bench->threads, &err);
    if (!side->be) {
        (void)fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    const llm_ops_t *ops = side->be->ops;
    size_t bytes = llm_act_bytes(side->be, TOKENS_MAX * COLUMNS_MAX);
    side->x = ops->alloc(side->be, bytes);
    side->y = ops->alloc(side->be, bytes);
    for (int i = 0; i < SHAPES; i++)
        side->weights[i] = ops->matrix_new_form(side->be, bench->plain[i], FMQ_F32, shapes[i].out,
                                                shapes[i].in, false, form);
    if (!side->x || !side->y || !side->weights[SHAPES - 1])
        exit(1);
}

static void close_side(side_t *side)
{
    if (!side->be)
        return;
    for (int i = 0; i < SHAPES; i++)
        side->be->ops->matrix_destroy(side->be, &side->weights[i]);
    side->be->ops->release(side->be, side->x);
    side->be->ops->release(side->be, side->y);
    llm_backend_destroy(&side->be);
}

/* The form of that name; f32 when there is none. */
static llm_matrix_form_t form_of(const char *name)
{
    static const char *const names[] = {"f32", "bf16", "int8", "int4", "nf4"};
    for (llm_matrix_form_t form = LLM_FORM_BF16; name && form <= LLM_FORM_NF4; form++)
        if (strcmp(name, names[form]) == 0)
            return form;
    return LLM_FORM_F32;
}

static void run(bench_t *bench, const char *form, int rounds)
{
    static times_t times;
    static const size_t tokens[] = {512, 64, 1};
    bench->sides[0].name = "fp32";
    open_side(bench, 0, "cpu", LLM_FORM_F32);
    bench->sides[1].name = form ? form : "openblas";
    if (form)
        open_side(bench, 1, "cpu:bf16", form_of(form));
    double peaks[SIDES];
    peaks[0] = bench_peak(bench->threads, llm_backend_variant(bench->sides[0].be));
    peaks[1] = form ? bench_peak_half(bench->threads) : peaks[0];
    printf("%s, %d threads, peak %.1f GFLOP/s, of pairs %.1f; memory %.1f GB/s\n",
           llm_backend_variant(bench->sides[0].be), bench->threads, peaks[0],
           bench_peak_half(bench->threads), bench_read_bandwidth(bench->threads));
    for (int i = 0; i < 3; i++) {
        bench->M = tokens[i];
        measure(bench, times, rounds);
        report(bench, times, rounds, peaks);
    }
}

int main(int argc, char **argv)
{
    bench_t bench = {.threads = 2};
    int rounds = 7;
    const char *form = NULL;
    const bench_flag_t flags[] = {
        bench_number("--threads", &bench.threads, 1, BENCH_THREADS_MAX),
        bench_number("--rounds", &rounds, 1, ROUNDS_MAX),
        bench_text("--form", &form, "bf16|int8|int4|nf4"),
    };
    bench_flags(flags, sizeof flags / sizeof flags[0], argc, argv);
    openblas_set_num_threads(bench.threads);
    for (int i = 0; i < SHAPES; i++) {
        size_t n = shapes[i].in * shapes[i].out;
        bench.plain[i] = malloc(n * sizeof(float));
        for (size_t j = 0; bench.plain[i] && j < n; j++)
            bench.plain[i][j] = 0.01f * (float)(j % 7);
        if (!bench.plain[i])
            return 1;
    }
    run(&bench, form, rounds);
    for (int i = 0; i < SIDES; i++)
        close_side(&bench.sides[i]);
    for (int i = 0; i < SHAPES; i++)
        free(bench.plain[i]);
    return 0;
}
