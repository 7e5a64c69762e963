/*
 * test_prefix_cache.c - streams by example number, tags, and a budget that
 * many caches share.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/train/prefix_cache.h"

#define WIDTH    3
#define EXAMPLES 4

static fmq_error_t err;

static llm_prefix_cache_t *new_cache(llm_prefix_budget_t *budget)
{
    llm_prefix_cache_t *cache = llm_prefix_cache_new(budget, &err);
    assert_non_null(cache);
    assert_int_equal(llm_prefix_cache_bind(cache, EXAMPLES, WIDTH * sizeof(float), &err), 0);
    return cache;
}

static const float first[2 * WIDTH] = {1, 2, 3, 4, 5, 6}, second[WIDTH] = {7, 8, 9};

static void keep_two(llm_prefix_cache_t *cache)
{
    llm_prefix_cache_keep(cache, 0, 2, first);
    llm_prefix_cache_keep(cache, 3, 1, second);
    assert_int_equal(llm_prefix_cache_stats(cache).bytes, 3 * WIDTH * sizeof(float));
}

static void assert_empty(llm_prefix_cache_t *cache)
{
    assert_int_equal(llm_prefix_cache_stats(cache).bytes, 0);
    assert_null(llm_prefix_cache_find(cache, 0, 2));
    assert_null(llm_prefix_cache_find(cache, 3, 1));
}

static void what_was_kept_is_found_and_counted(void **state)
{
    (void)state;
    llm_prefix_budget_t *budget = llm_prefix_budget_new(1000);
    llm_prefix_cache_t *cache = new_cache(budget);
    assert_empty(cache);
    keep_two(cache);
    const float *stream = llm_prefix_cache_find(cache, 0, 2);
    assert_non_null(stream);
    assert_memory_equal(stream, first, sizeof first);
    assert_memory_equal(llm_prefix_cache_find(cache, 3, 1), second, sizeof second);
    assert_null(llm_prefix_cache_find(cache, 1, 2));
    llm_prefix_cache_stats_t stats = llm_prefix_cache_stats(cache);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.misses, 3);
    llm_prefix_cache_destroy(&cache);
    assert_null(cache);
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
    assert_null(budget);
}

static void an_example_of_another_length_is_not_what_was_kept(void **state)
{
    (void)state;
    llm_prefix_budget_t *budget = llm_prefix_budget_new(1000);
    llm_prefix_cache_t *cache = new_cache(budget);
    keep_two(cache);
    assert_null(llm_prefix_cache_find(cache, 0, 1));
    assert_null(llm_prefix_cache_find(cache, EXAMPLES, 1));
    llm_prefix_cache_keep(cache, EXAMPLES, 1, second);
    llm_prefix_cache_keep(cache, 0, 1, second);
    assert_memory_equal(llm_prefix_cache_find(cache, 0, 1), second, sizeof second);
    assert_int_equal(llm_prefix_cache_stats(cache).bytes, 2 * sizeof second);
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
}

static void another_tag_empties_it_and_the_same_one_does_not(void **state)
{
    (void)state;
    llm_prefix_budget_t *budget = llm_prefix_budget_new(1000);
    llm_prefix_cache_t *cache = new_cache(budget);
    fmq_digest_t one = fmq_digest_of("one", 3), two = fmq_digest_of("two", 3);
    llm_prefix_cache_tag(cache, &one);
    keep_two(cache);
    llm_prefix_cache_tag(cache, &one);
    assert_non_null(llm_prefix_cache_find(cache, 0, 2));
    llm_prefix_cache_tag(cache, &two);
    assert_empty(cache);
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
}

static void the_first_tag_empties_what_was_kept_without_one(void **state)
{
    (void)state;
    llm_prefix_budget_t *budget = llm_prefix_budget_new(1000);
    llm_prefix_cache_t *cache = new_cache(budget);
    fmq_digest_t none = {{0}};
    keep_two(cache);
    llm_prefix_cache_tag(cache, &none);
    assert_empty(cache);
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
}

static void another_width_or_number_of_examples_empties_it(void **state)
{
    (void)state;
    llm_prefix_budget_t *budget = llm_prefix_budget_new(1000);
    llm_prefix_cache_t *cache = new_cache(budget);
    keep_two(cache);
    assert_int_equal(llm_prefix_cache_bind(cache, EXAMPLES, WIDTH * sizeof(float), &err), 0);
    assert_non_null(llm_prefix_cache_find(cache, 0, 2));
    assert_int_equal(llm_prefix_cache_bind(cache, EXAMPLES, 1 * sizeof(float), &err), 0);
    assert_empty(cache);
    assert_int_equal(llm_prefix_cache_bind(cache, EXAMPLES, WIDTH * sizeof(float), &err), 0);
    keep_two(cache);
    assert_int_equal(llm_prefix_cache_bind(cache, EXAMPLES + 1, WIDTH * sizeof(float), &err), 0);
    assert_empty(cache);
    assert_int_equal(llm_prefix_cache_bind(cache, SIZE_MAX / 2, WIDTH * sizeof(float), &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOMEM);
    assert_empty(cache);
    llm_prefix_cache_keep(cache, 0, 2, first);
    assert_empty(cache);
    llm_prefix_cache_destroy(&cache);
    llm_prefix_budget_destroy(&budget);
}

static void what_finds_no_room_is_not_kept_and_room_comes_back(void **state)
{
    (void)state;
    llm_prefix_budget_t *budget = llm_prefix_budget_new(sizeof first);
    llm_prefix_cache_t *one = new_cache(budget), *two = new_cache(budget);
    llm_prefix_cache_keep(one, 3, 1, second);
    llm_prefix_cache_keep(two, 0, 2, first);
    assert_null(llm_prefix_cache_find(two, 0, 2));
    assert_non_null(llm_prefix_cache_find(one, 3, 1));
    llm_prefix_cache_destroy(&one);
    llm_prefix_cache_keep(two, 0, 2, first);
    assert_non_null(llm_prefix_cache_find(two, 0, 2));
    llm_prefix_cache_keep(two, 3, 1, second);
    assert_null(llm_prefix_cache_find(two, 3, 1));
    assert_int_equal(llm_prefix_cache_stats(two).bytes, sizeof first);
    llm_prefix_cache_destroy(&two);
    llm_prefix_budget_destroy(&budget);
}

#define THREADS 4
#define PASSES  200

typedef struct {
    pthread_t thread;
    llm_prefix_budget_t *budget;
    llm_prefix_cache_t *cache;
    uint64_t most;
    bool wrong;
} sharer_t;

/* Fills its cache again and again, each time under another tag. */
static void *share(void *argument)
{
    sharer_t *self = argument;
    for (uint32_t pass = 0; pass < PASSES; pass++) {
        fmq_digest_t tag = fmq_digest_of(&pass, sizeof pass);
        llm_prefix_cache_tag(self->cache, &tag);
        for (size_t i = 0; i < EXAMPLES; i++)
            llm_prefix_cache_keep(self->cache, i, 2, first);
        for (size_t i = 0; i < EXAMPLES; i++) {
            const float *stream = llm_prefix_cache_find(self->cache, i, 2);
            self->wrong |= stream && memcmp(stream, first, sizeof first) != 0;
        }
        uint64_t bytes = llm_prefix_cache_stats(self->cache).bytes;
        self->most = bytes > self->most ? bytes : self->most;
    }
    return NULL;
}

