/*
 * test_timers.c - which of many things is due next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/timers.h"

#define MANY 1000

static void timers_come_in_the_order_in_which_they_are_due(void **state)
{
    (void)state;
    static fmq_timer_t every[MANY];
    fmq_timers_t timers = {0};
    assert_int_equal(fmq_timers_reserve(&timers, MANY, NULL), 0);
    uint32_t random = 1;
    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; i < MANY; i++) {
            random = random * 1664525u + 1013904223u;
            fmq_timers_set(&timers, &every[i], random >> 12);
        }
    for (size_t i = 0; i < MANY; i += 3)
        fmq_timers_unset(&timers, &every[i]);
    fmq_timers_unset(&timers, &every[0]); /* once more does nothing */
    int64_t last = -1;
    size_t count = 0;
    fmq_timer_t *first;
    while ((first = fmq_timers_first(&timers))) {
        assert_true(first->due_ms >= last);
        assert_int_not_equal((first - every) % 3, 0);
        last = first->due_ms;
        fmq_timers_unset(&timers, first);
        count++;
    }
    assert_int_equal(count, MANY - (MANY + 2) / 3);
    fmq_timers_release(&timers);
}

static void waiting_lasts_until_the_first_is_due_and_no_longer_than_asked(void **state)
{
    (void)state;
    fmq_timers_t timers = {0};
    fmq_timer_t a = {0}, b = {0};
    assert_int_equal(fmq_timers_wait(&timers, 100, 50), 50);
    assert_int_equal(fmq_timers_reserve(&timers, 2, NULL), 0);
    fmq_timers_set(&timers, &a, 130);
    fmq_timers_set(&timers, &b, 120);
    assert_int_equal(fmq_timers_wait(&timers, 100, 50), 20);
    assert_int_equal(fmq_timers_wait(&timers, 100, 10), 10);
    assert_int_equal(fmq_timers_wait(&timers, 125, 50), 0);
    fmq_timers_set(&timers, &b, 500); /* anew: later */
    assert_int_equal(fmq_timers_wait(&timers, 100, 50), 30);
    fmq_timers_release(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_come_in_the_order_in_which_they_are_due),
        cmocka_unit_test(waiting_lasts_until_the_first_is_due_and_no_longer_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
