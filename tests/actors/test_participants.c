/*
 * test_participants.c - when a server goes on, and without whom.
 */
#include "actors_test.h"

#include "actors/server/participants.h"
#include "actors/server/rounds.h"

static const fmq_exchange_t training = {.task = FMQ_TASK_TRAIN};

static const fmq_participants_limits_t limits = {
    .min_ready = 3, .quorum = 1, .deadline_ms = 1000, .grace_ms = 300};

/* Three clients that are here, asked to train at 0. */
static void begin(fmq_participants_t *round, const fmq_participants_limits_t *which)
{
    assert_int_equal(fmq_participants_init(round, 3, which, NULL), 0);
    for (uint32_t k = 1; k <= 3; k++) {
        fmq_participants_arrived(round, k);
        fmq_participants_is_ready(round, k);
    }
    fmq_participants_open(round, &training, 0);
    for (uint32_t k = 1; k <= 3; k++)
        fmq_participants_ask(round, k);
}

static void waiting_ends_when_enough_clients_are_here_and_ready(void **state)
{
    (void)state;
    fmq_participants_t round;
    assert_int_equal(fmq_participants_init(&round, 4, &limits, NULL), 0);
    for (uint32_t k = 1; k <= 3; k++) {
        assert_int_equal(fmq_participants_decide(&round, 99999), FMQ_DECIDE_STAY);
        fmq_participants_is_ready(&round, k);
        assert_int_equal(fmq_participants_decide(&round, 99999), FMQ_DECIDE_STAY);
        fmq_participants_arrived(&round, k);
    }
    assert_int_equal(fmq_participants_decide(&round, 0), FMQ_DECIDE_BEGIN);
    fmq_participants_left(&round, 2, 5);
    assert_int_equal(fmq_participants_decide(&round, 6), FMQ_DECIDE_STAY);
    fmq_participants_release(&round);
}

/* Neither here nor gone is it waited for; but somebody must be here. */
static void a_client_with_nothing_to_train_on_is_not_waited_for(void **state)
{
    (void)state;
    fmq_participants_t round;
    assert_int_equal(fmq_participants_init(&round, 3, &limits, NULL), 0);
    for (uint32_t k = 1; k <= 3; k++) {
        fmq_participants_arrived(&round, k);
        fmq_participants_is_ready(&round, k);
    }
    fmq_participants_left(&round, 2, 5);
    assert_int_equal(fmq_participants_decide(&round, 6), FMQ_DECIDE_STAY);
    fmq_participants_is_untrained(&round, 2, true);
    assert_int_equal(fmq_participants_decide(&round, 6), FMQ_DECIDE_BEGIN);
    fmq_participants_is_untrained(&round, 2, false);
    assert_int_equal(fmq_participants_decide(&round, 6), FMQ_DECIDE_STAY);
    for (uint32_t k = 1; k <= 3; k++) {
        fmq_participants_left(&round, k, 7);
        fmq_participants_is_untrained(&round, k, true);
    }
    assert_int_equal(fmq_participants_decide(&round, 8), FMQ_DECIDE_STAY);
    fmq_participants_arrived(&round, 1);
    assert_int_equal(fmq_participants_count(&round, 8).spare, 0);
    fmq_participants_release(&round);
}

static void a_round_is_full_when_everybody_is_settled(void **state)
{
    (void)state;
    fmq_participants_t round;
    begin(&round, &limits);
    fmq_participants_answered(&round, 1);
    fmq_participants_answered(&round, 3);
    assert_int_equal(fmq_participants_decide(&round, 10), FMQ_DECIDE_STAY);
    fmq_participants_leave_out(&round, 2, "no good");
    assert_int_equal(fmq_participants_decide(&round, 10), FMQ_DECIDE_FULL);
    fmq_participants_count_t count = fmq_participants_count(&round, 10);
    assert_int_equal(count.answered, 2);
    assert_int_equal(count.left_out, 1);
    assert_int_equal(count.missing, 0);
    fmq_participants_release(&round);
}

/* No update can come any more, but for somebody who comes back: with one who
 * has been settled the round is over, when all are gone it waits for them. */
static void a_round_of_failures_and_gone_ones_closes_empty(void **state)
{
    (void)state;
    fmq_participants_t round;
    begin(&round, &limits);
    for (uint32_t k = 1; k <= 3; k++)
        fmq_participants_left(&round, k, 10);
    assert_int_equal(fmq_participants_decide(&round, 900), FMQ_DECIDE_STAY);
    fmq_participants_leave_out(&round, 2, "no good");
    assert_int_equal(fmq_participants_decide(&round, 300), FMQ_DECIDE_STAY);
    assert_int_equal(fmq_participants_decide(&round, 310), FMQ_DECIDE_PARTIAL);
    fmq_participants_release(&round);
}

