/*
 * test_rounds.c - the order of a run's steps and exchanges.
 */
#include "actors_test.h"

#include "actors/server/rounds.h"

static const fmq_exchange_t plain[] = {{.task = FMQ_TASK_TRAIN}};
static const fmq_exchange_t two[] = {
    {.task = FMQ_TASK_EVALUATE, .accept = FMQ_ACCEPT_REPORT, .close = FMQ_CLOSE_NEXT},
    {.task = FMQ_TASK_TRAIN}};

static fmq_rounds_facts_t at(const fmq_exchange_t *closed, uint32_t round, int64_t evaluated)
{
    return (fmq_rounds_facts_t){.exchanges = plain,
                                .size = 1,
                                .closed = closed,
                                .round = round,
                                .rounds = 4,
                                .eval_freq = 2,
                                .evaluated = evaluated};
}

static void assert_next(fmq_rounds_facts_t standing, const fmq_exchange_t *next)
{
    assert_ptr_equal(fmq_rounds_next(&standing), next);
}

static void rounds_follow_each_other_and_clients_measure_when_it_is_due(void **state)
{
    (void)state;
    const fmq_exchange_t *measured = &fmq_rounds_evaluation;
    assert_next(at(NULL, 0, -1), plain); /* the initial state is not measured */
    assert_next(at(plain, 1, -1), plain);
    assert_next(at(plain, 2, -1), measured);
    assert_next(at(measured, 2, 2), plain);
    assert_next(at(plain, 3, 2), plain);
    assert_next(at(plain, 4, 2), measured);
    assert_next(at(measured, 4, 4), NULL);
    assert_next(at(NULL, 2, -1), measured); /* a run that goes on measures what may not have been */
    assert_next(at(NULL, 4, -1), measured);
    fmq_rounds_facts_t never = at(plain, 4, -1), stopped = at(measured, 2, 2);
    never.eval_freq = 0;
    assert_next(never, NULL);
    stopped.stopped = true;
    assert_next(stopped, NULL);
}

static void exchanges_of_a_round_come_in_their_order(void **state)
{
    (void)state;
    fmq_rounds_facts_t standing = at(&two[0], 1, -1);
    standing.exchanges = two;
    standing.size = 2;
    assert_next(standing, &two[1]);
    standing.closed = &two[1];
    assert_next(standing, &two[0]);
    assert_ptr_equal(fmq_rounds_aggregating(two, 2), &two[1]);
    assert_null(fmq_rounds_aggregating(two, 1));
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
        cmocka_unit_test(exchanges_of_a_round_come_in_their_order),
        cmocka_unit_test(nothing_is_announced_before_it_is_on_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
