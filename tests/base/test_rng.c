/*
 * test_rng.c - Philox against Random123's known answers; streams and distributions.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/rng.h"

static fmq_rng_t stream(uint64_t seed, fmq_rng_purpose_t purpose)
{
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = seed, .purpose = purpose});
    return rng;
}

/* philox4x32, 10 rounds, from Random123's kat_vectors. */
static void philox_gives_the_published_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        fmq_philox4x32(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static void a_stream_is_the_blocks_of_its_name(void **state)
{
    (void)state;
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = UINT64_C(0x0000000700000005),
                                         .purpose = FMQ_RNG_SHUFFLE,
                                         .client = 0xabcdef,
                                         .round = 9,
                                         .step = 11});
    for (uint32_t block = 0; block < 3; block++) {
        const uint32_t counter[4] = {block, 11, 9, 0xabcdef00u | FMQ_RNG_SHUFFLE};
        const uint32_t key[2] = {5, 7};
        uint32_t expected[4];
        fmq_philox4x32(counter, key, expected);
        for (int i = 0; i < 4; i++)
            assert_int_equal(fmq_rng_u32(&rng), expected[i]);
    }
}

static void a_change_of_any_part_of_the_name_gives_another_stream(void **state)
{
    (void)state;
    const fmq_rng_name_t names[] = {{.seed = 1},
                                    {.seed = 2},
                                    {.seed = UINT64_C(1) << 32 | 1},
                                    {.seed = 1, .purpose = FMQ_RNG_DATA},
                                    {.seed = 1, .client = 1},
                                    {.seed = 1, .round = 1},
                                    {.seed = 1, .step = 1}};
    uint64_t first[7];
    for (size_t i = 0; i < 7; i++) {
        fmq_rng_t rng;
        fmq_rng_init(&rng, &names[i]);
        first[i] = fmq_rng_u64(&rng);
        for (size_t k = 0; k < i; k++)
            assert_true(first[i] != first[k]);
    }
}

static void a_u64_is_two_words_low_first(void **state)
{
    (void)state;
    fmq_rng_t a = stream(3, FMQ_RNG_TEST), b = a;
    uint64_t low = fmq_rng_u32(&a), high = fmq_rng_u32(&a);
    assert_true(fmq_rng_u64(&b) == (high << 32 | low));
}

static void uniform_lies_in_its_interval_with_mean_one_half(void **state)
{
    (void)state;
    fmq_rng_t rng = stream(4, FMQ_RNG_TEST);
    double sum = 0;
    const int n = 100000;
    for (int i = 0; i < n; i++) {
        double u = fmq_rng_uniform(&rng);
        assert_true(u >= 0.0 && u < 1.0);
        sum += u;
    }
    assert_true(fabs(sum / n - 0.5) < 5 * sqrt(1.0 / 12 / n));
}

static void below_reaches_every_value_equally_often(void **state)
{
    (void)state;
    fmq_rng_t rng = stream(5, FMQ_RNG_TEST);
    int seen[7] = {0};
    const int n = 70000;
    for (int i = 0; i < n; i++) {
        uint32_t value = fmq_rng_below(&rng, 7);
        assert_true(value < 7);
        seen[value]++;
    }
    double chi_squared = 0;
    for (int i = 0; i < 7; i++)
        chi_squared += (seen[i] - n / 7.0) * (seen[i] - n / 7.0) / (n / 7.0);
    assert_true(chi_squared < 22.46); /* 6 degrees of freedom, p = 0.001 */
    for (int i = 0; i < 100; i++)
        assert_int_equal(fmq_rng_below(&rng, 1), 0);
    for (int i = 0; i < 1000; i++) /* half of all words are rejected here */
        assert_true(fmq_rng_below(&rng, 0x80000001u) <= 0x80000000u);
}

static void normal_has_mean_zero_and_variance_one(void **state)
{
    (void)state;
    fmq_rng_t rng = stream(6, FMQ_RNG_TEST);
    const int n = 100000;
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        double x = fmq_rng_normal(&rng);
        assert_true(isfinite(x));
        sum += x;
        squares += x * x;
    }
    assert_true(fabs(sum / n) < 5 / sqrt(n));
    assert_true(fabs(squares / n - 1) < 5 * sqrt(2.0 / n));
}

static void a_normal_takes_exactly_two_uniforms(void **state)
{
    (void)state;
    fmq_rng_t a = stream(7, FMQ_RNG_TEST), b = a;
    (void)fmq_rng_normal(&a);
    (void)fmq_rng_uniform(&b);
    (void)fmq_rng_uniform(&b);
    assert_int_equal(fmq_rng_u32(&a), fmq_rng_u32(&b));
}

static void gamma_has_its_mean_and_variance_on_both_sides_of_one(void **state)
{
    (void)state;
    static const double shapes[] = {0.1, 0.5, 1.0, 2.5, 30.0};
    const int n = 50000;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        fmq_rng_t rng = stream(8 + k, FMQ_RNG_SPLIT);
        double shape = shapes[k], sum = 0, squares = 0;
        for (int i = 0; i < n; i++) {
            double x = fmq_rng_gamma(&rng, shape);
            assert_true(isfinite(x) && x >= 0);
            sum += x;
            squares += (x - shape) * (x - shape);
        }
        assert_true(fabs(sum / n - shape) < 5 * sqrt(shape / n));
        /* Var((x-a)^2) = 2a^2 + 6a for Gamma(a, 1). */
        assert_true(fabs(squares / n - shape) < 5 * sqrt((2 * shape * shape + 6 * shape) / n));
    }
}

static void shuffle_permutes_and_visits_all_orders(void **state)
{
    (void)state;
    fmq_rng_t rng = stream(20, FMQ_RNG_SHUFFLE);
    int seen[3][3] = {{0}};
    const int n = 9000;
    for (int k = 0; k < n; k++) {
        uint32_t items[3] = {0, 1, 2};
        fmq_rng_shuffle(&rng, items, 3);
        assert_int_equal((1u << items[0]) + (1u << items[1]) + (1u << items[2]), 7);
        for (int place = 0; place < 3; place++)
            seen[place][items[place]]++;
    }
    for (int place = 0; place < 3; place++)
        for (int item = 0; item < 3; item++)
            assert_true(abs(seen[place][item] - n / 3) < 5 * sqrt(n * 2.0 / 9));
    fmq_rng_t before = rng;
    fmq_rng_shuffle(&rng, NULL, 0);
    assert_memory_equal(&rng, &before, sizeof rng);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_known_answers),
        cmocka_unit_test(a_stream_is_the_blocks_of_its_name),
        cmocka_unit_test(a_change_of_any_part_of_the_name_gives_another_stream),
        cmocka_unit_test(a_u64_is_two_words_low_first),
        cmocka_unit_test(uniform_lies_in_its_interval_with_mean_one_half),
        cmocka_unit_test(below_reaches_every_value_equally_often),
        cmocka_unit_test(normal_has_mean_zero_and_variance_one),
        cmocka_unit_test(a_normal_takes_exactly_two_uniforms),
        cmocka_unit_test(gamma_has_its_mean_and_variance_on_both_sides_of_one),
        cmocka_unit_test(shuffle_permutes_and_visits_all_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
