/*
 * test_rounds.c - the order of a run's steps and exchanges.
 */
#include "actors_test.h"

#include "actors/server/rounds.h"

static const fmq_exchange_t plain[] = {{.task = FMQ_TASK_TRAIN}};
static const fmq_exchange_t two[] = {
    {.task = FMQ_TASK_EVALUATE, .accept = FMQ_ACCEPT_REPORT, .close = FMQ_CLOSE_NEXT},
    {.task = FMQ_TASK_TRAIN}};

static fmq_rounds_t rounds_of(const fmq_exchange_t *exchanges, size_t size)
{
    fmq_rounds_t self = {.size = size, .rounds = 4, .eval_freq = 2, .evaluated = -1};
    memcpy(self.exchanges, exchanges, size * sizeof *exchanges);
    return self;
}

static void assert_next(const fmq_rounds_t *self, const fmq_exchange_t *closed, uint32_t round,
                        fmq_round_step_t step, const fmq_exchange_t *wanted)
{
    const fmq_exchange_t *next;
    assert_int_equal(fmq_rounds_next(self, closed, round, &next), step);
    assert_ptr_equal(next, wanted);
}

static void rounds_follow_each_other_and_clients_measure_when_it_is_due(void **state)
{
    (void)state;
    fmq_rounds_t run = rounds_of(plain, 1);
    const fmq_exchange_t *train = run.exchanges, *measured = &fmq_rounds_evaluation;
    assert_next(&run, NULL, 0, FMQ_STEP_BEGIN, train); /* the initial state is not measured */
    assert_next(&run, train, 1, FMQ_STEP_BEGIN, train);
    /* a run that goes on measures what may not have been */
    assert_next(&run, NULL, 2, FMQ_STEP_EVALUATE, measured);
    assert_next(&run, NULL, 4, FMQ_STEP_EVALUATE, measured);
    assert_next(&run, train, 2, FMQ_STEP_EVALUATE, measured);
    fmq_rounds_measured(&run, 2);
    assert_next(&run, measured, 2, FMQ_STEP_BEGIN, train);
    assert_next(&run, NULL, 2, FMQ_STEP_BEGIN, train);
    assert_next(&run, train, 3, FMQ_STEP_BEGIN, train);
    assert_next(&run, train, 4, FMQ_STEP_EVALUATE, measured);
    fmq_rounds_measured(&run, 4);
    assert_next(&run, measured, 4, FMQ_STEP_END, NULL);
}

static void a_run_ends_without_measuring_or_early(void **state)
{
    (void)state;
    fmq_rounds_t never = rounds_of(plain, 1), stopped = rounds_of(plain, 1);
    never.eval_freq = 0;
    assert_next(&never, never.exchanges, 4, FMQ_STEP_END, NULL);
    fmq_rounds_measured(&stopped, 2);
    fmq_rounds_stop(&stopped);
    assert_next(&stopped, &fmq_rounds_evaluation, 2, FMQ_STEP_END, NULL);
}

static void exchanges_of_a_round_come_in_their_order(void **state)
{
    (void)state;
    fmq_rounds_t run = rounds_of(two, 2);
    assert_next(&run, &run.exchanges[0], 1, FMQ_STEP_REQUEST, &run.exchanges[1]);
    assert_next(&run, &run.exchanges[1], 1, FMQ_STEP_BEGIN, &run.exchanges[0]);
    assert_ptr_equal(fmq_rounds_aggregating(&run), &run.exchanges[1]);
    assert_true(fmq_rounds_collects(&run));
    assert_int_equal(fmq_rounds_index(&run, &run.exchanges[1]), 1);
    assert_int_equal(fmq_rounds_index(&run, &fmq_rounds_evaluation), 0);
    assert_int_equal(fmq_rounds_index(&run, NULL), 0);
    run.size = 1;
    assert_null(fmq_rounds_aggregating(&run));
}

/* A method whose rounds never make a state. */
static size_t endless(const void *self, fmq_exchange_t out[FMQ_EXCHANGES_MAX])
{
    (void)self;
    out[0] = two[0];
    return 1;
}

static void rounds_without_an_end_are_refused(void **state)
{
    (void)state;
    const fmq_strategy_ops_t ops = {.name = "endless", .exchanges = endless};
    const fmq_strategy_t strategy = {.ops = &ops};
    fmq_rounds_t run;
    fmq_error_t err;
    assert_int_equal(fmq_rounds_init(&run, &strategy, 4, 0, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_INTERNAL);
    assert_non_null(strstr(err.text, "'endless'"));
}

static size_t place(const fmq_round_step_t *steps, size_t size, fmq_round_step_t step)
{
    for (size_t i = 0; i < size; i++)
        if (steps[i] == step)
            return i;
    fail_msg("step %d is not done", (int)step);
    return size;
}

static void nothing_is_announced_before_it_is_on_the_disk(void **state)
{
    (void)state;
    fmq_round_step_t steps[FMQ_ROUND_STEPS_MAX];
    size_t size = fmq_rounds_closing(plain, steps);
    assert_int_equal(size, 6);
    assert_true(place(steps, size, FMQ_STEP_COMMIT) < place(steps, size, FMQ_STEP_AGGREGATE));
    assert_true(place(steps, size, FMQ_STEP_AGGREGATE) < place(steps, size, FMQ_STEP_CHECKPOINT));
    assert_true(place(steps, size, FMQ_STEP_CHECKPOINT) < place(steps, size, FMQ_STEP_ANNOUNCE));
    assert_int_equal(fmq_rounds_closing(&two[0], steps), 1);
    assert_int_equal(steps[0], FMQ_STEP_CALL_OFF);
    size = fmq_rounds_closing(&fmq_rounds_evaluation, steps);
    assert_int_equal(steps[size - 1], FMQ_STEP_JUDGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_follow_each_other_and_clients_measure_when_it_is_due),
        cmocka_unit_test(a_run_ends_without_measuring_or_early),
        cmocka_unit_test(rounds_without_an_end_are_refused),
        cmocka_unit_test(exchanges_of_a_round_come_in_their_order),
        cmocka_unit_test(nothing_is_announced_before_it_is_on_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
