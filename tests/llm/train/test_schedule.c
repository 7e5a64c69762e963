/*
 * test_schedule.c - learning rates against torch's schedulers, step by step.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/train/options.h"
#include "tests/llm/train/golden_file.h"

#define STEPS 60

static llm_one_cycle_t read_cycle(const json_t *golden)
{
    const json_t *strategy = json_object_get(golden, "anneal_strategy");
    const json_t *cycle = json_object_get(golden, "cycle_momentum");
    return (llm_one_cycle_t){
        .max_lr = golden_number(golden, "max_lr", 0),
        .pct_start = golden_number(golden, "pct_start", 0.3),
        .div_factor = golden_number(golden, "div_factor", 25),
        .final_div_factor = golden_number(golden, "final_div_factor", 1e4),
        .base_momentum = golden_number(golden, "base_momentum", 0.85),
        .max_momentum = golden_number(golden, "max_momentum", 0.95),
        .linear = strategy && strcmp(json_string_value(strategy), "linear") == 0,
        .three_phase = json_is_true(json_object_get(golden, "three_phase")),
        .cycle_momentum = !cycle || json_is_true(cycle),
    };
}

static llm_schedule_t read_case(const json_t *golden)
{
    static const struct {
        const char *name;
        llm_schedule_kind_t kind;
    } kinds[] = {{"warmup_step", LLM_SCHEDULE_WARMUP_STEP},
                 {"warmup_noam", LLM_SCHEDULE_WARMUP_NOAM},
                 {"StepLR", LLM_SCHEDULE_STEP},
                 {"MultiStepLR", LLM_SCHEDULE_MULTISTEP},
                 {"ExponentialLR", LLM_SCHEDULE_EXPONENTIAL},
                 {"CosineAnnealingLR", LLM_SCHEDULE_COSINE},
                 {"LinearLR", LLM_SCHEDULE_LINEAR},
                 {"ConstantLR", LLM_SCHEDULE_CONSTANT},
                 {"PolynomialLR", LLM_SCHEDULE_POLYNOMIAL},
                 {"CosineAnnealingWarmRestarts", LLM_SCHEDULE_RESTARTS},
                 {"OneCycleLR", LLM_SCHEDULE_ONE_CYCLE}};
    llm_schedule_t schedule = {
        .warmup = (uint64_t)golden_number(golden, "warmup_steps", 0),
        .total =
            (uint64_t)golden_number(golden, "total_steps", golden_number(golden, "total_iters", 0)),
        .step_size = (uint64_t)golden_number(golden, "step_size", 0),
        .t_max = (uint64_t)golden_number(golden, "T_max", golden_number(golden, "T_0", 0)),
        .t_mult = (uint64_t)golden_number(golden, "T_mult", 0),
        .power = golden_number(golden, "power", 0),
        .cycle = read_cycle(golden),
        .gamma = golden_number(golden, "gamma", 0),
        .eta_min = golden_number(golden, "eta_min", 0),
        .start_factor = golden_number(golden, "start_factor", golden_number(golden, "factor", 0)),
        .end_factor = golden_number(golden, "end_factor", 0),
    };
    const char *type = json_string_value(json_object_get(golden, "type"));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, type) == 0)
            schedule.kind = kinds[i].kind;
    const json_t *milestones = json_object_get(golden, "milestones");
    schedule.milestones_size = json_array_size(milestones);
    for (size_t i = 0; i < schedule.milestones_size; i++)
        schedule.milestones[i] = (uint64_t)json_integer_value(json_array_get(milestones, i));
    return schedule;
}

static void every_rate_is_torchs(void **state)
{
    (void)state;
    json_t *golden = golden_open("schedules.json");
    const json_t *cases = json_object_get(golden, "cases");
    assert_true(json_array_size(cases) >= 22);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        llm_schedule_t schedule = read_case(one);
        assert_int_not_equal(schedule.kind, LLM_SCHEDULE_NONE);
        fmq_error_t err;
        assert_int_equal(llm_schedule_check(&schedule, &err), 0);
        double lr = golden_number(one, "lr", 0), expected[STEPS];
        golden_numbers(json_object_get(one, "rates"), expected, STEPS);
        for (uint64_t step = 0; step < STEPS; step++) {
            double got = llm_schedule_lr(&schedule, lr, step);
            /* torch accumulates rounding where we have closed forms. */
            if (fabs(got - expected[step]) > 1e-12 * lr)
                fail_msg("case %zu, step %llu: %.17g instead of %.17g", i, (unsigned long long)step,
                         got, expected[step]);
        }
    }
    json_decref(golden);
}

