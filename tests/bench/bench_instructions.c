/*
 * bench_instructions.c - LoRA training on instruction data as it is: records
 * of all lengths, prompts masked, batches of a few, through llm_train_run().
 * Prints real tokens a second by wall clock, with the first step left out.
 *
 * Records come from a file (--records) or are made up with the lengths that
 * Alpaca's have; they are read in order and not shuffled, so that a peer which
 * takes what --dump wrote (ids and the prompt's length, a JSON object a line)
 * does the same work: tests/bench/peer_pytorch.py --examples.
 *
 * Usage: bench_instructions [--shape NAME | --model DIR] [--weights FORM] [--half]
 *        [--threads N] [--layers N] [--records FILE] [--tokenizer DIR] [--tok-len N] [--batch N]
 * [--steps N]
 *        [--dump FILE]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fedmq/llm/train.h"
#include "tests/bench/peak.h"
#include "tests/bench/shapes.h"
#include "tests/bench/subject.h"

#define STEPS_MAX 1000
#define WORDS_MAX 600

typedef struct {
    subject_options_t subject;
    const char *records, *tokenizer, *dump;
    int tok_len, batch, steps;
} options_t;

/* Words of about the lengths that Alpaca's texts have: log-normal, with these
 * medians and deviations of the logarithm. */
static void make_text(fmq_rng_t *rng, double median, double deviation, char out[8 * WORDS_MAX])
{
    static const char *const words[] = {"the", "of",  "time", "a",    "house", "water",
                                        "and", "say", "two",  "with", "world", "paper"};
    double normal = sqrt(-2.0 * log(1.0 - fmq_rng_uniform(rng))) *
                    cos(6.283185307179586 * fmq_rng_uniform(rng));
    double count = median * exp(deviation * normal);
    size_t size = 0;
    for (int i = 0; i == 0 || (i < WORDS_MAX && i < (int)count); i++)
        size += (size_t)snprintf(out + size, 8, "%s%s", i ? " " : "",
                                 words[fmq_rng_u32(rng) % (sizeof words / sizeof *words)]);
}

static void make_records(llm_records_t *records, size_t count)
{
    fmq_error_t err;
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 1, .purpose = FMQ_RNG_DATA};
    fmq_rng_init(&rng, &name);
    for (size_t i = 0; i < count; i++) {
        char instruction[8 * WORDS_MAX], input[8 * WORDS_MAX] = "", output[8 * WORDS_MAX];
        make_text(&rng, 5, 0.5, instruction);
        if (fmq_rng_uniform(&rng) < 0.2)
            make_text(&rng, 10, 0.8, input);
        make_text(&rng, 55, 0.95, output);
        llm_record_t record = {
            .instruction = instruction, .input = input, .output = output, .category = ""};
        if (llm_records_add(records, &record, &err) < 0)
            subject_die("records", &err);
    }
}

static llm_dataset_t *open_dataset(const options_t *options)
{
    fmq_error_t err;
    llm_tokenizer_t *tokenizer = llm_tokenizer_open(options->tokenizer, &err);
    if (!tokenizer)
        subject_die("tokenizer", &err);
    llm_records_t *records = llm_records_new();
    if (!records)
        exit(1);
    if (!options->records)
        make_records(records, (size_t)options->batch * (size_t)(options->steps + 1));
    else if (llm_records_load(records, options->records, NULL, &err) < 0)
        subject_die("records", &err);
    llm_dataset_t *dataset =
        llm_dataset_new(records, NULL, tokenizer, (size_t)options->tok_len, &err);
    if (!dataset)
        subject_die("dataset", &err);
    if (llm_dataset_size(dataset) < (size_t)options->batch * (size_t)(options->steps + 1)) {
        (void)fprintf(stderr, "only %zu examples for %d steps\n", llm_dataset_size(dataset),
                      options->steps + 1);
        exit(2);
    }
    llm_records_destroy(&records);
    llm_tokenizer_destroy(&tokenizer);
    return dataset;
}

/* The examples that a run meets, in its order. */
static void dump(const llm_dataset_t *dataset, const options_t *options)
{
    FILE *file = fopen(options->dump, "w");
    if (!file) {
        perror(options->dump);
        exit(1);
    }
    for (size_t i = 0; i < (size_t)options->batch * (size_t)(options->steps + 1); i++) {
        llm_example_t example = llm_dataset_at(dataset, i);
        (void)fprintf(file, "{\"prompt\": %u, \"ids\": [", example.prompt);
        for (uint32_t t = 0; t < example.size; t++)
            (void)fprintf(file, "%s%d", t ? ", " : "", (int)example.ids[t]);
        (void)fprintf(file, "]}\n");
    }
    if (fclose(file) != 0)
        exit(1);
}

