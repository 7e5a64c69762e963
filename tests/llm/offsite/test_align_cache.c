/*
 * test_align_cache.c - streams of the full model that are kept between the
 * epochs and rounds of alignment: never another byte, and kept for as long as
 * they are true.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/llm/offsite/aligning.h"

typedef struct {
    aligning_t aligning;
    llm_prefix_budget_t *budget;
    llm_prefix_cache_t *cache;
} room_t;

/* Layers [l, 5) are emulated. */
static void open_room(room_t *room, uint32_t l, uint64_t budget)
{
    aligning_how_t how = aligning_usual();
    how.l = l;
    aligning_open(&room->aligning, &how, llm_backend_cpu_new(2, NULL));
    room->budget = llm_prefix_budget_new(budget);
    assert_non_null(room->budget);
    room->cache = llm_prefix_cache_new(room->budget, NULL);
    assert_non_null(room->cache);
    room->aligning.options.train.steps = 8; /* two epochs of four batches */
}

static void close_room(room_t *room)
{
    llm_prefix_cache_destroy(&room->cache);
    llm_prefix_budget_destroy(&room->budget);
    aligning_close(&room->aligning);
}

/* Hits since a while ago. */
static uint64_t run(room_t *room, float **trained)
{
    uint64_t before = llm_prefix_cache_stats(room->cache).hits;
    room->aligning.align.cache = room->cache;
    *trained = aligning_run(&room->aligning, NULL);
    room->aligning.align.cache = NULL;
    return llm_prefix_cache_stats(room->cache).hits - before;
}

static uint64_t run_and_forget(room_t *room)
{
    float *trained;
    uint64_t hits = run(room, &trained);
    free(trained);
    return hits;
}

static uint64_t bytes_of_streams(const room_t *room, uint64_t streams)
{
    return llm_dataset_tokens(room->aligning.data) * streams *
           llm_model_shape(room->aligning.teacher)->width * sizeof(float);
}

static const llm_align_options_t kinds[] = {
    {.sim_weight = 1.0},
    {.sim_weight = 1.0, .sim = LLM_SIM_COS, .layerwise = true},
    {.kl_weight = 1.0},
    {.kl_weight = 1.0, .kl = LLM_KL_LOGPS},
    {.sim_weight = 0.5, .kl_weight = 1.0, .lm_weight = 0.1, .layerwise = true},
};

static void kept_streams_do_not_change_a_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (uint32_t l = 0; l < 2; l++) {
            room_t room;
            float *trained, *plain;
            open_room(&room, l, UINT64_MAX);
            aligning_t *aligning = &room.aligning;
            llm_train_options_t train = aligning->options.train;
            aligning->options = kinds[i];
            aligning->options.train = train;
            plain = aligning_run(aligning, NULL);
            assert_int_equal(run(&room, &trained), ALIGNING_EXAMPLES);
            assert_memory_equal(trained, plain, aligning->state_size * sizeof *plain);
            free(trained);
            assert_int_equal(run(&room, &trained), 2 * ALIGNING_EXAMPLES);
            assert_memory_equal(trained, plain, aligning->state_size * sizeof *plain);
            free(trained);
            free(plain);
            close_room(&room);
        }
    }
}

static void a_cache_that_has_room_for_some_does_not_change_a_byte_either(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        room_t room;
        float *trained;
        open_room(&room, 1, 24000);
        aligning_t *aligning = &room.aligning;
        llm_train_options_t train = aligning->options.train;
        aligning->options = kinds[i];
        aligning->options.train = train;
        float *plain = aligning_run(aligning, NULL);
        uint64_t hits = run(&room, &trained);
        assert_true(hits > 0 && hits < ALIGNING_EXAMPLES);
        assert_memory_equal(trained, plain, aligning->state_size * sizeof *plain);
        free(trained);
        free(plain);
        close_room(&room);
    }
}

static void measuring_and_training_share_what_is_kept(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, 1, UINT64_MAX);
    aligning_t *aligning = &room.aligning;
    llm_align_stats_t plain = aligning_measure(aligning, aligning->state);
    aligning->align.cache = room.cache;
    llm_align_stats_t kept = aligning_measure(aligning, aligning->state);
    assert_true(plain.loss == kept.loss);
    assert_int_equal(llm_prefix_cache_stats(room.cache).bytes, bytes_of_streams(&room, 1));
    assert_int_equal(run_and_forget(&room), 2 * ALIGNING_EXAMPLES);
    close_room(&room);
}

/* l: where the emulated layers begin.  A's layers lie below them unless 0. */
static void check_another_adapter(uint32_t l, uint64_t hits)
{
    room_t room;
    open_room(&room, l, UINT64_MAX);
    aligning_t *aligning = &room.aligning;
    assert_int_equal(run_and_forget(&room), ALIGNING_EXAMPLES);
    for (size_t i = 0; i < aligning->adapter_size; i++)
        aligning->adapter[i] *= 1.5f;
    aligning->options.train.round++;
    float *plain = aligning_run(aligning, NULL), *trained;
    assert_int_equal(run(&room, &trained), hits);
    assert_memory_equal(trained, plain, aligning->state_size * sizeof *plain);
    free(plain);
    free(trained);
    close_room(&room);
}

static void streams_outlive_the_adapter_only_where_it_is_not_below_them(void **state)
{
    (void)state;
    check_another_adapter(0, 2 * ALIGNING_EXAMPLES);
    check_another_adapter(1, ALIGNING_EXAMPLES);
}

static void other_streams_are_not_mistaken_for_those_kept(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, 0, UINT64_MAX);
    aligning_t *aligning = &room.aligning;
    assert_int_equal(run_and_forget(&room), ALIGNING_EXAMPLES);
    aligning->options.layerwise = true;
    assert_int_equal(run_and_forget(&room), ALIGNING_EXAMPLES);
    assert_int_equal(llm_prefix_cache_stats(room.cache).bytes, bytes_of_streams(&room, 2));
    assert_int_equal(run_and_forget(&room), 2 * ALIGNING_EXAMPLES);
    close_room(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_streams_do_not_change_a_byte),
        cmocka_unit_test(a_cache_that_has_room_for_some_does_not_change_a_byte_either),
        cmocka_unit_test(measuring_and_training_share_what_is_kept),
        cmocka_unit_test(streams_outlive_the_adapter_only_where_it_is_not_below_them),
        cmocka_unit_test(other_streams_are_not_mistaken_for_those_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
