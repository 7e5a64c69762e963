/*
 * test_real_data.c - a trained model on data that people wrote: TinyStories-656K
 * meets dolly's instructions.  Both lie outside the repository; without them
 * the program says what is missing and counts as skipped.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fedmq/llm/train.h"

#define TOK_LEN 384
#define PATH    1024

static const llm_record_keys_t dolly = {.input = "context", .output = "response"};

typedef struct {
    char assets[PATH];
    llm_backend_t *be;
    llm_tokenizer_t *tokenizer;
    llm_model_t *model;
    llm_adapter_t *adapter;
    llm_dataset_t *train, *test;
    llm_workspace_t *ws;
    float *vector;
} room_t;

static room_t room;
static fmq_error_t err;

static void must(bool done)
{
    if (!done)
        fail_msg("%s", err.text);
}

static const char *asset(char path[PATH + 256], const char *name)
{
    (void)snprintf(path, PATH + 256, "%s/%s", room.assets, name);
    return path;
}

static llm_dataset_t *load_dolly(const char *name, size_t most)
{
    char path[PATH + 256];
    llm_records_t *records = llm_records_new();
    must(llm_records_load(records, asset(path, name), &dolly, &err) == 0);
    llm_part_t part = {calloc(most, sizeof(uint32_t)), 0};
    for (; part.size < most && part.size < llm_records_size(records); part.size++)
        part.items[part.size] = (uint32_t)part.size;
    llm_dataset_t *dataset = llm_dataset_new(records, &part, room.tokenizer, TOK_LEN, &err);
    must(dataset != NULL);
    llm_part_release(&part);
    llm_records_destroy(&records);
    return dataset;
}

static void find_assets(void)
{
    static const char *const names[] = {
        "models/TinyStories-656K/model.safetensors", "data/dolly-fedit10/local_training_0.json",
        "data/dolly-fedit10/local_training_1.json", "data/dolly-fedit10/global_test.json"};
    const char *given = getenv("FEDMQ_ASSETS");
    (void)snprintf(room.assets, sizeof room.assets, "%s",
                   given ? given : FEDMQ_SOURCE_DIR "/../shared/assets");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH + 256];
        if (access(asset(path, names[i]), R_OK) == 0)
            continue;
        (void)fprintf(stderr, "skipped: no '%s' (set FEDMQ_ASSETS)\n", path);
        exit(77);
    }
}

static int open_room(void **state)
{
    (void)state;
    char path[PATH + 256];
    asset(path, "models/TinyStories-656K");
    room.be = llm_backend_cpu_new(1, &err);
    must(room.be != NULL);
    room.tokenizer = llm_tokenizer_open(path, &err);
    must(room.tokenizer != NULL);
    room.model = llm_model_open(path, room.be, &err);
    must(room.model != NULL);
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_LORA, .rank = 8, .alpha = 16, .dropout = 0.05f};
    room.adapter = llm_adapter_new(llm_model_shape(room.model), &spec, &err);
    must(room.adapter != NULL);
    room.train = load_dolly("data/dolly-fedit10/local_training_1.json", 64);
    room.test = load_dolly("data/dolly-fedit10/global_test.json", 32);
    size_t tokens = llm_train_tokens_max(room.train, 4), most = llm_train_tokens_max(room.test, 4);
    llm_limits_t limits = {.tokens_max = tokens > most ? tokens : most, .training = true};
    room.ws = llm_workspace_new(room.model, room.adapter, &limits, room.be, &err);
    must(room.ws != NULL);
    room.vector = malloc(llm_workspace_elements(room.ws) * sizeof *room.vector);
    must(llm_adapter_init(room.adapter, room.model, 1, room.vector, &err) == 0);
    return 0;
}

static int close_room(void **state)
{
    (void)state;
    free(room.vector);
    llm_dataset_destroy(&room.train);
    llm_dataset_destroy(&room.test);
    llm_workspace_destroy(&room.ws);
    llm_adapter_destroy(&room.adapter);
    llm_model_destroy(&room.model);
    llm_tokenizer_destroy(&room.tokenizer);
    llm_backend_destroy(&room.be);
    return 0;
}

static double loss_of(const llm_dataset_t *dataset)
{
    llm_eval_stats_t stats;
    must(llm_evaluate_loss(room.ws, dataset, 4, NULL, NULL, &stats, &err) == 0);
    assert_int_equal(stats.samples, llm_dataset_size(dataset));
    assert_int_equal(stats.nan_batches, 0);
    return stats.token_loss;
}

static void every_record_of_dolly_is_read_and_has_a_category(void **state)
{
    (void)state;
    static const char *const names[] = {"data/dolly-fedit10/local_training_0.json",
                                        "data/dolly-fedit10/local_training_1.json"};
    for (size_t i = 0; i < 2; i++) {
        char path[PATH + 256];
        llm_records_t *records = llm_records_new();
        must(llm_records_load(records, asset(path, names[i]), &dolly, &err) == 0);
        assert_int_equal(llm_records_size(records), 1493);
        for (size_t k = 0; k < llm_records_size(records); k++)
            assert_true(*llm_records_at(records, k)->category);
        llm_records_destroy(&records);
    }
}

static void prompts_that_fill_tok_len_are_dropped_and_the_rest_is_kept(void **state)
{
    (void)state;
    size_t all = llm_dataset_size(room.train) + llm_dataset_dropped(room.train);
    assert_int_equal(all, 64);
    assert_true(llm_dataset_size(room.train) > 32);
    assert_true(llm_dataset_longest(room.train) <= TOK_LEN);
    for (size_t i = 0; i < llm_dataset_size(room.train); i++) {
        llm_example_t example = llm_dataset_at(room.train, i);
        assert_true(example.prompt < example.size);
        if (example.size < TOK_LEN) /* the end was not cut off */
            assert_int_equal(example.ids[example.size - 1], llm_tokenizer_eos(room.tokenizer));
    }
}

