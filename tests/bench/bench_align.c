/*
 * bench_align.c - what aligning an emulator costs: tokens a second of each kind
 * of loss, with the full model's streams computed and kept, beside local
 * training of the client's model in the same run.
 *
 * The full model has LLaMA-7B's proportions, as bench_prefix's; its last layers
 * are the adapter, the others lose a share of themselves to the emulator.
 * Weights are random.  All kinds take turns; the median of the turns counts.
 *
 * Usage: bench_align [--threads N] [--layers N] [--trained N] [--drop PERCENT]
 *        [--width N] [--tokens N] [--batch N] [--examples N] [--turns N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/align.h"
#include "tests/bench/flags.h"
#include "tests/bench/inputs.h"
#include "tests/bench/peak.h"
#include "tests/llm/data/byte_tokenizer.h"

#define TURNS_MAX 100

typedef struct {
    int threads, layers, trained, drop, width, tokens, batch, examples, turns;
} options_t;

typedef struct {
    const options_t *options;
    llm_backend_t *be;
    llm_model_t *model;
    llm_emulator_t *emulator;
    const llm_offsite_t *offsite;
    llm_dataset_t *dataset;
    float *adapter, *state; /* vectors of A and E */
} bench_t;

typedef struct {
    const char *name;
    llm_align_options_t options;
    bool cached;
} kind_t;

