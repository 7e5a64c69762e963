/*
 * test_options.c - how many batches and steps a routine takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/train/options.h"

static void steps_follow_fs_llms_rules(void **state)
{
    (void)state;
    static const struct {
        bool by_epoch, drop_last;
        uint64_t steps;
        uint32_t batch_size, accum;
        size_t examples;
        uint64_t batches, updates;
    } cases[] = {
        {false, false, 30, 4, 1, 10, 30, 30}, {false, false, 1, 4, 1, 1000, 1, 1},
        {true, false, 3, 4, 1, 10, 9, 9},     {true, true, 3, 4, 1, 10, 6, 6},
        {true, false, 1, 64, 1, 10, 1, 1},    {true, true, 1, 64, 1, 10, 0, 0},
        {false, true, 5, 64, 1, 10, 0, 0},    {false, false, 30, 5, 2, 10, 60, 30},
        {true, false, 1, 1, 2, 5, 5, 3},      {true, false, 2, 1, 4, 6, 12, 3},
        {false, false, 3, 1, 1, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_train_options_t options = {0};
        options.by_epoch = cases[i].by_epoch;
        options.drop_last = cases[i].drop_last;
        options.steps = cases[i].steps;
        options.batch_size = cases[i].batch_size;
        options.grad_accum = cases[i].accum;
        if (llm_train_batches(&options, cases[i].examples) != cases[i].batches ||
            llm_train_steps(&options, cases[i].examples) != cases[i].updates)
            fail_msg("case %zu", i);
    }
}

static void numbers_beyond_all_measure_do_not_wrap_around(void **state)
{
    (void)state;
    llm_train_options_t options = {.steps = UINT64_MAX / 2, .batch_size = 1, .grad_accum = 4};
    assert_true(llm_train_batches(&options, 10) == UINT64_MAX);
    options.by_epoch = true;
    assert_true(llm_train_batches(&options, 10) == UINT64_MAX);
    fmq_error_t err;
    assert_int_equal(llm_train_check(&options, 10, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
}

static void a_cycle_needs_a_momentum_that_it_can_cycle(void **state)
{
    (void)state;
    llm_train_options_t options = {.optimizer = {.kind = LLM_ADAGRAD, .lr = 0.1},
                                   .schedule = {.kind = LLM_SCHEDULE_ONE_CYCLE, .total = 9},
                                   .steps = 1,
                                   .batch_size = 1,
                                   .grad_accum = 1};
    fmq_error_t err;
    options.schedule.cycle =
        (llm_one_cycle_t){.max_lr = 1, .pct_start = 0.3, .div_factor = 25, .final_div_factor = 1e4};
    assert_int_equal(llm_train_check(&options, 10, &err), 0);
    options.schedule.cycle.cycle_momentum = true;
    assert_int_equal(llm_train_check(&options, 10, &err), -1);
    assert_non_null(strstr(err.text, "cycle_momentum"));
    options.optimizer.kind = LLM_SGD;
    assert_int_equal(llm_train_check(&options, 10, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_follow_fs_llms_rules),
        cmocka_unit_test(a_cycle_needs_a_momentum_that_it_can_cycle),
        cmocka_unit_test(numbers_beyond_all_measure_do_not_wrap_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
