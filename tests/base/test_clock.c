/*
 * test_clock.c - the clocks run forwards and the wall clock has its format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/clock.h"

static void the_monotonic_clocks_agree_and_never_go_back(void **state)
{
    (void)state;
    double last = fmq_clock_seconds();
    for (int i = 0; i < 1000; i++) {
        double before = fmq_clock_seconds();
        int64_t ms = fmq_clock_ms();
        double after = fmq_clock_seconds();
        assert_true(before >= last && after >= before);
        assert_true((double)ms > before * 1e3 - 1.5 && (double)ms < after * 1e3 + 0.5);
        last = after;
    }
}

static void utc_is_iso_8601_with_milliseconds(void **state)
{
    (void)state;
    char text[FMQ_CLOCK_UTC_SIZE];
    fmq_clock_utc(text);
    int year, month, day, hour, minute, second, ms, used = 0;
    assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &used),
                     7);
    assert_int_equal(used, strlen("2026-01-31T23:59:59.123Z"));
    assert_int_equal(strlen(text), used);
    assert_true(year >= 2024 && month >= 1 && month <= 12 && day >= 1 && day <= 31);
    assert_true(hour < 24 && minute < 60 && second <= 60 && ms < 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_monotonic_clocks_agree_and_never_go_back),
        cmocka_unit_test(utc_is_iso_8601_with_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
