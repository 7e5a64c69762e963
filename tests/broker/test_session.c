/*
 * test_session.c - the life of a connection, by a clock of numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/session.h"

static fmq_session_t joined(void)
{
    fmq_session_t session;
    fmq_session_init(&session, 100, 1000);
    assert_int_equal(fmq_session_step(&session, 0), FMQ_SESSION_OPEN);
    fmq_session_opened(&session, true, 0);
    assert_int_equal(fmq_session_step(&session, 0), FMQ_SESSION_HELLO);
    assert_int_equal(fmq_session_step(&session, 0), FMQ_SESSION_NOTHING);
    fmq_session_welcome(&session, 10000, 10);
    assert_true(session.up);
    return session;
}

static void a_link_says_hello_and_then_pings_every_heartbeat(void **state)
{
    (void)state;
    fmq_session_t session = joined();
    assert_int_equal(fmq_session_step(&session, 99), FMQ_SESSION_NOTHING);
    for (int64_t now = 100; now < 2000; now += 100) {
        fmq_session_heard(&session, now);
        assert_int_equal(fmq_session_step(&session, now), FMQ_SESSION_PING);
        assert_int_equal(fmq_session_step(&session, now), FMQ_SESSION_NOTHING);
    }
}

static void what_could_not_be_said_is_said_again(void **state)
{
    (void)state;
    fmq_session_t session = joined();
    assert_int_equal(fmq_session_step(&session, 100), FMQ_SESSION_PING);
    fmq_session_unsaid(&session);
    assert_int_equal(fmq_session_step(&session, 101), FMQ_SESSION_PING);
}

static void silence_reopens_at_half_time_and_is_down_at_full_time(void **state)
{
    (void)state;
    fmq_session_t session = joined();
    (void)fmq_session_step(&session, 500);
    assert_int_equal(fmq_session_step(&session, 510), FMQ_SESSION_CLOSE);
    assert_int_equal(session.state, FMQ_SESSION_CLOSED);
    assert_int_equal(fmq_session_step(&session, 609), FMQ_SESSION_NOTHING);
    assert_int_equal(fmq_session_step(&session, 610), FMQ_SESSION_OPEN);
    fmq_session_opened(&session, true, 610);
    assert_int_equal(fmq_session_step(&session, 610), FMQ_SESSION_HELLO);
    assert_true(session.up);
    (void)fmq_session_step(&session, 1010);
    assert_false(session.up);
    fmq_session_welcome(&session, 10000, 1020);
    assert_true(session.up);
}

static void vain_openings_back_off_up_to_five_seconds(void **state)
{
    (void)state;
    fmq_session_t session;
    fmq_session_init(&session, 100, 1000);
    int64_t now = 0, pause = 0;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(fmq_session_step(&session, now), FMQ_SESSION_OPEN);
        fmq_session_opened(&session, i % 2 == 0, now);
        if (i % 2 == 0) {
            int64_t opened = now;
            while (fmq_session_step(&session, now) != FMQ_SESSION_CLOSE)
                now++;
            assert_true(now - opened == (500 << (i / 2 < 4 ? i / 2 : 4)));
        }
        assert_true(session.open_ms - now >= pause);
        pause = session.open_ms - now;
        assert_int_equal(fmq_session_step(&session, now + pause - 1), FMQ_SESSION_NOTHING);
        now += pause;
    }
    assert_true(pause == 5000);
}

static void a_forgetful_router_is_told_again(void **state)
{
    (void)state;
    fmq_session_t session = joined();
    fmq_session_heard(&session, 50);
    fmq_session_who(&session);
    assert_int_equal(fmq_session_step(&session, 50), FMQ_SESSION_HELLO);
    assert_true(session.up);
}

static void the_heartbeat_bends_to_an_impatient_router(void **state)
{
    (void)state;
    fmq_session_t session = joined();
    fmq_session_welcome(&session, 200, 20);
    assert_int_equal(session.heartbeat_ms, 50);
}

static void a_refused_link_does_nothing_more(void **state)
{
    (void)state;
    fmq_session_t session = joined();
    fmq_session_end(&session);
    assert_false(session.up);
    fmq_session_welcome(&session, 1000, 50);
    assert_false(session.up);
    for (int64_t now = 0; now < 100000; now += 1000)
        assert_int_equal(fmq_session_step(&session, now), FMQ_SESSION_NOTHING);
}

static void waiting_ends_when_something_is_due(void **state)
{
    (void)state;
    fmq_session_t session = joined();
    assert_int_equal(fmq_session_wait(&session, 30, 250), 70);
    assert_int_equal(fmq_session_wait(&session, 30, 20), 20);
    assert_int_equal(fmq_session_wait(&session, 300, 250), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_says_hello_and_then_pings_every_heartbeat),
        cmocka_unit_test(what_could_not_be_said_is_said_again),
        cmocka_unit_test(silence_reopens_at_half_time_and_is_down_at_full_time),
        cmocka_unit_test(vain_openings_back_off_up_to_five_seconds),
        cmocka_unit_test(a_forgetful_router_is_told_again),
        cmocka_unit_test(the_heartbeat_bends_to_an_impatient_router),
        cmocka_unit_test(a_refused_link_does_nothing_more),
        cmocka_unit_test(waiting_ends_when_something_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
