/*
 * fine_tune.c - libfedmq's engine in one page: a model is opened, learns from a
 * file by LoRA, answers the file's first instruction before and after, and the
 * adapter is saved as a PEFT directory.
 *
 *     cc -o fine_tune fine_tune.c $(pkg-config --cflags --libs fedmq)
 *     ./fine_tune MODEL_DIRECTORY DATA.jsonl STEPS ADAPTER_DIRECTORY
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fedmq/llm/adapter.h>
#include <fedmq/llm/data.h>
#include <fedmq/llm/generate.h>
#include <fedmq/llm/train.h>

enum { THREADS = 2, TOKENS = 128, BATCH = 8, ANSWER_TOKENS = 24 };

/* Everything here is owned, and released in the order in which it hangs together. */
typedef struct {
    llm_backend_t *backend;
    llm_model_t *model;
    llm_tokenizer_t *tokenizer;
    llm_records_t *records;
    llm_dataset_t *dataset;
    llm_adapter_t *adapter;
    llm_workspace_t *workspace;
    float *vector; /* what is trained, adapter's elements */
} bench_t;

static int open_bench(bench_t *self, const char *model, const char *data, fmq_error_t *err)
{
    const llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_LORA, .rank = 8, .alpha = 16};
    if (!(self->backend = llm_backend_open("cpu", THREADS, err)) ||
        !(self->model = llm_model_open(model, self->backend, err)) ||
        !(self->tokenizer = llm_tokenizer_open(model, err)) ||
        !(self->adapter = llm_adapter_new(llm_model_shape(self->model), &spec, err)))
        return -1;
    self->records = llm_records_new();
    if (!self->records)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for records");
    if (llm_records_load(self->records, data, NULL, err) < 0 ||
        !(self->dataset = llm_dataset_new(self->records, NULL, self->tokenizer, TOKENS, err)))
        return -1;
    if (llm_dataset_size(self->dataset) == 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "no record of '%s' fits %d tokens", data, TOKENS);
    self->vector =
        calloc(fmq_schema_elements(llm_adapter_schema(self->adapter)), sizeof *self->vector);
    if (!self->vector)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an adapter");
    return llm_adapter_init(self->adapter, self->model, 1, self->vector, err);
}

static void close_bench(bench_t *self)
{
    free(self->vector);
    llm_workspace_destroy(&self->workspace);
    llm_adapter_destroy(&self->adapter);
    llm_dataset_destroy(&self->dataset);
    llm_records_destroy(&self->records);
    llm_tokenizer_destroy(&self->tokenizer);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->backend);
}

/* A few optimizer steps; the vector is then what was learnt. */
static int train(bench_t *self, unsigned steps, fmq_error_t *err)
{
    const llm_train_options_t options = {
        .optimizer = {.kind = LLM_ADAMW, .lr = 0.003, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .steps = steps,
        .batch_size = BATCH,
        .shuffle = true,
        .grad_accum = 1,
        .seed = 1,
        .client = 1};
    const llm_limits_t limits = {.tokens_max = llm_train_tokens_max(self->dataset, BATCH),
                                 .training = true};
    llm_train_stats_t stats;
    self->workspace = llm_workspace_new(self->model, self->adapter, &limits, self->backend, err);
    if (!self->workspace || llm_workspace_set_params(self->workspace, self->vector, err) < 0 ||
        llm_train_run(self->workspace, self->dataset, &options, NULL, NULL, &stats, err) < 0)
        return -1;
    llm_workspace_get_params(self->workspace, self->vector);
    printf("trained %llu steps, average loss %.3f\n", (unsigned long long)stats.steps,
           stats.loss_avg);
    return 0;
}

/* Prints what model and adapter make of the first record's instruction. */
static int answer(const bench_t *self, const char *when, fmq_error_t *err)
{
    llm_sampling_t greedy = {.new_tokens_max = ANSWER_TOKENS, .top_p = 1};
    char *prompt = llm_prompt_format(llm_records_at(self->records, 0), err), *text = NULL;
    llm_ids_t ids = {0}, answered = {0};
    llm_generator_t *generator = NULL;
    int result = -1;
    greedy.ends = llm_tokenizer_ends(self->tokenizer, &greedy.ends_size);
    if (!prompt ||
        llm_tokenizer_encode(self->tokenizer, prompt, strlen(prompt), true, &ids, err) < 0 ||
        !(generator = llm_generator_new(self->model, self->adapter, ids.size + ANSWER_TOKENS,
                                        self->backend, err)) ||
        llm_generator_set_params(generator, self->vector, err) < 0 ||
        llm_generator_run(generator, ids.ids, ids.size, &greedy, &answered, err) < 0 ||
        !(text =
              llm_tokenizer_decode(self->tokenizer, answered.ids, answered.size, true, NULL, err)))
        goto done;
    printf("%s: %s\n", when, text);
    result = 0;
done:
    free(text);
    free(prompt);
    llm_generator_destroy(&generator);
    llm_ids_release(&ids);
    llm_ids_release(&answered);
    return result;
}

int main(int argc, char **argv)
{
    bench_t bench = {0};
    fmq_error_t err = {0};
    if (argc != 5) {
        fprintf(stderr, "usage: %s MODEL_DIRECTORY DATA.jsonl STEPS ADAPTER_DIRECTORY\n", argv[0]);
        return 2;
    }
    int result = open_bench(&bench, argv[1], argv[2], &err);
    if (result == 0)
        result = answer(&bench, "before", &err);
    if (result == 0)
        result = train(&bench, (unsigned)strtoul(argv[3], NULL, 10), &err);
    if (result == 0)
        result = answer(&bench, "after", &err);
    if (result == 0)
        result =
            llm_adapter_save(bench.adapter, bench.vector, argv[1], NULL, FMQ_F32, argv[4], &err);
    close_bench(&bench);
    if (result < 0)
        fprintf(stderr, "fine_tune: %s\n", err.text);
    return fmq_error_exit_status(err.code);
}
