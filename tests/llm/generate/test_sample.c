/*
 * test_sample.c - temperature, top-k and top-p: which tokens may be drawn, and
 * how often.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/generate/sample.h"

#define VOCAB 6
#define DRAWS 6000

/* Probabilities 0.05, 0.4, 0.1, 0.25, 0.1, 0.1 as logits. */
static const double probabilities[VOCAB] = {0.05, 0.4, 0.1, 0.25, 0.1, 0.1};

/* Draws at evenly spaced uniforms; counts how often each token comes. */
static void draw(const llm_sampling_t *how, size_t counts[VOCAB])
{
    float logits[VOCAB];
    llm_candidate_t work[VOCAB];
    fmq_error_t err;
    for (size_t i = 0; i < VOCAB; i++) {
        logits[i] = (float)log(probabilities[i]) + 3.0f;
        counts[i] = 0;
    }
    for (size_t n = 0; n < DRAWS; n++) {
        int32_t id = -1;
        double uniform = ((double)n + 0.5) / DRAWS;
        assert_int_equal(llm_sample(how, logits, VOCAB, uniform, work, &id, &err), 0);
        assert_true(id >= 0 && id < VOCAB);
        counts[id]++;
    }
}

static void expect(const llm_sampling_t *how, const double expected[VOCAB])
{
    size_t counts[VOCAB];
    double whole = 0.0;
    draw(how, counts);
    for (size_t i = 0; i < VOCAB; i++)
        whole += expected[i];
    for (size_t i = 0; i < VOCAB; i++) {
        double share = (double)counts[i] / DRAWS;
        if (fabs(share - expected[i] / whole) > 2.0 / DRAWS)
            fail_msg("token %zu: %g, should be %g", i, share, expected[i] / whole);
    }
}

static void plain_sampling_follows_the_softmax(void **state)
{
    (void)state;
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 1.0}, probabilities);
}

static void temperature_is_a_power_of_the_probabilities(void **state)
{
    (void)state;
    double squared[VOCAB];
    for (size_t i = 0; i < VOCAB; i++)
        squared[i] = probabilities[i] * probabilities[i];
    expect(&(llm_sampling_t){.temperature = 0.5, .top_p = 1.0}, squared);
}

static void top_k_keeps_the_k_largest_and_their_equals(void **state)
{
    (void)state;
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 1.0, .top_k = 1},
           (double[VOCAB]){[1] = 1.0});
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 1.0, .top_k = 2},
           (double[VOCAB]){[1] = 0.4, [3] = 0.25});
    /* The third largest has two equals, which HF keeps as well. */
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 1.0, .top_k = 3},
           (double[VOCAB]){0.0, 0.4, 0.1, 0.25, 0.1, 0.1});
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 1.0, .top_k = 100}, probabilities);
}

static void top_p_keeps_the_smallest_set_that_reaches_it(void **state)
{
    (void)state;
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 0.3}, (double[VOCAB]){[1] = 1.0});
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 0.5},
           (double[VOCAB]){[1] = 0.4, [3] = 0.25});
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 0.7},
           (double[VOCAB]){[1] = 0.4, [3] = 0.25, [2] = 0.1});
}

static void top_p_counts_within_top_k(void **state)
{
    (void)state;
    /* Of 0.4 and 0.25, 0.4 alone is 0.62. */
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 0.6, .top_k = 2},
           (double[VOCAB]){[1] = 1.0});
    expect(&(llm_sampling_t){.temperature = 1.0, .top_p = 0.7, .top_k = 2},
           (double[VOCAB]){[1] = 0.4, [3] = 0.25});
}

static void masked_tokens_are_never_drawn(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_candidate_t work[3];
    const float logits[] = {-INFINITY, 1.0f, -INFINITY};
    llm_sampling_t how = {.temperature = 1.0, .top_p = 1.0};
    for (int i = 0; i < 100; i++) {
        int32_t id = -1;
        assert_int_equal(llm_sample(&how, logits, 3, (i + 0.5) / 100.0, work, &id, &err), 0);
        assert_int_equal(id, 1);
    }
}

static void logits_that_are_no_numbers_are_an_error(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_candidate_t work[2];
    int32_t id = 7;
    llm_sampling_t how = {.temperature = 1.0, .top_p = 0.9};
    const float nan_logits[] = {1.0f, NAN}, none[] = {-INFINITY, -INFINITY};
    assert_int_equal(llm_sample(&how, nan_logits, 2, 0.5, work, &id, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    assert_int_equal(llm_sample(&how, none, 2, 0.5, work, &id, &err), -1);
    assert_int_equal(id, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_sampling_follows_the_softmax),
        cmocka_unit_test(temperature_is_a_power_of_the_probabilities),
        cmocka_unit_test(top_k_keeps_the_k_largest_and_their_equals),
        cmocka_unit_test(top_p_keeps_the_smallest_set_that_reaches_it),
        cmocka_unit_test(top_p_counts_within_top_k),
        cmocka_unit_test(masked_tokens_are_never_drawn),
        cmocka_unit_test(logits_that_are_no_numbers_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
