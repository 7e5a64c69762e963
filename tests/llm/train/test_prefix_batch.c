/*
 * test_prefix_batch.c - the prefixes of a routine's batches, on paper: which
 * sequences are computed, and that each gets its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/llm/data/byte_tokenizer.h"
#include "tests/llm/train/paper.h"

#define EXAMPLES 7
#define WIDTH    2

typedef struct {
    llm_workspace_t ws;
    llm_dataset_t *dataset; /* examples of many lengths */
    llm_prefix_budget_t *budget;
    llm_prefix_cache_t *cache;
} room_t;

static fmq_error_t err;

static llm_dataset_t *ragged(void)
{
    llm_records_t *records = llm_records_new();
    for (size_t i = 0; i < EXAMPLES; i++) {
        char answer[32] = "";
        memset(answer, (int)('a' + i), 1 + i * 5 % EXAMPLES);
        llm_record_t record = {.instruction = "i", .output = answer};
        assert_int_equal(llm_records_add(records, &record, &err), 0);
    }
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *dataset = llm_dataset_new(records, NULL, &tokenizer, 1000, &err);
    assert_non_null(dataset);
    assert_int_equal(llm_dataset_size(dataset), EXAMPLES);
    llm_records_destroy(&records);
    return dataset;
}

static void open_room(room_t *room, uint64_t bytes_max)
{
    paper_open(&room->ws, (const float[PAPER_SIZE]){0.5f, -1.0f, 2.0f});
    room->ws.prefix_width = WIDTH;
    room->dataset = ragged();
    room->budget = llm_prefix_budget_new(bytes_max);
    room->cache = llm_prefix_cache_new(room->budget, &err);
    assert_non_null(room->cache);
}

static void close_room(room_t *room)
{
    llm_prefix_cache_destroy(&room->cache);
    llm_prefix_budget_destroy(&room->budget);
    llm_dataset_destroy(&room->dataset);
    paper_close(&room->ws);
}

static void train(room_t *room, uint64_t epochs, uint32_t round)
{
    llm_train_options_t options = {.optimizer = {.kind = LLM_SGD, .lr = 0.1},
                                   .by_epoch = true,
                                   .steps = epochs,
                                   .batch_size = 3,
                                   .shuffle = true,
                                   .grad_accum = 1,
                                   .prefix = room->cache,
                                   .seed = 5,
                                   .round = round};
    if (llm_train_run(&room->ws, room->dataset, &options, NULL, NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static uint64_t all_bytes(const room_t *room)
{
    return llm_dataset_tokens(room->dataset) * WIDTH * sizeof(float);
}

static void every_example_is_computed_once_and_serves_all_rounds(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, UINT64_MAX);
    for (uint32_t round = 0; round < 3; round++)
        train(&room, 2, round);
    assert_int_equal(room.ws.prefix_sequences, EXAMPLES);
    assert_int_equal(room.ws.prefix_tokens, llm_dataset_tokens(room.dataset));
    assert_int_equal(room.ws.prefixed, room.ws.calls);
    llm_prefix_cache_stats_t stats = llm_prefix_cache_stats(room.cache);
    assert_int_equal(stats.misses, EXAMPLES);
    assert_int_equal(stats.hits, 5 * EXAMPLES);
    assert_int_equal(stats.bytes, all_bytes(&room));
    close_room(&room);
}

static void only_what_found_no_room_is_computed_again(void **state)
{
    (void)state;
    room_t room;
    llm_dataset_t *dataset = ragged();
    uint64_t half = llm_dataset_tokens(dataset) * WIDTH * sizeof(float) / 2;
    llm_dataset_destroy(&dataset);
    open_room(&room, half);
    train(&room, 1, 0);
    llm_prefix_cache_stats_t one = llm_prefix_cache_stats(room.cache);
    assert_true(one.bytes > 0 && one.bytes <= half);
    assert_int_equal(room.ws.prefix_sequences, EXAMPLES);
    size_t left = llm_dataset_tokens(room.dataset) - (size_t)one.bytes / (WIDTH * sizeof(float));
    size_t before = room.ws.prefix_tokens;
    train(&room, 4, 1);
    assert_int_equal(room.ws.prefix_tokens - before, 4 * left);
    llm_prefix_cache_stats_t more = llm_prefix_cache_stats(room.cache);
    assert_int_equal(more.bytes, one.bytes);
    assert_true(more.hits > 0);
    assert_int_equal(more.hits + more.misses, 5 * EXAMPLES);
    assert_int_equal(room.ws.prefixed, room.ws.calls);
    close_room(&room);
}

static void another_tag_has_everything_computed_again(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, UINT64_MAX);
    for (char tag = 'a'; tag < 'd'; tag++) {
        fmq_digest_t digest = fmq_digest_of(&tag, 1);
        llm_prefix_cache_tag(room.cache, &digest);
        train(&room, 2, 0);
    }
    assert_int_equal(room.ws.prefix_sequences, 3 * EXAMPLES);
    assert_int_equal(llm_prefix_cache_stats(room.cache).bytes, all_bytes(&room));
    close_room(&room);
}

static void a_model_without_frozen_layers_leaves_the_cache_alone(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, UINT64_MAX);
    room.ws.prefix_width = 0;
    train(&room, 2, 0);
    assert_int_equal(room.ws.prefix_sequences + room.ws.prefixed, 0);
    llm_prefix_cache_stats_t stats = llm_prefix_cache_stats(room.cache);
    assert_int_equal(stats.hits + stats.misses + stats.bytes, 0);
    close_room(&room);
}

static void evaluation_shares_what_training_kept(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, UINT64_MAX);
    train(&room, 1, 0);
    size_t calls = room.ws.calls;
    llm_eval_options_t options = {.batch_size = 2, .prefix = room.cache};
    llm_eval_stats_t stats;
    assert_int_equal(llm_evaluate_dataset(&room.ws, room.dataset, &options, &stats, &err), 0);
    assert_int_equal(stats.samples, EXAMPLES);
    assert_int_equal(room.ws.calls - calls, 4);
    assert_int_equal(room.ws.prefixed, room.ws.calls);
    assert_int_equal(room.ws.prefix_sequences, EXAMPLES);
    options.prefix = NULL;
    llm_eval_stats_t plain;
    assert_int_equal(llm_evaluate_dataset(&room.ws, room.dataset, &options, &plain, &err), 0);
    assert_int_equal(room.ws.prefixed, room.ws.calls - 4);
    assert_true(plain.nll_sum == stats.nll_sum);
    close_room(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_is_computed_once_and_serves_all_rounds),
        cmocka_unit_test(only_what_found_no_room_is_computed_again),
        cmocka_unit_test(another_tag_has_everything_computed_again),
        cmocka_unit_test(a_model_without_frozen_layers_leaves_the_cache_alone),
        cmocka_unit_test(evaluation_shares_what_training_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
