/*
 * test_out_of_memory.c - one allocation of our own code after the other fails.
 *
 * What fails has to say "out of memory", to leave nothing behind (LeakSanitizer
 * looks when this is built with it), and never to crash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/config.h"
#include "fedmq/llm/generate.h"
#include "fedmq/llm/train.h"
#include "tests/house/failing_malloc.h"

#define MODEL FEDMQ_SOURCE_DIR "/configs/quickstart/model"
#define CFG   FEDMQ_SOURCE_DIR "/configs/quickstart/quickstart.yaml"
#define EVERY 150 /* allocations that are tried one by one; then larger and larger steps */

typedef int(scenario_t)(fmq_error_t *err);

static size_t after(size_t nth)
{
    return nth < EVERY ? nth + 1 : nth + 1 + nth / 12;
}

/* Runs it with the first, second, ... allocation failing until none fails. */
static void fail_one_after_the_other(scenario_t *scenario)
{
    size_t nth = 1, tried = 0;
    bool failed = true;
    for (; failed; nth = after(nth), tried++) {
        fmq_error_t err = {0};
        failing_malloc_at(nth);
        int result = scenario(&err);
        failed = failing_malloc_failed();
        failing_malloc_at(0);
        if (result < 0 && err.code != FMQ_ERR_NOMEM)
            fail_msg("allocation %zu failed, and the error is %s: '%s'", nth,
                     fmq_error_name(err.code), err.text);
        if (result == 0)
            assert_int_equal(err.code, FMQ_OK);
        else
            assert_true(failed);
    }
    print_message("%zu of %zu allocations failed in turn\n", tried - 1, nth);
}

static int configure(fmq_error_t *err)
{
    int result = -1;
    char *text = NULL;
    fmq_config_t *client = NULL, *config = fmq_config_new();
    if (!config)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a configuration");
    FILE *out = fopen("/dev/null", "w");
    if (fmq_config_load(config, CFG, err) == 0 &&
        fmq_config_set(config, "llm.adapter.args", "[{r: 4}]", err) == 0 &&
        fmq_config_check(config, out, NULL, err) == 0 &&
        (client = fmq_config_for_client(config, 2, err)) != NULL &&
        (text = fmq_config_dump(client, false, err)) != NULL)
        result = 0;
    fclose(out);
    free(text);
    fmq_config_destroy(&client);
    fmq_config_destroy(&config);
    return result;
}

typedef struct {
    llm_backend_t *backend;
    llm_model_t *model;
    llm_tokenizer_t *tokenizer;
    llm_records_t *records;
    llm_dataset_t *dataset;
    llm_adapter_t *adapter;
    llm_workspace_t *workspace;
    llm_generator_t *generator;
    float *vector;
    llm_ids_t ids, answer;
} bench_t;

static void close_bench(bench_t *self)
{
    llm_ids_release(&self->ids);
    llm_ids_release(&self->answer);
    llm_generator_destroy(&self->generator);
    llm_workspace_destroy(&self->workspace);
    llm_adapter_destroy(&self->adapter);
    llm_dataset_destroy(&self->dataset);
    llm_records_destroy(&self->records);
    llm_tokenizer_destroy(&self->tokenizer);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->backend);
    free(self->vector);
}

static int open_bench(bench_t *self, fmq_error_t *err)
{
    static const char data[] =
        "{\"instruction\": \"Add.\", \"input\": \"1,2\", \"output\": \"3\"}\n"
        "{\"instruction\": \"Add.\", \"input\": \"2,2\", \"output\": \"4\"}\n";
    const llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_LORA, .rank = 2, .alpha = 4};
    self->records = llm_records_new();
    if (!self->records)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for records");
    if (!(self->backend = llm_backend_cpu_new(2, err)) ||
        !(self->model = llm_model_open(MODEL, self->backend, err)) ||
        !(self->tokenizer = llm_tokenizer_open(MODEL, err)) ||
        llm_records_parse(self->records, "data", data, sizeof data - 1, NULL, err) < 0 ||
        !(self->dataset = llm_dataset_new(self->records, NULL, self->tokenizer, 64, err)) ||
        !(self->adapter = llm_adapter_new(llm_model_shape(self->model), &spec, err)))
        return -1;
    self->vector =
        calloc(fmq_schema_elements(llm_adapter_schema(self->adapter)), sizeof *self->vector);
    if (!self->vector)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a vector");
    return llm_adapter_init(self->adapter, self->model, 1, self->vector, err);
}

static int train_and_answer(bench_t *self, fmq_error_t *err)
{
    const llm_train_options_t options = {
        .optimizer = {.kind = LLM_ADAMW, .lr = 0.001, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .steps = 1,
        .batch_size = 2,
        .grad_accum = 1};
    const llm_limits_t limits = {.tokens_max = llm_train_tokens_max(self->dataset, 2),
                                 .training = true};
    const llm_sampling_t greedy = {.new_tokens_max = 2, .top_p = 1};
    self->workspace = llm_workspace_new(self->model, self->adapter, &limits, self->backend, err);
    if (!self->workspace || llm_workspace_set_params(self->workspace, self->vector, err) < 0 ||
        llm_train_run(self->workspace, self->dataset, &options, NULL, NULL, NULL, err) < 0 ||
        llm_tokenizer_encode(self->tokenizer, "Add.", 4, true, &self->ids, err) < 0)
        return -1;
    self->generator = llm_generator_new(self->model, self->adapter, 32, self->backend, err);
    if (!self->generator || llm_generator_set_params(self->generator, self->vector, err) < 0)
        return -1;
    return llm_generator_run(self->generator, self->ids.ids, self->ids.size, &greedy, &self->answer,
                             err);
}

static int fine_tune(fmq_error_t *err)
{
    bench_t bench = {0};
    int result = open_bench(&bench, err) == 0 ? train_and_answer(&bench, err) : -1;
    close_bench(&bench);
    return result;
}

static void a_configuration_that_finds_no_memory_says_so(void **state)
{
    (void)state;
    fail_one_after_the_other(configure);
}

static void an_engine_that_finds_no_memory_says_so(void **state)
{
    (void)state;
    fail_one_after_the_other(fine_tune);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_that_finds_no_memory_says_so),
        cmocka_unit_test(an_engine_that_finds_no_memory_says_so)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
