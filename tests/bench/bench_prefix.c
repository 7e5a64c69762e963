/*
 * bench_prefix.c - local training with the adapter in the last layers only, as
 * FedBiOT's clients do: tokens a second of a pass that computes the frozen
 * layers below, of the first pass with a prefix cache, and of later ones that
 * find all streams kept; against what the saved operations allow.
 *
 * The model has LLaMA-7B's proportions: 32 layers, an MLP of 2.69 widths, a
 * head of 0.65 layers, sequences of a quarter of the width; weights are random.
 * Everything runs through llm_train_run(), every token is supervised.  Passes
 * of the three kinds take turns, so that a busy machine slows all of them; with
 * one thread, processor time hardly knows about the others at all.
 * Operations are llm_cost()'s; the bound is the ratio of those of a whole pass
 * and of one without the frozen layers.
 *
 * The last lines show what FedBiOT's regulariser on merged updates costs.
 *
 * Usage: bench_prefix [--threads N] [--layers N] [--trained N] [--width N]
 *        [--tokens N] [--batch N] [--examples N] [--turns N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fedmq/llm/offsite.h"
#include "llm/train/merged.h"
#include "tests/bench/flags.h"
#include "tests/bench/inputs.h"
#include "tests/bench/peak.h"
#include "tests/llm/data/byte_tokenizer.h"

#define TURNS_MAX 100
#define RANK      8
#define KEPT      3   /* passes a routine when all is kept */
#define TERMS     100 /* evaluations of the regulariser */

typedef struct {
    int threads, layers, trained, width, tokens, batch, examples, turns;
} options_t;

typedef struct {
    const options_t *options;
    llm_backend_t *be;
    llm_model_t *model;
    llm_adapter_t *adapter;
    llm_dataset_t *dataset;
    llm_workspace_t *ws;
    float *start; /* host */
} bench_t;

static void die(const char *what, const fmq_error_t *err)
{
    (void)fprintf(stderr, "bench_prefix: %s: %s\n", what, err->text);
    exit(1);
}

static void bench_init(bench_t *self, const options_t *options)
{
    fmq_error_t err;
    llm_shape_t shape = bench_llama_like(options->layers, options->width, options->tokens);
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_LORA, .rank = RANK, .alpha = 16};
    llm_layer_set_add(&spec.layers, (uint32_t)(options->layers - options->trained),
                      (uint32_t)options->layers);
    *self =
        (bench_t){.options = options, .dataset = bench_dataset(options->examples, options->tokens)};
    self->be = llm_backend_cpu_new((unsigned)options->threads, &err);
    if (!self->be)
        die("backend", &err);
    self->model = llm_model_new_random(&shape, 1, self->be, &err);
    if (!self->model)
        die("model", &err);
    self->adapter = llm_adapter_new(&shape, &spec, &err);
    if (!self->adapter)
        die("adapter", &err);
    llm_limits_t limits = {.tokens_max =
                               llm_train_tokens_max(self->dataset, (uint32_t)options->batch),
                           .training = true};
    self->ws = llm_workspace_new(self->model, self->adapter, &limits, self->be, &err);
    if (!self->ws)
        die("workspace", &err);
    self->start = malloc((size_t)llm_workspace_elements(self->ws) * sizeof *self->start);
    if (!self->start || llm_adapter_init(self->adapter, self->model, 1, self->start, &err) < 0)
        die("adapter", &err);
}