static const kind_t kinds[] = {
    {"streams, l2", {.sim_weight = 1}, false},
    {"streams, l2, teacher's kept", {.sim_weight = 1}, true},
    {"streams, cos, every layer", {.sim_weight = 1, .sim = LLM_SIM_COS, .layerwise = true}, false},
    {"streams and words (KL raw)", {.sim_weight = 1, .kl_weight = 1}, false},
    {"the same, teacher's kept", {.sim_weight = 1, .kl_weight = 1}, true},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void must(bool done, const char *what, const fmq_error_t *err)
{
    if (done)
        return;
    (void)fprintf(stderr, "bench_align: %s: %s\n", what, err->text);
    exit(1);
}

static float *new_vector(const llm_adapter_t *adapter, const llm_model_t *model)
{
    fmq_error_t err;
    uint64_t size = fmq_schema_elements(llm_adapter_schema(adapter));
    float *vector = malloc((size_t)size * sizeof *vector);
    if (!vector)
        exit(1);
    must(llm_adapter_init(adapter, model, 1, vector, &err) == 0, "adapter", &err);
    return vector;
}

static void bench_init(bench_t *self, const options_t *options)
{
    fmq_error_t err;
    llm_shape_t shape = bench_llama_like(options->layers, options->width, options->tokens);
    llm_emulator_spec_t spec = {.strategy = LLM_DROP_LAYER,
                                .emu_r = (uint32_t)(options->layers - options->trained),
                                .drop_ratio = options->drop / 100.0,
                                .adapter = {.kind = LLM_ADAPTER_LORA, .rank = 8, .alpha = 16}};
    *self =
        (bench_t){.options = options, .dataset = bench_dataset(options->examples, options->tokens)};
    self->be = llm_backend_cpu_new((unsigned)options->threads, &err);
    must(self->be, "backend", &err);
    self->model = llm_model_new_random(&shape, 1, self->be, &err);
    must(self->model, "model", &err);
    llm_emulator_building_t how = {.be = self->be};
    self->emulator = llm_emulator_new(self->model, &spec, &how, &err);
    must(self->emulator, "emulator", &err);
    self->offsite = llm_emulator_offsite(self->emulator);
    self->adapter = new_vector(self->offsite->adapter, self->offsite->student);
    self->state = new_vector(self->offsite->state, self->offsite->student);
}

static void bench_release(bench_t *self)
{
    free(self->adapter);
    free(self->state);
    llm_emulator_destroy(&self->emulator);
    llm_dataset_destroy(&self->dataset);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

static llm_train_options_t training(const bench_t *self)
{
    return (llm_train_options_t){
        .optimizer = {.kind = LLM_ADAMW, .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .by_epoch = true,
        .steps = 1,
        .batch_size = (uint32_t)self->options->batch,
        .shuffle = true,
        .grad_accum = 1,
        .seed = 1};
}

/* Seconds of a pass over the data. */
static double align(bench_t *self, const kind_t *kind, llm_prefix_cache_t *cache)
{
    fmq_error_t err;
    llm_align_options_t options = kind->options;
    llm_align_stats_t stats;
    options.train = training(self);
    llm_align_t how = {.offsite = self->offsite,
                       .data = self->dataset,
                       .options = &options,
                       .cache = kind->cached ? cache : NULL,
                       .be = self->be};
    must(llm_align_run(&how, self->adapter, self->state, &stats, &err) == 0, kind->name, &err);
    return stats.seconds;
}

/* A client's: A trains, E is fixed, nothing is kept. */
static double train(bench_t *self)
{
    fmq_error_t err;
    llm_stack_t stack = {.model = self->offsite->student,
                         .adapter = self->offsite->adapter,
                         .fixed = self->offsite->state};
    llm_train_options_t options = training(self);
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(self->dataset, options.batch_size),
                           .training = true};
    llm_train_stats_t stats;
    llm_workspace_t *ws = llm_workspace_new_stack(&stack, &limits, self->be, &err);
    must(ws && llm_workspace_set_params(ws, self->adapter, &err) == 0 &&
             llm_workspace_set_fixed(ws, self->state, &err) == 0 &&
             llm_train_run(ws, self->dataset, &options, NULL, NULL, &stats, &err) == 0,
         "training", &err);
    llm_workspace_destroy(&ws);
    return stats.seconds;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(bench_t *self)
{
    fmq_error_t err;
    static double seconds[KINDS + 1][TURNS_MAX];
    double tokens = (double)llm_dataset_tokens(self->dataset);
    int turns = self->options->turns;
    llm_prefix_budget_t *budget = llm_prefix_budget_new(UINT64_MAX);
    llm_prefix_cache_t *cache = budget ? llm_prefix_cache_new(budget, &err) : NULL;
    if (!cache)
        exit(1);
    (void)align(self, &kinds[1], cache); /* warms up, and fills the cache */
    for (int turn = 0; turn < turns; turn++) {
        seconds[KINDS][turn] = train(self);
        for (size_t i = 0; i < KINDS; i++)
            seconds[i][turn] = align(self, &kinds[i], cache);
    }
    for (size_t i = 0; i <= KINDS; i++)
        qsort(seconds[i], (size_t)turns, sizeof seconds[i][0], by_value);
    double usual = seconds[KINDS][turns / 2];
    printf("%-30s %8.1f tokens/s median (%.3f s)\n", "a client's training", tokens / usual, usual);
    for (size_t i = 0; i < KINDS; i++) {
        double median = seconds[i][turns / 2];
        printf("%-30s %8.1f tokens/s median (%.3f s), %.2f of that\n", kinds[i].name,
               tokens / median, median, median / usual);
    }
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
}

static void parse(options_t *options, int argc, char **argv)
{
    const bench_flag_t flags[] = {
        bench_number("--threads", &options->threads, 1, BENCH_THREADS_MAX),
        bench_number("--layers", &options->layers, 3, 128),
        bench_number("--trained", &options->trained, 1, 126),
        bench_number("--drop", &options->drop, 0, 99),
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
                         .layers = 16,
                         .trained = 2,
                         .drop = 50,
                         .width = 512,
                         .tokens = 128,
                         .batch = 4,
                         .examples = 8,
                         .turns = 3};
    parse(&options, argc, argv);
    bench_t bench;
    bench_init(&bench, &options);
    printf("%d layers of width %u, the first %u emulated by %u, %d x %d tokens, batches of %d, %s, "
           "%d threads\n",
           options.layers, llm_model_shape(bench.model)->width, bench.offsite->r,
           bench.offsite->behind, options.examples, options.tokens, options.batch,
           llm_backend_variant(bench.be), options.threads);
    measure(&bench);
    bench_release(&bench);
    return 0;
}
