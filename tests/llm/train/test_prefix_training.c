/*
 * test_prefix_training.c - real models trained with kept prefixes: the same
 * bytes as without, whatever room there is, in every thread.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/train.h"
#include "tests/llm/pass/counted_malloc.h"
#include "tests/llm/train/small.h"

#define EXAMPLES   7
#define ROUNDS     2
#define BATCH_SIZE 3

static const char targets[] = "2.self_attn.q_proj 2.mlp.down_proj 3.self_attn.v_proj 3.mlp.up_proj";

typedef struct {
    llm_backend_t *be;
    small_t small;
    llm_adapter_t *fixed; /* NULL: nothing is applied without being trained */
    const float *fixed_vector;
    llm_dataset_t *dataset;
} room_t;

static fmq_error_t err;

static void must(bool done)
{
    if (!done)
        fail_msg("%s", err.text);
}

static llm_shape_t four_layers(void)
{
    llm_shape_t shape = small_llama();
    shape.layers = 4;
    shape.width = 16;
    shape.head_width = 4;
    shape.ffn = 28;
    return shape;
}

static void open_room(room_t *room, llm_backend_t *be, uint64_t seed)
{
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t spec = small_lora(targets, 0.25f);
    *room = (room_t){.be = be};
    small_open(&room->small, &shape, &spec, seed, be);
    room->dataset = small_ragged(EXAMPLES, 0);
}

static void close_room(room_t *room)
{
    llm_dataset_destroy(&room->dataset);
    small_close(&room->small);
    llm_backend_destroy(&room->be);
}

static uint64_t all_bytes(const llm_dataset_t *dataset)
{
    return (uint64_t)llm_dataset_tokens(dataset) * four_layers().width * sizeof(float);
}

static llm_train_options_t options_of(llm_prefix_cache_t *cache)
{
    return (llm_train_options_t){
        .optimizer = {.kind = LLM_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .by_epoch = true,
        .steps = 2,
        .batch_size = BATCH_SIZE,
        .shuffle = true,
        .grad_accum = 1,
        .grad_clip = 1,
        .prefix = cache,
        .seed = 9,
        .client = 2};
}

/* What a client does: rounds of training, and an evaluation after each. */
typedef struct {
    float *vector; /* owned */
    double losses[ROUNDS], evaluated[ROUNDS];
} outcome_t;

static int run_rounds(llm_workspace_t *ws, const room_t *room, llm_prefix_cache_t *cache,
                      outcome_t *out, fmq_error_t *error)
{
    llm_train_options_t options = options_of(cache);
    llm_eval_options_t measure = {.batch_size = 2, .prefix = cache};
    if (llm_workspace_set_params(ws, room->small.vector, error) < 0)
        return -1;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        llm_train_stats_t stats;
        llm_eval_stats_t eval;
        options.round = round;
        if (llm_train_run(ws, room->dataset, &options, NULL, NULL, &stats, error) < 0 ||
            llm_evaluate_dataset(ws, room->dataset, &measure, &eval, error) < 0)
            return -1;
        out->losses[round] = stats.nll_sum;
        out->evaluated[round] = eval.nll_sum;
    }
    llm_workspace_get_params(ws, out->vector);
    return 0;
}

static llm_workspace_t *new_workspace(const room_t *room, llm_backend_t *be, fmq_error_t *error)
{
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(room->dataset, BATCH_SIZE),
                           .training = true};
    llm_stack_t stack = {
        .model = room->small.model, .adapter = room->small.adapter, .fixed = room->fixed};
    llm_workspace_t *ws = llm_workspace_new_stack(&stack, &limits, be, error);
    if (ws && room->fixed && llm_workspace_set_fixed(ws, room->fixed_vector, error) < 0)
        llm_workspace_destroy(&ws);
    return ws;
}

static outcome_t outcome_of(const room_t *room, llm_prefix_cache_t *cache)
{
    outcome_t out = {.vector = malloc(room->small.elements * sizeof(float))};
    llm_workspace_t *ws = new_workspace(room, room->be, &err);
    must(ws != NULL);
    assert_int_equal(llm_workspace_prefix_bytes(ws), four_layers().width * sizeof(float));
    must(run_rounds(ws, room, cache, &out, &err) == 0);
    llm_workspace_destroy(&ws);
    return out;
}

