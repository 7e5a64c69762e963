/*
 * bench_step.c - a whole LoRA training step (r = 8, forward, backward and
 * AdamW) of GPT-2 124M or a LLaMA, every token supervised: tokens a second,
 * share of matrix products, floating-point operations against the measured
 * peak, and peak memory.
 *
 * Operations are counted as needed, not as done: products of the linear
 * modules forward and for input gradients (none below the lowest adapter),
 * the head, causal attention without recomputation, LoRA.  What a program
 * recomputes counts as time only.
 *
 * Usage: bench_step [--shape NAME | --model DIR] [--weights FORM] [--half]
 *        [--threads N] [--steps N] [--sequences B --tokens T] [--layers N]
 *        [--first N] [--modules all] [--recompute none|norms|layers]
 *        [--device NAME [--peak TFLOPS]]
 * tokens being those of one sequence.  Without --sequences, both 1 x 512 and
 * 4 x 128 are run.  With --first, only layers from N on have an adapter, and
 * the layers below are computed in the first step and kept, as from the second
 * epoch on.  --modules all: LoRA lies on every linear module, not on those that
 * it lies on by default.  --recompute: what backward computes again instead of
 * keeping it.  --device: another than the CPU, whose peak --peak says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fedmq/llm/workspace.h"
#include "tests/bench/peak.h"
#include "tests/bench/shapes.h"
#include "tests/bench/subject.h"

#define STEPS_MAX 1000

typedef struct {
    subject_options_t subject;
    int steps, sequences, tokens, first, peak;
    const char *modules, *recompute;
} options_t;

typedef struct {
    llm_backend_t *be;
    llm_model_t *model;
    llm_adapter_t *adapter;
    double peak;        /* GFLOP/s */
    size_t free_before; /* see subject_t */
} bench_t;

