/*
 * bench_generate.c - prompts and greedy generation of one sequence: tokens a
 * second of both, and what share of memory's read bandwidth generation reaches
 * over the bytes that a token needs, with the bandwidth measured in the same
 * run.
 *
 * A token reads every matrix but an untied embedding once, and the keys and
 * values so far.  Where all of that fits in a cache, the share means little.
 *
 * Usage: bench_generate [--shape NAME | --model DIR] [--weights FORM] [--half]
 *        [--threads N] [--layers N] [--prompt N] [--tokens N] [--turns N]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fedmq/llm/generate.h"
#include "tests/bench/peak.h"
#include "tests/bench/subject.h"

#define TURNS_MAX 100

typedef struct {
    subject_options_t subject;
    int prompt, tokens, turns;
} options_t;

/* Of the turns: tokens a second. */
typedef struct {
    double prompt[TURNS_MAX], generation[TURNS_MAX], bandwidth[TURNS_MAX];
    double processor; /* seconds of all threads a generated token, in all turns */
    double memory;    /* MiB: the peak before the bandwidth was measured */
} measured_t;

/* Seconds of a prompt and so many tokens behind the first. */
static double timed(llm_generator_t *generator, const int32_t *prompt, const options_t *options,
                    int tokens)
{
    fmq_error_t err;
    llm_sampling_t how = {.new_tokens_max = (size_t)tokens + 1, .top_p = 1.0};
    llm_ids_t out = {0};
    double start = bench_now();
    if (llm_generator_run(generator, prompt, (size_t)options->prompt, &how, &out, &err) < 0)
        subject_die("generation", &err);
    double seconds = bench_now() - start;
    llm_ids_release(&out);
    return seconds;
}

static void measure(llm_generator_t *generator, const options_t *options, int32_t vocab,
                    measured_t *out)
{
    int32_t *prompt = malloc((size_t)options->prompt * sizeof *prompt);
    if (!prompt)
        exit(1);
    for (int i = 0; i < options->prompt; i++)
        prompt[i] = (int32_t)((uint32_t)i * 2654435761u % (uint32_t)vocab);
    (void)timed(generator, prompt, options, 1); /* warms up */
    out->memory = subject_peak_memory();
    double prompts = HUGE_VAL;
    for (int turn = 0; turn < options->turns; turn++) {
        double begin = (double)clock();
        double first = timed(generator, prompt, options, 0);
        double middle = (double)clock();
        double all = timed(generator, prompt, options, options->tokens);
        double processor = ((double)clock() - middle - (middle - begin)) / CLOCKS_PER_SEC;
        prompts = first < prompts ? first : prompts;
        out->prompt[turn] = options->prompt / first;
        out->generation[turn] = all;
        out->processor += processor / options->tokens / (double)options->turns;
        out->bandwidth[turn] = bench_read_bandwidth(options->subject.threads);
    }
    /* Less the shortest prompt: a disturbed one must not pass for fast generation. */
    for (int turn = 0; turn < options->turns; turn++)
        out->generation[turn] = options->tokens / (out->generation[turn] - prompts);
    free(prompt);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Bytes that a token reads in the middle of generation. */
static double bytes_a_token(const subject_t *subject, const options_t *options)
{
    const llm_shape_t *shape = llm_model_shape(subject->model);
    double all = (double)llm_shape_parameters(shape), read = all;
    if (!shape->tied)
        read -= (double)shape->vocab * shape->width;
    double element = subject->be->ops->act == FMQ_BF16 ? 2.0 : 4.0;
    double cache = 2.0 * element * shape->layers * shape->kv_heads * shape->head_width *
                   (options->prompt + options->tokens / 2.0);
    return (double)llm_model_bytes(subject->model) * read / all + cache;
}

static void report(const subject_t *subject, const options_t *options, measured_t *measured)
{
    size_t turns = (size_t)options->turns;
    double *const rates[] = {measured->prompt, measured->generation, measured->bandwidth};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        qsort(rates[i], turns, sizeof *rates[i], by_value);
    double bytes = bytes_a_token(subject, options);
    double best = measured->generation[turns - 1], median = measured->generation[turns / 2];
    printf("prompt of %d: %.1f tokens/s best, %.1f median\n", options->prompt,
           measured->prompt[turns - 1], measured->prompt[turns / 2]);
    printf("generation of %d: %.1f tokens/s best, %.1f median; %.4f processor seconds a token\n",
           options->tokens, best, median, measured->processor);
    printf("  %.0f MiB a token: %.1f GB/s best = %.0f %% of the %.1f GB/s that %d threads read\n",
           bytes / 1048576.0, best * bytes * 1e-9,
           100.0 * best * bytes / measured->bandwidth[turns - 1] * 1e-9,
           measured->bandwidth[turns - 1], options->subject.threads);
    printf("  model %.0f MiB, peak RSS %.0f MiB\n",
           (double)llm_model_bytes(subject->model) / 1048576.0, measured->memory);
}

int main(int argc, char **argv)
{
    options_t options = {
        .subject = {.shape = "llama-135m", .threads = 2}, .prompt = 512, .tokens = 128, .turns = 3};
    fmq_error_t err;
    bench_flag_t flags[SUBJECT_FLAGS + 3];
    subject_flags(&options.subject, flags);
    flags[SUBJECT_FLAGS] = bench_number("--prompt", &options.prompt, 1, 4096);
    flags[SUBJECT_FLAGS + 1] = bench_number("--tokens", &options.tokens, 1, 4096);
    flags[SUBJECT_FLAGS + 2] = bench_number("--turns", &options.turns, 1, TURNS_MAX);
    bench_flags(flags, sizeof flags / sizeof *flags, argc, argv);
    subject_t subject;
    subject_open(&subject, &options.subject);
    subject_print(&subject, &options.subject);
    const llm_shape_t *shape = llm_model_shape(subject.model);
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_adapter_t *adapter = llm_adapter_new(shape, &none, &err);
    if (!adapter)
        subject_die("adapter", &err);
    llm_generator_t *generator = llm_generator_new(
        subject.model, adapter, (size_t)(options.prompt + options.tokens + 1), subject.be, &err);
    if (!generator)
        subject_die("generator", &err);
    measured_t measured = {.processor = 0.0};
    measure(generator, &options, (int32_t)shape->vocab, &measured);
    report(&subject, &options, &measured);
    llm_generator_destroy(&generator);
    llm_adapter_destroy(&adapter);
    subject_close(&subject);
    return 0;
}