static void a_client_that_is_here_but_does_not_get_on_is_found(void **state)
{
    (void)state;
    fmq_participants_t round;
    int64_t since_ms;
    fmq_participants_limits_t impatient = limits;
    impatient.progress_ms = 100;
    begin(&round, &impatient);
    assert_int_equal(fmq_participants_stalled(&round, 99, &since_ms), 0);
    fmq_participants_answered(&round, 1); /* is not waited for */
    fmq_participants_moved(&round, 2, 50);
    assert_int_equal(fmq_participants_stalled(&round, 120, &since_ms), 3);
    assert_int_equal(since_ms, 120);
    fmq_participants_excuse(&round, 3, 120);
    assert_int_equal(fmq_participants_stalled(&round, 149, &since_ms), 0);
    assert_int_equal(fmq_participants_stalled(&round, 150, &since_ms), 2);
    fmq_participants_leave_out(&round, 2, "no good");
    fmq_participants_left(&round, 3, 151); /* who is gone is waited for in another way */
    assert_int_equal(fmq_participants_stalled(&round, 999, &since_ms), 0);
    fmq_participants_release(&round);
}

/* Nothing is known before the first step; then it is the slowest that counts. */
static void how_long_is_too_long_follows_from_what_steps_take(void **state)
{
    (void)state;
    fmq_participants_t round;
    begin(&round, &limits);
    assert_int_equal(fmq_participants_stall_limit(&round), FMQ_PARTICIPANTS_STALL_FIRST_MS);
    fmq_participants_excuse(&round, 1, 500); /* no step */
    assert_int_equal(fmq_participants_stall_limit(&round), FMQ_PARTICIPANTS_STALL_FIRST_MS);
    fmq_participants_moved(&round, 1, 1500);
    assert_int_equal(round.slowest_ms, 1000);
    assert_int_equal(fmq_participants_stall_limit(&round), FMQ_PARTICIPANTS_STALL_MIN_MS);
    fmq_participants_moved(&round, 2, 60000);
    assert_int_equal(fmq_participants_stall_limit(&round), 600000);
    fmq_participants_open(&round, &training, 100000); /* of the run, not of the round */
    assert_int_equal(fmq_participants_stall_limit(&round), 600000);
    fmq_participants_release(&round);
}

static void the_deadline_closes_a_round_that_has_its_quorum(void **state)
{
    (void)state;
    fmq_participants_t round;
    fmq_participants_limits_t two = limits;
    two.quorum = 2;
    begin(&round, &two);
    fmq_participants_answered(&round, 2);
    assert_int_equal(fmq_participants_decide(&round, 999), FMQ_DECIDE_STAY);
    assert_int_equal(fmq_participants_decide(&round, 1000), FMQ_DECIDE_STAY); /* 1 of 2 */
    fmq_participants_answered(&round, 1);
    assert_int_equal(fmq_participants_decide(&round, 999), FMQ_DECIDE_STAY);
    assert_int_equal(fmq_participants_decide(&round, 1000), FMQ_DECIDE_PARTIAL);
    fmq_participants_release(&round);
}

static void without_a_deadline_a_silent_client_that_is_alive_is_waited_for(void **state)
{
    (void)state;
    fmq_participants_t round;
    fmq_participants_limits_t patient = limits;
    patient.deadline_ms = 0;
    begin(&round, &patient);
    fmq_participants_answered(&round, 1);
    fmq_participants_answered(&round, 2);
    assert_int_equal(fmq_participants_decide(&round, INT64_C(1) << 40), FMQ_DECIDE_STAY);
    fmq_participants_left(&round, 3, 5000);
    assert_int_equal(fmq_participants_decide(&round, 5299), FMQ_DECIDE_STAY);
    assert_int_equal(fmq_participants_decide(&round, 5300), FMQ_DECIDE_PARTIAL);
    fmq_participants_arrived(&round, 3);
    assert_int_equal(fmq_participants_decide(&round, 5300), FMQ_DECIDE_STAY);
    fmq_participants_release(&round);
}