/* Operations of a step, see above; of the layers from options->first on. */
static double operations(const llm_shape_t *shape, const options_t *options)
{
    llm_adapter_spec_t spec = bench_lora(shape, 0);
    double layer = 0.0, attn = 0.0, thin = 0.0;
    for (int m = 0; m < LLM_MODULES; m++) {
        size_t out = 0, in = 0;
        if (!shape->arch->modules[m])
            continue;
        llm_shape_module(shape, (llm_module_t)m, &out, &in);
        layer += (double)out * (double)in;
        if (m == LLM_QKV || m == LLM_Q || m == LLM_K || m == LLM_V)
            attn += (double)out * (double)in;
        bool usual = m == LLM_QKV || m == LLM_Q || m == LLM_V; /* bench_lora()'s */
        if (usual || options->modules)
            thin += (double)(out + in);
    }
    double layers = (double)(shape->layers - (uint32_t)options->first);
    double linear = layers * layer + (double)shape->vocab * shape->width;
    double lora = 6.0 * (double)spec.rank * thin * layers;
    double attention = 6.0 * options->tokens * (double)(shape->heads * shape->head_width) * layers;
    return (double)options->sequences * options->tokens *
           (4.0 * linear - 2.0 * attn + lora + attention);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One step: gradient of the mean loss, then AdamW on the vector. */
static double step(llm_workspace_t *ws, const llm_batch_t *batch, float *moments, uint32_t number)
{
    llm_backend_t *be = llm_workspace_backend(ws);
    size_t n = (size_t)llm_workspace_elements(ws);
    fmq_error_t err;
    double loss = 0.0;
    be->ops->zero(be, llm_workspace_grads(ws), n * sizeof(float));
    if (llm_workspace_train(ws, batch, 1.0f / (float)batch->supervised, NULL, &loss, &err) < 0)
        subject_die("step", &err);
    llm_adam_t how = {.lr = 1e-4f,
                      .beta1 = 0.9f,
                      .beta2 = 0.999f,
                      .eps = 1e-8f,
                      .decoupled = true,
                      .step = number};
    be->ops->adam_step(be, llm_workspace_params(ws), moments, moments + n, NULL,
                       llm_workspace_grads(ws), n, &how);
    return loss / (double)batch->supervised;
}

/* What the steps took beside the time of each. */
typedef struct {
    double products;  /* seconds within matrix products, of all steps */
    double processor; /* seconds of all threads */
} spent_t;

static void report(const bench_t *bench, const options_t *options, double *seconds, spent_t spent,
                   size_t workspace_bytes)
{
    const llm_shape_t *shape = llm_model_shape(bench->model);
    double flops = operations(shape, options);
    double tokens = (double)options->sequences * options->tokens, sum = 0.0;
    for (int i = 0; i < options->steps; i++)
        sum += seconds[i];
    qsort(seconds, (size_t)options->steps, sizeof *seconds, by_value);
    double median = seconds[options->steps / 2], best = seconds[0];
    printf("B%dxT%d: %.1f tokens/s median, %.1f best (%.3f s, %.3f s); %.1f %% of the time in "
           "matrix products\n",
           options->sequences, options->tokens, tokens / median, tokens / best, median, best,
           100.0 * spent.products / sum);
    printf("  %.1f GFLOP a step: %.1f GFLOP/s median, %.1f best", flops * 1e-9,
           flops / median * 1e-9, flops / best * 1e-9);
    if (bench->peak > 0.0)
        printf(" = %.1f %%, %.1f %% of the peak of %.1f", flops / median * 1e-7 / bench->peak,
               flops / best * 1e-7 / bench->peak, bench->peak);
    printf("\n  %.3f processor seconds a step", spent.processor / options->steps);
    printf("\n  model %.0f MiB, workspace %.0f MiB, peak RSS %.0f MiB\n",
           (double)llm_model_bytes(bench->model) / 1048576.0, (double)workspace_bytes / 1048576.0,
           subject_peak_memory());
    if (bench->free_before != SIZE_MAX)
        printf("  device memory taken %.0f MiB\n",
               ((double)bench->free_before - (double)bench->be->ops->memory_free(bench->be)) /
                   1048576.0);
}

static llm_recompute_t recompute_of(const char *name)
{
    llm_recompute_t recompute = LLM_RECOMPUTE_NONE;
    while (name && strcmp(name, llm_recompute_name(recompute)) != 0)
        recompute++;
    return recompute;
}

static llm_adapter_spec_t spec_of(const llm_shape_t *shape, const options_t *options)
{
    llm_adapter_spec_t spec = bench_lora(shape, options->first);
    for (int m = 0; m < LLM_MODULES && options->modules; m++)
        if (shape->arch->modules[m])
            (void)snprintf(spec.target[spec.targets++], sizeof spec.target[0], "%s",
                           shape->arch->modules[m]);
    return spec;
}

/* NULL when no layer is kept. */
static void *prefix_new(const llm_workspace_t *ws, size_t tokens)
{
    size_t bytes = llm_workspace_prefix_bytes(ws) * tokens;
    void *prefix = bytes ? malloc(bytes) : NULL;
    if (bytes && !prefix)
        exit(1);
    return prefix;
}

static void run(bench_t *bench, const options_t *options)
{
    fmq_error_t err;
    llm_limits_t limits = {.tokens_max = (size_t)options->sequences * (size_t)options->tokens,
                           .training = true,
                           .recompute = recompute_of(options->recompute)};
    llm_workspace_t *ws = llm_workspace_new(bench->model, bench->adapter, &limits, bench->be, &err);
    if (!ws)
        subject_die("workspace", &err);
    size_t n = (size_t)llm_workspace_elements(ws);
    float *vector = malloc(n * sizeof *vector);
    float *moments = bench->be->ops->alloc(bench->be, 2 * n * sizeof(float));
    if (!vector || !moments ||
        llm_adapter_init(bench->adapter, bench->model, 1, vector, &err) < 0 ||
        llm_workspace_set_params(ws, vector, &err) < 0)
        exit(1);
    bench->be->ops->zero(bench->be, moments, 2 * n * sizeof(float));
    subject_batch_t batch;
    subject_batch_init(&batch, (size_t)options->sequences, (size_t)options->tokens,
                       llm_model_shape(bench->model)->vocab);
    void *prefix = prefix_new(ws, limits.tokens_max);
    batch.batch.prefix_out = prefix;
    double seconds[STEPS_MAX], loss = step(ws, &batch.batch, moments, 1); /* warms up */
    batch.batch.prefix = prefix;
    spent_t before = {llm_backend_gemm_seconds(bench->be), (double)clock()};
    for (int i = 0; i < options->steps; i++) {
        double start = bench_now();
        loss = step(ws, &batch.batch, moments, (uint32_t)i + 2);
        seconds[i] = bench_now() - start;
    }
    spent_t spent = {llm_backend_gemm_seconds(bench->be) - before.products,
                     ((double)clock() - before.processor) / CLOCKS_PER_SEC};
    report(bench, options, seconds, spent, llm_workspace_bytes(ws));
    printf("  loss %.4f after %d steps\n", loss, options->steps + 1);
    subject_batch_release(&batch);
    free(prefix);
    free(vector);
    bench->be->ops->release(bench->be, moments);
    llm_workspace_destroy(&ws);
}

static void parse(options_t *options, int argc, char **argv)
{
    bench_flag_t flags[SUBJECT_FLAGS + 7];
    subject_flags(&options->subject, flags);
    flags[SUBJECT_FLAGS] = bench_number("--steps", &options->steps, 1, STEPS_MAX);
    flags[SUBJECT_FLAGS + 1] = bench_number("--sequences", &options->sequences, 1, 1024);
    flags[SUBJECT_FLAGS + 2] = bench_number("--tokens", &options->tokens, 1, 8192);
    flags[SUBJECT_FLAGS + 3] = bench_number("--first", &options->first, 1, 95);
    flags[SUBJECT_FLAGS + 4] = bench_text("--modules", &options->modules, "all");
    flags[SUBJECT_FLAGS + 5] = bench_text("--recompute", &options->recompute, "none|norms|layers");
    flags[SUBJECT_FLAGS + 6] = bench_number("--peak", &options->peak, 1, 100000);
    bench_flags(flags, sizeof flags / sizeof *flags, argc, argv);
}

int main(int argc, char **argv)
{
    options_t options = {.subject = {.shape = "gpt2", .threads = 2}, .steps = 5, .tokens = 512};
    fmq_error_t err;
    parse(&options, argc, argv);
    subject_t subject;
    subject_open(&subject, &options.subject);
    const llm_shape_t *shape = llm_model_shape(subject.model);
    if (options.first >= (int)shape->layers) {
        (void)fprintf(stderr, "bench_step: there are %u layers\n", (unsigned)shape->layers);
        return 2;
    }
    bench_t bench = {.be = subject.be, .model = subject.model, .free_before = subject.free_before};
    llm_adapter_spec_t spec = spec_of(shape, &options);
    bench.adapter = llm_adapter_new(shape, &spec, &err);
    if (!bench.adapter)
        subject_die("adapter", &err);
    bench.peak = options.peak ? 1e3 * options.peak : subject_peak(&subject, &options.subject);
    printf("LoRA r=8 from layer %d on, ", options.first);
    subject_print(&subject, &options.subject);
    if (options.sequences) {
        run(&bench, &options);
    } else {
        options.sequences = 1;
        run(&bench, &options);
        options.sequences = 4;
        options.tokens = 128;
        run(&bench, &options);
    }
    llm_adapter_destroy(&bench.adapter);
    subject_close(&subject);
    return 0;
}
