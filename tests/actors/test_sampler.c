/*
 * test_sampler.c - which clients a round asks for.
 */
#include "actors_test.h"

#include "fedmq/extend/sampler.h"

static size_t choose(uint64_t seed, uint32_t round, const uint32_t *from, size_t size,
                     size_t wanted, uint32_t *chosen)
{
    size_t count = 0;
    const fmq_sampler_t *sampler = fmq_sampler_find("uniform", NULL);
    assert_non_null(sampler);
    fmq_sampling_t sampling = {seed, round, from, size, wanted};
    assert_int_equal(sampler->choose(&sampling, chosen, &count, NULL), 0);
    return count;
}

static void the_choice_depends_on_the_set_and_not_on_its_order(void **state)
{
    (void)state;
    const uint32_t up[] = {1, 2, 3, 4, 5, 6, 7, 8}, down[] = {8, 7, 6, 5, 4, 3, 2, 1};
    for (uint32_t round = 0; round < 50; round++) {
        uint32_t a[8], b[8];
        assert_int_equal(choose(7, round, up, 8, 3, a), 3);
        assert_int_equal(choose(7, round, down, 8, 3, b), 3);
        assert_memory_equal(a, b, 3 * sizeof *a);
        assert_true(a[0] < a[1] && a[1] < a[2]);
    }
}

static void a_missing_client_changes_nothing_for_those_who_were_chosen(void **state)
{
    (void)state;
    const uint32_t all[] = {1, 2, 3, 4, 5, 6};
    uint32_t full[6], part[6], rest[5];
    assert_int_equal(choose(1, 4, all, 6, 3, full), 3);
    size_t size = 0;
    for (uint32_t k = 1; k <= 6; k++)
        if (k != full[1])
            rest[size++] = k;
    assert_int_equal(choose(1, 4, rest, 5, 3, part), 3);
    int found = 0;
    for (int i = 0; i < 3; i++)
        found += part[i] == full[0] || part[i] == full[2];
    assert_int_equal(found, 2);
}

static void every_client_is_chosen_about_equally_often_and_rounds_differ(void **state)
{
    (void)state;
    const uint32_t all[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    uint32_t chosen[10], times[11] = {0};
    for (uint32_t round = 0; round < 4000; round++) {
        size_t count = choose(12345, round, all, 10, 4, chosen);
        for (size_t i = 0; i < count; i++)
            times[chosen[i]]++;
    }
    for (int k = 1; k <= 10; k++) /* 1600 expected, standard deviation 31 */
        assert_in_range(times[k], 1450, 1750);
}

static void wanting_more_than_there_are_gives_all_and_nobody_gives_nobody(void **state)
{
    (void)state;
    const uint32_t all[] = {4, 2};
    uint32_t chosen[2];
    assert_int_equal(choose(0, 0, all, 2, 9, chosen), 2);
    assert_int_equal(chosen[0], 2);
    assert_int_equal(chosen[1], 4);
    assert_int_equal(choose(0, 0, all, 0, 3, chosen), 0);
}

static void a_rate_goes_before_a_number_and_nonsense_means_all(void **state)
{
    (void)state;
    assert_int_equal(fmq_sampler_wanted(-1, -1.0, 10), 10);
    assert_int_equal(fmq_sampler_wanted(3, -1.0, 10), 3);
    assert_int_equal(fmq_sampler_wanted(11, -1.0, 10), 10);
    assert_int_equal(fmq_sampler_wanted(0, 0.0, 10), 10);
    assert_int_equal(fmq_sampler_wanted(3, 0.5, 10), 5);
    assert_int_equal(fmq_sampler_wanted(3, 0.01, 10), 1);
    assert_int_equal(fmq_sampler_wanted(3, 1.0, 10), 10);
    assert_int_equal(fmq_sampler_wanted(3, 1.5, 10), 3);
    assert_int_equal(fmq_sampler_wanted(3, 0.5, 0), 0);
}

static void an_unknown_sampler_is_refused_by_name(void **state)
{
    (void)state;
    fmq_error_t err;
    assert_null(fmq_sampler_find("responsiveness", &err));
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "responsiveness"));
    assert_non_null(strstr(err.text, "uniform"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_choice_depends_on_the_set_and_not_on_its_order),
        cmocka_unit_test(a_missing_client_changes_nothing_for_those_who_were_chosen),
        cmocka_unit_test(every_client_is_chosen_about_equally_often_and_rounds_differ),
        cmocka_unit_test(wanting_more_than_there_are_gives_all_and_nobody_gives_nobody),
        cmocka_unit_test(a_rate_goes_before_a_number_and_nonsense_means_all),
        cmocka_unit_test(an_unknown_sampler_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