static void caches_of_many_threads_stay_within_their_budget(void **state)
{
    (void)state;
    const uint64_t room = 6 * sizeof first;
    llm_prefix_budget_t *budget = llm_prefix_budget_new(room);
    sharer_t sharers[THREADS] = {0};
    for (size_t i = 0; i < THREADS; i++) {
        sharers[i].budget = budget;
        sharers[i].cache = new_cache(budget);
        assert_int_equal(pthread_create(&sharers[i].thread, NULL, share, &sharers[i]), 0);
    }
    uint64_t held = 0;
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(sharers[i].thread, NULL), 0);
        assert_false(sharers[i].wrong);
        assert_true(sharers[i].most <= EXAMPLES * sizeof first);
        held += llm_prefix_cache_stats(sharers[i].cache).bytes;
    }
    assert_true(held > 0 && held <= room);
    for (size_t i = 0; i < THREADS; i++)
        llm_prefix_cache_destroy(&sharers[i].cache);
    /* All of it has come back, and no more than it. */
    llm_prefix_cache_t *one = new_cache(budget), *two = new_cache(budget);
    for (size_t i = 0; i < EXAMPLES; i++) {
        llm_prefix_cache_keep(one, i, 2, first);
        llm_prefix_cache_keep(two, i, 2, first);
    }
    assert_int_equal(llm_prefix_cache_stats(one).bytes + llm_prefix_cache_stats(two).bytes, room);
    llm_prefix_cache_destroy(&one);
    llm_prefix_cache_destroy(&two);
    llm_prefix_budget_destroy(&budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_kept_is_found_and_counted),
        cmocka_unit_test(an_example_of_another_length_is_not_what_was_kept),
        cmocka_unit_test(another_tag_empties_it_and_the_same_one_does_not),
        cmocka_unit_test(the_first_tag_empties_what_was_kept_without_one),
        cmocka_unit_test(another_width_or_number_of_examples_empties_it),
        cmocka_unit_test(what_finds_no_room_is_not_kept_and_room_comes_back),
        cmocka_unit_test(caches_of_many_threads_stay_within_their_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