static void when_all_who_are_missing_are_gone_others_take_their_place(void **state)
{
    (void)state;
    fmq_participants_t round;
    fmq_participants_limits_t patient = limits;
    patient.deadline_ms = 0;
    assert_int_equal(fmq_participants_init(&round, 3, &patient, NULL), 0);
    fmq_participants_arrived(&round, 1);
    fmq_participants_is_ready(&round, 1);
    fmq_participants_open(&round, &training, 100);
    fmq_participants_ask(&round, 1);
    fmq_participants_left(&round, 1, 200);
    assert_int_equal(fmq_participants_decide(&round, 10000), FMQ_DECIDE_STAY);
    fmq_participants_arrived(&round, 2);
    fmq_participants_is_ready(&round, 2);
    assert_int_equal(fmq_participants_decide(&round, 499), FMQ_DECIDE_STAY);
    assert_int_equal(fmq_participants_decide(&round, 500), FMQ_DECIDE_ASK_MORE);
    fmq_participants_ask(&round, 2);
    assert_int_equal(fmq_participants_decide(&round, 500), FMQ_DECIDE_STAY);
    fmq_participants_answered(&round, 2);
    assert_int_equal(fmq_participants_decide(&round, 500), FMQ_DECIDE_PARTIAL);
    fmq_participants_release(&round);
}

static void an_evaluation_goes_on_with_what_it_got(void **state)
{
    (void)state;
    fmq_participants_t round;
    begin(&round, &limits);
    fmq_participants_open(&round, &fmq_rounds_evaluation, 0);
    fmq_participants_ask(&round, 1);
    assert_int_equal(fmq_participants_decide(&round, 999), FMQ_DECIDE_STAY);
    assert_int_equal(fmq_participants_decide(&round, 1000), FMQ_DECIDE_PARTIAL);
    fmq_participants_open(&round, &fmq_rounds_evaluation, 2000); /* nobody asked */
    assert_int_equal(fmq_participants_decide(&round, 2000), FMQ_DECIDE_FULL);
    fmq_participants_end(&round, 2000);
    assert_int_equal(fmq_participants_decide(&round, 999999), FMQ_DECIDE_STAY);
    fmq_participants_release(&round);
}

static void facts_about_strangers_and_unasked_answers_change_nothing(void **state)
{
    (void)state;
    fmq_participants_t round;
    begin(&round, &limits);
    fmq_participants_arrived(&round, 0);
    fmq_participants_arrived(&round, 4);
    fmq_participants_answered(&round, 4);
    assert_null(fmq_participants_find(&round, 0));
    assert_null(fmq_participants_find(&round, 4));
    fmq_participants_open(&round, &training, 0);
    fmq_participants_ask(&round, 1);
    fmq_participants_answered(&round, 2);
    assert_int_equal(fmq_participants_count(&round, 0).answered, 0);
    assert_int_equal(fmq_participants_count(&round, 0).spare, 2);
    fmq_participants_answered(&round, 1);
    fmq_participants_leave_out(&round, 1, "no good"); /* too late: it counts */
    assert_int_equal(fmq_participants_count(&round, 0).answered, 1);
    fmq_participants_release(&round);
}

static void patience_ends_at_the_next_moment_that_matters(void **state)
{
    (void)state;
    fmq_participants_t round;
    begin(&round, &limits);
    assert_int_equal(fmq_participants_patience(&round, 400, 5000), 600);
    assert_int_equal(fmq_participants_patience(&round, 400, 100), 100);
    fmq_participants_left(&round, 2, 500);
    assert_int_equal(fmq_participants_patience(&round, 500, 5000), 300);
    assert_int_equal(fmq_participants_patience(&round, 2000, 5000), 5000);
    fmq_participants_release(&round);
}

static void a_federation_of_nobody_is_refused(void **state)
{
    (void)state;
    fmq_participants_t round;
    fmq_error_t err;
    assert_int_equal(fmq_participants_init(&round, 0, &limits, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_int_equal(fmq_participants_init(&round, FMQ_PARTICIPANTS_MAX + 1, &limits, &err), -1);
    fmq_participants_release(&round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_ends_when_enough_clients_are_here_and_ready),
        cmocka_unit_test(a_client_with_nothing_to_train_on_is_not_waited_for),
        cmocka_unit_test(a_round_is_full_when_everybody_is_settled),
        cmocka_unit_test(a_round_of_failures_and_gone_ones_closes_empty),
        cmocka_unit_test(a_client_that_is_here_but_does_not_get_on_is_found),
        cmocka_unit_test(how_long_is_too_long_follows_from_what_steps_take),
        cmocka_unit_test(the_deadline_closes_a_round_that_has_its_quorum),
        cmocka_unit_test(without_a_deadline_a_silent_client_that_is_alive_is_waited_for),
        cmocka_unit_test(when_all_who_are_missing_are_gone_others_take_their_place),
        cmocka_unit_test(an_evaluation_goes_on_with_what_it_got),
        cmocka_unit_test(facts_about_strangers_and_unasked_answers_change_nothing),
        cmocka_unit_test(patience_ends_at_the_next_moment_that_matters),
        cmocka_unit_test(a_federation_of_nobody_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
