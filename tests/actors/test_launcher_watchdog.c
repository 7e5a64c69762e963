/*
 * test_launcher_watchdog.c - when a process says that nothing gets on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/launcher/watchdog.h"

static void a_counter_that_stands_still_is_told_ever_more_seldom(void **state)
{
    (void)state;
    fmq_watchdog_t dog = {.limit_ms = 100};
    assert_int_equal(fmq_watchdog_look(&dog, true, 1, 1000), 0);
    assert_int_equal(fmq_watchdog_look(&dog, true, 1, 1099), 0);
    assert_int_equal(fmq_watchdog_look(&dog, true, 1, 1100), 100);
    assert_int_equal(fmq_watchdog_look(&dog, true, 1, 1101), 0);
    assert_int_equal(fmq_watchdog_look(&dog, true, 1, 1205), 205);
    assert_int_equal(fmq_watchdog_look(&dog, true, 1, 1399), 0);
    assert_int_equal(fmq_watchdog_look(&dog, true, 1, 1400), 400);
    assert_int_equal(fmq_watchdog_look(&dog, true, 2, 1500), 0); /* it moves */
    assert_int_equal(fmq_watchdog_look(&dog, true, 2, 1599), 0);
    assert_int_equal(fmq_watchdog_look(&dog, true, 2, 1600), 100);
}

static void who_does_not_compute_need_not_move(void **state)
{
    (void)state;
    fmq_watchdog_t dog = {.limit_ms = 100};
    for (int64_t now_ms = 0; now_ms < 10000; now_ms += 50)
        assert_int_equal(fmq_watchdog_look(&dog, false, 7, now_ms), 0);
    assert_int_equal(fmq_watchdog_look(&dog, true, 7, 10000), 0);
    assert_int_equal(fmq_watchdog_look(&dog, true, 7, 10050), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_that_stands_still_is_told_ever_more_seldom),
        cmocka_unit_test(who_does_not_compute_need_not_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
