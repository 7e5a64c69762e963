/*
 * test_early_stop.c - when a run stops by itself, and which state is best.
 */
#include "actors_test.h"

#include <math.h>

#include "actors/evaluation/early_stop.h"

/* Index of the measurement that stops the run, or -1. */
static int stops_at(fmq_early_stop_rule_t rule, const double *values, int size)
{
    fmq_early_stop_t stop = {0};
    for (int i = 0; i < size; i++)
        if (fmq_early_stop_update(&stop, &rule, values[i]))
            return i;
    return -1;
}

static void best_counts_worse_measurements_in_a_row(void **state)
{
    (void)state;
    fmq_early_stop_rule_t rule = {.mode = FMQ_EARLY_STOP_BEST, .patience = 2};
    assert_int_equal(stops_at(rule, (double[]){5, 4, 4.5, 4.2, 3}, 5), 3);
    assert_int_equal(stops_at(rule, (double[]){5, 4, 4.5, 3.9, 4, 4}, 6), 5);
    assert_int_equal(stops_at(rule, (double[]){5, 4, 3, 2, 1}, 5), -1);
    assert_int_equal(stops_at(rule, (double[]){4, 4, 4, 4}, 4), -1); /* not worse */
}

static void larger_is_better_turns_the_comparison_round(void **state)
{
    (void)state;
    fmq_early_stop_rule_t rule = {.mode = FMQ_EARLY_STOP_BEST, .patience = 1, .larger = true};
    assert_int_equal(stops_at(rule, (double[]){1, 2, 3, 2.9}, 4), 3);
    assert_int_equal(stops_at(rule, (double[]){1, 2, 3, 4}, 4), -1);
}

static void delta_asks_for_a_real_improvement(void **state)
{
    (void)state;
    fmq_early_stop_rule_t rule = {.mode = FMQ_EARLY_STOP_BEST, .patience = 1, .delta = 0.5};
    assert_int_equal(stops_at(rule, (double[]){5, 4.4, 4.1}, 3), 2);
}

static void mean_compares_with_the_mean_of_the_last_patience_ones(void **state)
{
    (void)state;
    fmq_early_stop_rule_t rule = {.mode = FMQ_EARLY_STOP_MEAN, .patience = 3};
    assert_int_equal(stops_at(rule, (double[]){3, 2, 1, 1.9, 1.6}, 5), -1);
    assert_int_equal(stops_at(rule, (double[]){3, 2, 1, 2.1}, 4), 3);
    assert_int_equal(stops_at(rule, (double[]){9, 3, 2, 1, 2.1}, 5), 4); /* the 9 is forgotten */
}

static void what_is_no_number_spoils_neither_the_mean_nor_the_best(void **state)
{
    (void)state;
    fmq_early_stop_rule_t rule = {.mode = FMQ_EARLY_STOP_MEAN, .patience = 2};
    assert_int_equal(stops_at(rule, (double[]){3, (double)NAN, 3, 2.9, 3.1}, 5), 4);
    assert_int_equal(stops_at(rule, (double[]){3, -(double)INFINITY, 3, 2.9, 3.1}, 5), 4);
    rule.mode = FMQ_EARLY_STOP_BEST;
    assert_int_equal(stops_at(rule, (double[]){3, -(double)INFINITY, 2, 2.5, 2.5}, 5), 4);
    fmq_best_t best = {0};
    assert_false(fmq_best_update(&best, false, -(double)INFINITY, 1));
    assert_true(fmq_best_update(&best, false, 2, 2));
    assert_false(fmq_best_update(&best, true, (double)INFINITY, 3));
    assert_int_equal(best.round, 2);
}

static void no_patience_means_never(void **state)
{
    (void)state;
    fmq_early_stop_rule_t rule = {.mode = FMQ_EARLY_STOP_BEST, .patience = 0};
    assert_int_equal(stops_at(rule, (double[]){1, 2, 3, 4}, 4), -1);
    rule.mode = FMQ_EARLY_STOP_MEAN;
    assert_int_equal(stops_at(rule, (double[]){1, 2, 3, 4}, 4), -1);
}

static void a_measurement_that_is_no_number_counts_as_worse(void **state)
{
    (void)state;
    fmq_early_stop_rule_t rule = {.mode = FMQ_EARLY_STOP_BEST, .patience = 2};
    assert_int_equal(stops_at(rule, (double[]){5, NAN, NAN, 1}, 4), 2);
    assert_int_equal(stops_at(rule, (double[]){NAN, 5, 4, 3}, 4), -1);
}

static void the_longest_patience_fits_and_a_lowered_one_begins_anew(void **state)
{
    (void)state;
    fmq_early_stop_t stop = {0};
    fmq_early_stop_rule_t rule = {.mode = FMQ_EARLY_STOP_MEAN,
                                  .patience = FMQ_EARLY_STOP_WINDOW_MAX};
    for (int i = 0; i < 3 * FMQ_EARLY_STOP_WINDOW_MAX; i++)
        assert_false(fmq_early_stop_update(&stop, &rule, -i));
    rule.patience = 2;
    assert_false(fmq_early_stop_update(&stop, &rule, 1));
    assert_false(fmq_early_stop_update(&stop, &rule, 1));
    assert_true(fmq_early_stop_update(&stop, &rule, 2));
}

static void the_best_is_kept_with_its_round(void **state)
{
    (void)state;
    fmq_best_t best = {0};
    assert_false(fmq_best_update(&best, false, NAN, 1));
    assert_true(fmq_best_update(&best, false, 2, 2));
    assert_false(fmq_best_update(&best, false, 2, 3));
    assert_true(fmq_best_update(&best, false, 1, 4));
    assert_int_equal(best.round, 4);
    assert_true(fmq_best_update(&best, true, 1.5, 5));
}

static void losses_shrink_and_accuracies_grow(void **state)
{
    (void)state;
    assert_false(fmq_metric_larger_is_better("val_loss"));
    assert_false(fmq_metric_larger_is_better("val_avg_loss"));
    assert_true(fmq_metric_larger_is_better("test_acc"));
    assert_true(fmq_metric_larger_is_better("test_exact_match"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_counts_worse_measurements_in_a_row),
        cmocka_unit_test(larger_is_better_turns_the_comparison_round),
        cmocka_unit_test(delta_asks_for_a_real_improvement),
        cmocka_unit_test(mean_compares_with_the_mean_of_the_last_patience_ones),
        cmocka_unit_test(what_is_no_number_spoils_neither_the_mean_nor_the_best),
        cmocka_unit_test(no_patience_means_never),
        cmocka_unit_test(a_measurement_that_is_no_number_counts_as_worse),
        cmocka_unit_test(the_longest_patience_fits_and_a_lowered_one_begins_anew),
        cmocka_unit_test(the_best_is_kept_with_its_round),
        cmocka_unit_test(losses_shrink_and_accuracies_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