static void a_round_of_lora_lowers_the_loss_on_data_it_has_not_seen(void **state)
{
    (void)state;
    must(llm_workspace_set_params(room.ws, room.vector, &err) == 0);
    double train_before = loss_of(room.train), test_before = loss_of(room.test);
    llm_train_options_t options = {
        .optimizer = {.kind = LLM_ADAMW, .lr = 5e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .by_epoch = true,
        .steps = 2,
        .batch_size = 4,
        .shuffle = true,
        .grad_accum = 1,
        .grad_clip = 1,
        .seed = 1,
        .client = 1};
    llm_train_stats_t stats;
    must(llm_train_run(room.ws, room.train, &options, NULL, NULL, &stats, &err) == 0);
    double train_after = loss_of(room.train), test_after = loss_of(room.test);
    print_message("token loss: train %.4f -> %.4f, test %.4f -> %.4f; %.0f tokens/s\n",
                  train_before, train_after, test_before, test_after,
                  (double)stats.tokens / stats.seconds);
    assert_int_equal(stats.samples, 2 * llm_dataset_size(room.train));
    assert_int_equal(stats.nan_batches, 0);
    assert_true(train_after < train_before - 0.3);
    assert_true(test_after < test_before - 0.3);
}

static void the_same_round_gives_the_same_bytes(void **state)
{
    (void)state;
    size_t bytes = llm_workspace_elements(room.ws) * sizeof(float);
    float *got[2] = {malloc(bytes), malloc(bytes)};
    llm_train_options_t options = {
        .optimizer = {.kind = LLM_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .steps = 3,
        .batch_size = 4,
        .shuffle = true,
        .grad_accum = 2,
        .seed = 9,
        .client = 4,
        .round = 2};
    for (size_t i = 0; i < 2; i++) {
        must(llm_workspace_set_params(room.ws, room.vector, &err) == 0);
        must(llm_train_run(room.ws, room.train, &options, NULL, NULL, NULL, &err) == 0);
        llm_workspace_get_params(room.ws, got[i]);
    }
    assert_memory_equal(got[0], got[1], bytes);
    assert_memory_not_equal(got[0], room.vector, bytes);
    free(got[0]);
    free(got[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_of_dolly_is_read_and_has_a_category),
        cmocka_unit_test(prompts_that_fill_tok_len_are_dropped_and_the_rest_is_kept),
        cmocka_unit_test(a_round_of_lora_lowers_the_loss_on_data_it_has_not_seen),
        cmocka_unit_test(the_same_round_gives_the_same_bytes),
    };
    find_assets();
    return cmocka_run_group_tests(tests, open_room, close_room);
}