static void one_cycle_moves_momentum_as_torch_does(void **state)
{
    (void)state;
    json_t *golden = golden_open("schedules.json");
    const json_t *cases = json_object_get(golden, "cases");
    size_t compared = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *momenta = json_object_get(one, "momenta");
        llm_schedule_t schedule = read_case(one);
        double expected[STEPS];
        for (size_t step = 0; step < STEPS; step++)
            expected[step] = 0.6;
        if (momenta)
            golden_numbers(momenta, expected, STEPS);
        compared += momenta != NULL;
        for (uint64_t step = 0; step < STEPS; step++)
            assert_true(fabs(llm_schedule_momentum(&schedule, 0.6, step) - expected[step]) < 1e-12);
    }
    assert_int_equal(compared, 4);
    json_decref(golden);
}

static void behind_its_last_step_a_cycle_stays_at_its_end(void **state)
{
    (void)state;
    llm_schedule_t schedule = {.kind = LLM_SCHEDULE_ONE_CYCLE, .total = 10};
    schedule.cycle =
        (llm_one_cycle_t){.max_lr = 1, .pct_start = 0.5, .div_factor = 10, .final_div_factor = 100};
    assert_true(fabs(llm_schedule_lr(&schedule, 7, 9) - 1e-3) < 1e-12);
    assert_true(llm_schedule_lr(&schedule, 7, 9) == llm_schedule_lr(&schedule, 7, 1000));
}

static void without_a_schedule_the_rate_stays(void **state)
{
    (void)state;
    llm_schedule_t none = {.kind = LLM_SCHEDULE_NONE};
    assert_true(llm_schedule_lr(&none, 0.3, 0) == 0.3);
    assert_true(llm_schedule_lr(&none, 0.3, UINT64_MAX) == 0.3);
}

static void schedules_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const llm_schedule_t wrong[] = {
        {.kind = LLM_SCHEDULE_STEP, .gamma = 0.1},
        {.kind = LLM_SCHEDULE_STEP, .gamma = -0.1, .step_size = 3},
        {.kind = LLM_SCHEDULE_MULTISTEP, .gamma = NAN},
        {.kind = LLM_SCHEDULE_MULTISTEP, .gamma = 1, .milestones_size = LLM_MILESTONES_MAX + 1},
        {.kind = LLM_SCHEDULE_EXPONENTIAL, .gamma = INFINITY},
        {.kind = LLM_SCHEDULE_COSINE},
        {.kind = LLM_SCHEDULE_COSINE, .t_max = 3, .eta_min = NAN},
        {.kind = LLM_SCHEDULE_WARMUP_STEP, .warmup = 3},
        {.kind = LLM_SCHEDULE_WARMUP_NOAM},
        {.kind = LLM_SCHEDULE_LINEAR, .start_factor = NAN},
        {.kind = LLM_SCHEDULE_CONSTANT, .start_factor = INFINITY},
        {.kind = LLM_SCHEDULE_POLYNOMIAL, .power = NAN},
        {.kind = LLM_SCHEDULE_RESTARTS, .t_mult = 1},
        {.kind = LLM_SCHEDULE_RESTARTS, .t_max = 1},
        {.kind = LLM_SCHEDULE_RESTARTS, .t_max = 1, .t_mult = 1, .eta_min = NAN},
        {.kind = LLM_SCHEDULE_ONE_CYCLE},
        {.kind = LLM_SCHEDULE_ONE_CYCLE, .total = 5},
        {.kind = LLM_SCHEDULE_ONE_CYCLE,
         .total = 5,
         .cycle = {.pct_start = 2, .div_factor = 1, .final_div_factor = 1}},
        {.kind = LLM_SCHEDULE_ONE_CYCLE,
         .total = 5,
         .cycle = {.max_momentum = 1, .div_factor = 1, .final_div_factor = 1}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fmq_error_t err;
        assert_int_equal(llm_schedule_check(&wrong[i], &err), -1);
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
    }
}

static void no_schedule_gives_a_rate_that_is_no_number(void **state)
{
    (void)state;
    /* Even unchecked settings of all zeros must not divide by zero. */
    for (int kind = LLM_SCHEDULE_NONE; kind <= LLM_SCHEDULE_WARMUP; kind++) {
        llm_schedule_t schedule = {.kind = (llm_schedule_kind_t)kind};
        for (uint64_t step = 0; step < 3; step++)
            assert_true(isfinite(llm_schedule_lr(&schedule, 0.1, step)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rate_is_torchs),
        cmocka_unit_test(one_cycle_moves_momentum_as_torch_does),
        cmocka_unit_test(behind_its_last_step_a_cycle_stays_at_its_end),
        cmocka_unit_test(without_a_schedule_the_rate_stays),
        cmocka_unit_test(schedules_that_make_no_sense_are_refused),
        cmocka_unit_test(no_schedule_gives_a_rate_that_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