static void assert_same(const room_t *room, const outcome_t *a, const outcome_t *b)
{
    assert_memory_equal(a->vector, b->vector, room->small.elements * sizeof(float));
    assert_memory_equal(a->losses, b->losses, sizeof a->losses);
    assert_memory_equal(a->evaluated, b->evaluated, sizeof a->evaluated);
}

static void check_budgets(llm_backend_t *be, size_t count)
{
    room_t room;
    open_room(&room, be, 11);
    outcome_t plain = outcome_of(&room, NULL);
    assert_memory_not_equal(plain.vector, room.small.vector, room.small.elements * sizeof(float));
    const uint64_t all = all_bytes(room.dataset);
    const uint64_t budgets[] = {all / 2, all, 0, all / 3, all - 1};
    for (size_t i = 0; i < count; i++) {
        llm_prefix_budget_t *budget = llm_prefix_budget_new(budgets[i]);
        llm_prefix_cache_t *cache = llm_prefix_cache_new(budget, &err);
        outcome_t kept = outcome_of(&room, cache);
        assert_same(&room, &plain, &kept);
        llm_prefix_cache_stats_t stats = llm_prefix_cache_stats(cache);
        assert_true(stats.bytes <= budgets[i]);
        assert_int_equal(stats.hits + stats.misses, 3 * ROUNDS * EXAMPLES);
        assert_true((stats.misses == EXAMPLES) == (budgets[i] == all));
        free(kept.vector);
        llm_prefix_cache_destroy(&cache);
        llm_prefix_budget_destroy(&budget);
    }
    free(plain.vector);
    close_room(&room);
}

static void any_budget_gives_the_bytes_of_none_on_the_reference_backend(void **state)
{
    (void)state;
    check_budgets(llm_backend_reference_new(&err), 2);
}

static void any_budget_gives_the_bytes_of_none_on_the_cpu_backend(void **state)
{
    (void)state;
    check_budgets(llm_backend_cpu_new(2, &err), 5);
}

static void a_new_tag_is_needed_when_the_frozen_layers_are_others(void **state)
{
    (void)state;
    room_t room, other;
    open_room(&room, llm_backend_cpu_new(1, &err), 11);
    open_room(&other, llm_backend_cpu_new(1, &err), 12);
    outcome_t plain = outcome_of(&other, NULL);
    llm_prefix_budget_t *budget = llm_prefix_budget_new(UINT64_MAX);
    llm_prefix_cache_t *cache = llm_prefix_cache_new(budget, &err);
    fmq_digest_t one = fmq_digest_of("1", 1), two = fmq_digest_of("2", 1);
    llm_prefix_cache_tag(cache, &one);
    outcome_t first = outcome_of(&room, cache);
    /* The streams of the first model are really used ... */
    outcome_t stale = outcome_of(&other, cache);
    assert_memory_not_equal(stale.vector, plain.vector, room.small.elements * sizeof(float));
    /* ... until it is said that they are not the second one's. */
    llm_prefix_cache_tag(cache, &two);
    outcome_t fresh = outcome_of(&other, cache);
    assert_same(&other, &plain, &fresh);
    free(first.vector);
    free(stale.vector);
    free(fresh.vector);
    free(plain.vector);
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
    close_room(&other);
    close_room(&room);
}

/* FedBiOT: the emulator below changes from round to round, and the tag says so. */
static void streams_of_an_emulator_are_kept_until_its_vector_changes(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, llm_backend_cpu_new(2, &err), 11);
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_LORA, .rank = 2, .alpha = 4};
    llm_layer_set_add(&spec.layers, 0, 2);
    room.fixed = llm_adapter_new(&shape, &spec, &err);
    must(room.fixed != NULL);
    size_t elements = (size_t)fmq_schema_elements(llm_adapter_schema(room.fixed));
    float *vector = malloc(elements * sizeof *vector);
    room.fixed_vector = vector;
    llm_prefix_budget_t *budget = llm_prefix_budget_new(UINT64_MAX);
    llm_prefix_cache_t *cache = llm_prefix_cache_new(budget, &err);
    outcome_t last = {0};
    for (int version = 0; version < 3; version++) {
        for (size_t i = 0; i < elements; i++)
            vector[i] = 0.1f * (float)((i * 7 + (size_t)version * 3) % 11) - 0.5f;
        fmq_digest_t tag = fmq_digest_of(vector, elements * sizeof *vector);
        llm_prefix_cache_tag(cache, &tag);
        outcome_t plain = outcome_of(&room, NULL), kept = outcome_of(&room, cache);
        assert_same(&room, &plain, &kept);
        assert_true(plain.losses[0] != last.losses[0]);
        free(last.vector);
        free(plain.vector);
        last = kept;
    }
    assert_int_equal(llm_prefix_cache_stats(cache).misses, 3 * EXAMPLES);
    free(last.vector);
    free(vector);
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
    llm_adapter_destroy(&room.fixed);
    close_room(&room);
}