/* When steps ended, and how many tokens had gone through. */
typedef struct {
    double at[STEPS_MAX + 2], first_processor, last_processor;
    uint64_t tokens[STEPS_MAX + 2];
    size_t steps;
} clock_card_t;

static int stamp(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    clock_card_t *card = argument;
    (void)step;
    (void)steps;
    card->last_processor = (double)clock() / CLOCKS_PER_SEC;
    if (card->steps == 0)
        card->first_processor = card->last_processor;
    card->at[card->steps] = bench_now();
    card->tokens[card->steps++] = tokens;
    return 0;
}

static void report(const clock_card_t *card, const llm_train_stats_t *stats,
                   const llm_workspace_t *ws)
{
    size_t steps = card->steps - 1;
    double seconds = card->at[steps] - card->at[0];
    double tokens = (double)(card->tokens[steps] - card->tokens[0]), best = 0.0;
    for (size_t i = 1; i <= steps; i++) {
        double rate =
            (double)(card->tokens[i] - card->tokens[i - 1]) / (card->at[i] - card->at[i - 1]);
        best = rate > best ? rate : best;
    }
    printf("%.1f real tokens/s, %.1f in the best step; %zu steps of %.0f tokens, %.0f %% of them "
           "supervised\n",
           tokens / seconds, best, steps, tokens / (double)steps,
           100.0 * (double)stats->supervised / (double)stats->tokens);
    printf("  %.3f processor seconds a step, workspace %.0f MiB, peak RSS %.0f MiB, loss %.4f\n",
           (card->last_processor - card->first_processor) / (double)steps,
           (double)llm_workspace_bytes(ws) / 1048576.0, subject_peak_memory(), stats->loss_avg);
}

static void train(const subject_t *subject, const llm_dataset_t *dataset, const options_t *options)
{
    fmq_error_t err;
    const llm_shape_t *shape = llm_model_shape(subject->model);
    llm_adapter_spec_t spec = bench_lora(shape, 0);
    llm_adapter_t *adapter = llm_adapter_new(shape, &spec, &err);
    if (!adapter)
        subject_die("adapter", &err);
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(dataset, (uint32_t)options->batch),
                           .training = true};
    llm_workspace_t *ws = llm_workspace_new(subject->model, adapter, &limits, subject->be, &err);
    if (!ws)
        subject_die("workspace", &err);
    float *start = malloc((size_t)llm_workspace_elements(ws) * sizeof *start);
    if (!start || llm_adapter_init(adapter, subject->model, 1, start, &err) < 0 ||
        llm_workspace_set_params(ws, start, &err) < 0)
        exit(1);
    llm_train_options_t how = {
        .optimizer = {.kind = LLM_ADAMW, .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .steps = (uint64_t)options->steps + 1,
        .batch_size = (uint32_t)options->batch,
        .grad_accum = 1,
        .seed = 1};
    clock_card_t card = {.steps = 0};
    llm_train_stats_t stats;
    if (llm_train_run(ws, dataset, &how, stamp, &card, &stats, &err) < 0)
        subject_die("training", &err);
    report(&card, &stats, ws);
    free(start);
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
}

int main(int argc, char **argv)
{
    options_t options = {.subject = {.shape = "gpt2", .threads = 2},
                         .tokenizer = "configs/quickstart/model",
                         .tok_len = 512,
                         .batch = 4,
                         .steps = 20};
    bench_flag_t flags[SUBJECT_FLAGS + 6];
    subject_flags(&options.subject, flags);
    flags[SUBJECT_FLAGS] = bench_text("--records", &options.records, "FILE");
    flags[SUBJECT_FLAGS + 1] = bench_text("--tokenizer", &options.tokenizer, "DIR");
    flags[SUBJECT_FLAGS + 2] = bench_text("--dump", &options.dump, "FILE");
    flags[SUBJECT_FLAGS + 3] = bench_number("--tok-len", &options.tok_len, 2, 1024);
    flags[SUBJECT_FLAGS + 4] = bench_number("--batch", &options.batch, 1, 1024);
    flags[SUBJECT_FLAGS + 5] = bench_number("--steps", &options.steps, 1, STEPS_MAX);
    bench_flags(flags, sizeof flags / sizeof *flags, argc, argv);
    llm_dataset_t *dataset = open_dataset(&options);
    if (options.dump)
        dump(dataset, &options);
    subject_t subject;
    subject_open(&subject, &options.subject);
    printf("batches of %d, LoRA r=8, ", options.batch);
    subject_print(&subject, &options.subject);
    train(&subject, dataset, &options);
    subject_close(&subject);
    llm_dataset_destroy(&dataset);
    return 0;
}