static void bench_release(bench_t *self)
{
    free(self->start);
    llm_workspace_destroy(&self->ws);
    llm_dataset_destroy(&self->dataset);
    llm_adapter_destroy(&self->adapter);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

/* Of passes over the data, a turn each: seconds, and those of the processor. */
typedef struct {
    double wall[TURNS_MAX], processor[TURNS_MAX];
    int turns;
} passes_t;

static void train(bench_t *self, llm_prefix_cache_t *cache, uint64_t passes, double eps,
                  passes_t *out)
{
    fmq_error_t err;
    llm_train_options_t options = {
        .optimizer = {.kind = LLM_ADAMW, .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .by_epoch = true,
        .steps = passes,
        .batch_size = (uint32_t)self->options->batch,
        .shuffle = true,
        .grad_accum = 1,
        .proximal_merged = eps,
        .prefix = cache,
        .seed = 1};
    llm_train_stats_t stats;
    double before = (double)clock();
    if (llm_workspace_set_params(self->ws, self->start, &err) < 0 ||
        llm_train_run(self->ws, self->dataset, &options, NULL, NULL, &stats, &err) < 0)
        die("training", &err);
    out->wall[out->turns] = stats.seconds / (double)passes;
    out->processor[out->turns++] = ((double)clock() - before) / CLOCKS_PER_SEC / (double)passes;
}

/* Operations of a pass over the data: all, and of the frozen layers alone. */
typedef struct {
    double whole, prefix;
} operations_t;

static operations_t operations(const bench_t *self)
{
    fmq_error_t err;
    llm_cost_t cost;
    size_t examples = llm_dataset_size(self->dataset);
    llm_cost_batch_t pass = {.tokens = llm_dataset_tokens(self->dataset),
                             .length = (uint64_t)self->options->tokens,
                             .supervised = llm_dataset_tokens(self->dataset) - examples};
    if (llm_cost(self->model, self->adapter, &pass, &cost, &err) < 0)
        die("cost", &err);
    return (operations_t){.whole = cost.forward + cost.backward, .prefix = cost.prefix};
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Medians over the turns. */
typedef struct {
    double wall, processor;
} seconds_t;

static double median(double *turns, int count)
{
    qsort(turns, (size_t)count, sizeof *turns, by_value);
    return turns[count / 2];
}

static seconds_t report(const bench_t *self, const char *name, passes_t *passes, double operations)
{
    double tokens = (double)llm_dataset_tokens(self->dataset);
    seconds_t seconds = {median(passes->wall, passes->turns),
                         median(passes->processor, passes->turns)};
    printf("%-30s %8.1f tokens/s (%.3f s); %.3f processor seconds: %5.1f GFLOP each\n", name,
           tokens / seconds.wall, seconds.wall, seconds.processor,
           operations / seconds.processor * 1e-9);
    return seconds;
}

static void compare_passes(bench_t *self)
{
    fmq_error_t err;
    passes_t plain = {0}, first = {0}, later = {0};
    llm_prefix_budget_t *budget = llm_prefix_budget_new(UINT64_MAX);
    uint64_t bytes = 0;
    for (int turn = 0; turn < self->options->turns; turn++) {
        llm_prefix_cache_t *cache = budget ? llm_prefix_cache_new(budget, &err) : NULL;
        if (!cache)
            exit(1);
        train(self, NULL, 1, 0, &plain);
        train(self, cache, 1, 0, &first);
        train(self, cache, KEPT, 0, &later);
        bytes = llm_prefix_cache_stats(cache).bytes;
        llm_prefix_cache_destroy(&cache);
    }
    llm_prefix_budget_destroy(&budget);
    operations_t ops = operations(self);
    double bound = ops.whole / (ops.whole - ops.prefix);
    seconds_t a = report(self, "without a cache", &plain, ops.whole);
    seconds_t b = report(self, "first pass, streams are kept", &first, ops.whole);
    seconds_t c = report(self, "later passes", &later, ops.whole - ops.prefix);
    printf("later passes are %.2f times as fast, in processor time %.2f; the saved operations "
           "allow %.2f: %.1f %% and %.1f %% of it\n",
           a.wall / c.wall, a.processor / c.processor, bound, 100 * a.wall / c.wall / bound,
           100 * a.processor / c.processor / bound);
    printf("keeping costs %.1f %% of the processor time of the first pass; the cache holds %.1f "
           "MiB, %zu bytes a token\n",
           100 * (b.processor / a.processor - 1), (double)bytes / 1048576,
           (size_t)(bytes / llm_dataset_tokens(self->dataset)));
}

/* The same steps with FedBiOT's term, and the term alone. */
static void measure_term(bench_t *self)
{
    fmq_error_t err;
    passes_t filling = {0}, without = {0}, with = {0};
    llm_prefix_budget_t *budget = llm_prefix_budget_new(UINT64_MAX);
    llm_prefix_cache_t *cache = budget ? llm_prefix_cache_new(budget, &err) : NULL;
    llm_merged_t merged;
    if (!cache)
        exit(1);
    train(self, cache, 1, 0, &filling);
    for (int turn = 0; turn < self->options->turns; turn++) {
        train(self, cache, KEPT, 0, &without);
        train(self, cache, KEPT, 1, &with);
    }
    operations_t ops = operations(self);
    seconds_t pass = report(self, "later passes", &without, ops.whole - ops.prefix);
    (void)report(self, "the same with the regulariser", &with, ops.whole - ops.prefix);
    float *params = llm_workspace_params(self->ws), *grads = llm_workspace_grads(self->ws);
    if (llm_merged_init(&merged, self->adapter, self->be, params, &err) < 0)
        die("regulariser", &err);
    double start = (double)clock();
    for (int i = 0; i < TERMS; i++)
        (void)llm_merged_add(&merged, 1, params, grads);
    double term = ((double)clock() - start) / CLOCKS_PER_SEC / TERMS;
    int steps = (self->options->examples + self->options->batch - 1) / self->options->batch;
    printf("the regulariser alone: %.3f processor ms a step of %llu trained elements, %.2f %% of "
           "a step\n",
           1e3 * term, (unsigned long long)llm_workspace_elements(self->ws),
           100 * term / (pass.processor / steps));
    llm_merged_release(&merged);
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
}

static void parse(options_t *options, int argc, char **argv)
{
    const bench_flag_t flags[] = {
        bench_number("--threads", &options->threads, 1, BENCH_THREADS_MAX),
        bench_number("--layers", &options->layers, 2, 128),
        bench_number("--trained", &options->trained, 1, 127),
        bench_number("--width", &options->width, 64, 8192),
        bench_number("--tokens", &options->tokens, 2, 8192),
        bench_number("--batch", &options->batch, 1, 1024),
        bench_number("--examples", &options->examples, 1, 4096),
        bench_number("--turns", &options->turns, 1, TURNS_MAX)};
    bench_flags(flags, sizeof flags / sizeof *flags, argc, argv);
    if (options->trained >= options->layers)
        bench_usage(flags, sizeof flags / sizeof *flags, argv[0]);
}

int main(int argc, char **argv)
{
    options_t options = {.threads = 2,
                         .layers = 32,
                         .trained = 2,
                         .width = 512,
                         .tokens = 128,
                         .batch = 4,
                         .examples = 8,
                         .turns = 3};
    parse(&options, argc, argv);
    bench_t bench;
    bench_init(&bench, &options);
    printf("%d layers of width %u, LoRA r=%d on the last %d, %d x %d tokens, batches of %d, %s, "
           "%d threads\n",
           options.layers, llm_model_shape(bench.model)->width, RANK, options.trained,
           options.examples, options.tokens, options.batch, llm_backend_variant(bench.be),
           options.threads);
    train(&bench, NULL, 1, 0, &(passes_t){0}); /* warms up */
    compare_passes(&bench);
    measure_term(&bench);
    bench_release(&bench);
    return 0;
}