/* Allocations of a routine of so many epochs. */
static size_t allocations(const room_t *room, llm_workspace_t *ws, llm_prefix_cache_t *cache,
                          uint64_t epochs)
{
    llm_train_options_t options = options_of(cache);
    options.steps = epochs;
    size_t before = counted_malloc_calls();
    must(llm_train_run(ws, room->dataset, &options, NULL, NULL, NULL, &err) == 0);
    return counted_malloc_calls() - before;
}

static void a_step_allocates_nothing_once_all_is_kept_or_no_room_is_left(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, llm_backend_cpu_new(2, &err), 11);
    llm_workspace_t *ws = new_workspace(&room, room.be, &err);
    must(ws != NULL);
    const uint64_t budgets[] = {all_bytes(room.dataset), all_bytes(room.dataset) / 2};
    for (size_t i = 0; i < 2; i++) {
        llm_prefix_budget_t *budget = llm_prefix_budget_new(budgets[i]);
        llm_prefix_cache_t *cache = llm_prefix_cache_new(budget, &err);
        size_t filling = allocations(&room, ws, cache, 1);
        size_t once = allocations(&room, ws, cache, 1);
        assert_true(filling > once);
        assert_int_equal(allocations(&room, ws, cache, 5), once);
        llm_prefix_cache_destroy(&cache);
        llm_prefix_budget_destroy(&budget);
    }
    llm_workspace_destroy(&ws);
    close_room(&room);
}

#define CLIENTS 4

/* A client with its own data and backend; model and budget are shared. */
typedef struct {
    pthread_t thread;
    room_t room;
    llm_prefix_cache_t *cache;
    outcome_t out;
    int result;
    fmq_error_t error;
} client_t;

static void *train_client(void *argument)
{
    client_t *self = argument;
    llm_backend_t *be = llm_backend_cpu_new(1, &self->error);
    llm_workspace_t *ws = be ? new_workspace(&self->room, be, &self->error) : NULL;
    self->result = ws ? run_rounds(ws, &self->room, self->cache, &self->out, &self->error) : -1;
    llm_workspace_destroy(&ws);
    llm_backend_destroy(&be);
    return NULL;
}

static void clients_that_share_a_budget_train_as_if_alone(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, llm_backend_cpu_new(1, &err), 11);
    llm_prefix_budget_t *budget = llm_prefix_budget_new(2 * all_bytes(room.dataset));
    client_t clients[CLIENTS] = {0};
    outcome_t plain[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_t *client = &clients[i];
        client->room = room;
        client->room.dataset = small_ragged(EXAMPLES, i);
        client->cache = llm_prefix_cache_new(budget, &err);
        client->out.vector = malloc(room.small.elements * sizeof(float));
        plain[i] = outcome_of(&client->room, NULL);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i].thread, NULL, train_client, &clients[i]), 0);
    uint64_t held = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_t *client = &clients[i];
        assert_int_equal(pthread_join(client->thread, NULL), 0);
        if (client->result < 0)
            fail_msg("%s", client->error.text);
        assert_same(&room, &plain[i], &client->out);
        held += llm_prefix_cache_stats(client->cache).bytes;
        free(plain[i].vector);
        free(client->out.vector);
        llm_dataset_destroy(&client->room.dataset);
    }
    assert_true(held > 0 && held <= 2 * all_bytes(room.dataset));
    for (unsigned i = 0; i < CLIENTS; i++)
        llm_prefix_cache_destroy(&clients[i].cache);
    llm_prefix_budget_destroy(&budget);
    close_room(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_budget_gives_the_bytes_of_none_on_the_reference_backend),
        cmocka_unit_test(any_budget_gives_the_bytes_of_none_on_the_cpu_backend),
        cmocka_unit_test(a_new_tag_is_needed_when_the_frozen_layers_are_others),
        cmocka_unit_test(streams_of_an_emulator_are_kept_until_its_vector_changes),
        cmocka_unit_test(a_step_allocates_nothing_once_all_is_kept_or_no_room_is_left),
        cmocka_unit_test(clients_that_share_a_budget_train_as_if_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
