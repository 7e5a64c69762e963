/*
 * test_pipe.c - an actor says how it ended, and is still there to be ended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "actors/runtime/pipe.h"

static void fails_at_once(zsock_t *pipe, void *options)
{
    (void)options;
    fmq_error_t why;
    fmq_error_set(&why, FMQ_ERR_MISMATCH, "another model");
    fmq_pipe_ready(pipe);
    fmq_pipe_done(pipe, &why);
    fmq_pipe_wait(pipe);
}

static void runs_until_told(zsock_t *pipe, void *options)
{
    (void)options;
    fmq_pipe_ready(pipe);
    while (!fmq_pipe_terminated(pipe))
        zclock_sleep(1);
}

static bool ended_within_a_second(zactor_t *actor, fmq_error_t *why)
{
    for (int i = 0; i < 1000; i++) {
        if (fmq_pipe_ended(actor, why))
            return true;
        zclock_sleep(1);
    }
    return false;
}

static void an_actor_that_ends_says_why(void **state)
{
    (void)state;
    fmq_error_t why = {0};
    zactor_t *actor = fmq_pipe_start(fails_at_once, NULL, "an actor", NULL);
    assert_true(ended_within_a_second(actor, &why));
    assert_int_equal(why.code, FMQ_ERR_MISMATCH);
    assert_string_equal(why.text, "another model");
    assert_false(fmq_pipe_ended(actor, &why));
    fmq_pipe_stop(&actor);
}

static void an_actor_that_runs_has_not_ended_and_can_be_told_to(void **state)
{
    (void)state;
    fmq_error_t why = {0};
    zactor_t *actor = fmq_pipe_start(runs_until_told, NULL, "an actor", NULL);
    zclock_sleep(10);
    assert_false(fmq_pipe_ended(actor, &why));
    fmq_pipe_stop(&actor);
    assert_null(actor);
}

static void an_actor_may_be_told_twice(void **state)
{
    (void)state;
    zactor_t *actors[8];
    for (int i = 0; i < 8; i++)
        actors[i] = fmq_pipe_start(runs_until_told, NULL, "an actor", NULL);
    for (int i = 0; i < 8; i++)
        zstr_send(actors[i], "$TERM");
    for (int i = 0; i < 8; i++)
        fmq_pipe_stop(&actors[i]);
}

static void counts(zsock_t *pipe, void *options)
{
    int *count = options;
    int began = (*count)++;
    fmq_pipe_ready(pipe);
    fmq_pipe_wait(pipe);
    *count = began + 10;
}

static void repeats_why_it_ends(zsock_t *pipe, void *options)
{
    fmq_error_t why = {0};
    fmq_pipe_ready(pipe);
    while (!fmq_pipe_terminated_because(pipe, &why))
        zclock_sleep(1);
    *(fmq_error_t *)options = why;
}

static void an_actor_hears_which_failure_ends_it(void **state)
{
    (void)state;
    fmq_error_t why = {0}, heard = {0};
    fmq_error_set(&why, FMQ_ERR_FORMAT, "splitter: line 5 is no record");
    zactor_t *actor = fmq_pipe_start(repeats_why_it_ends, &heard, "an actor", NULL);
    zstr_send(actor, "a word of no meaning");
    fmq_pipe_stop_because(&actor, &why);
    assert_null(actor);
    assert_int_equal(heard.code, FMQ_ERR_FORMAT);
    assert_string_equal(heard.text, "splitter: line 5 is no record");
    heard = (fmq_error_t){0};
    actor = fmq_pipe_start(repeats_why_it_ends, &heard, "an actor", NULL);
    fmq_pipe_stop(&actor);
    assert_int_equal(heard.code, FMQ_OK);
    actor = fmq_pipe_start(runs_until_told, NULL, "an actor", NULL);
    fmq_pipe_stop_because(&actor, &why);
    assert_null(actor);
    fmq_pipe_stop_because(&actor, &why); /* nobody is told nothing */
}

static void an_owner_sees_what_the_actor_wrote_before_ready_and_before_its_end(void **state)
{
    (void)state;
    int count = 1;
    zactor_t *actor = fmq_pipe_start(counts, &count, "an actor", NULL);
    assert_int_equal(count, 2);
    fmq_pipe_stop(&actor);
    assert_int_equal(count, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_actor_that_ends_says_why),
        cmocka_unit_test(an_actor_that_runs_has_not_ended_and_can_be_told_to),
        cmocka_unit_test(an_actor_may_be_told_twice),
        cmocka_unit_test(an_actor_hears_which_failure_ends_it),
        cmocka_unit_test(an_owner_sees_what_the_actor_wrote_before_ready_and_before_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
