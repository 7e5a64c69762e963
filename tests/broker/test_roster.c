/*
 * test_roster.c - members, rivals, silence and changes, without sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/roster.h"

#define TIMEOUT   1000
#define HEARTBEAT 100

static fmq_route_t route_of(uint8_t number)
{
    return (fmq_route_t){.size = 5, .bytes = {0, 1, 2, 3, number}};
}

static fmq_hello_t hello(fmq_roster_t *roster, const char *name, fmq_role_t role,
                         uint64_t incarnation, uint8_t number, int64_t now)
{
    fmq_route_t route = route_of(number);
    fmq_message_t message = {.type = FMQ_MESSAGE_HELLO, .role = role, .incarnation = incarnation};
    (void)snprintf(message.name, sizeof message.name, "%s", name);
    return fmq_roster_hello(roster, &route, &message, now, NULL);
}

static int setup(void **state)
{
    *state = fmq_roster_new(TIMEOUT, HEARTBEAT, 3);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    fmq_roster_t *roster = *state;
    fmq_roster_destroy(&roster);
    return 0;
}

static void a_hello_makes_a_member_with_a_route(void **state)
{
    fmq_roster_t *roster = *state;
    fmq_route_t route = route_of(1), other = route_of(2);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 1, 1, 0), FMQ_HELLO_NEW);
    fmq_member_t *member = fmq_roster_find(roster, "a");
    assert_non_null(member);
    assert_true(member->alive && member->connected);
    assert_ptr_equal(fmq_roster_find_route(roster, &route), member);
    assert_null(fmq_roster_find_route(roster, &other));
    assert_null(fmq_roster_find(roster, "b"));
    assert_int_equal(fmq_roster_alive(roster), 1);
}

static void the_same_link_may_come_by_another_connection(void **state)
{
    fmq_roster_t *roster = *state;
    fmq_route_t old = route_of(1), new = route_of(2);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 1, 1, 0), FMQ_HELLO_NEW);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 1, 2, 10), FMQ_HELLO_AGAIN);
    assert_null(fmq_roster_find_route(roster, &old));
    assert_non_null(fmq_roster_find_route(roster, &new));
    assert_int_equal(fmq_roster_size(roster), 1);
}

static void a_connection_bears_one_name(void **state)
{
    fmq_roster_t *roster = *state;
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 1, 1, 0), FMQ_HELLO_NEW);
    assert_int_equal(hello(roster, "b", FMQ_ROLE_CLIENT, 2, 1, 0), FMQ_HELLO_REFUSED);
    assert_null(fmq_roster_find(roster, "b"));
}

static void a_rival_waits_and_is_refused_while_the_holder_lives(void **state)
{
    fmq_roster_t *roster = *state;
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 1, 1, 0), FMQ_HELLO_NEW);
    fmq_member_t *holder = fmq_roster_find(roster, "a");
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 2, 2, 500), FMQ_HELLO_WAIT);
    fmq_roster_touch(roster, holder, 550);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 2, 2, 560), FMQ_HELLO_WAIT);
    fmq_roster_touch(roster, holder, 600);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 2, 2, 610), FMQ_HELLO_REFUSED);
    assert_true(holder->incarnation == 1);
}

static void a_rival_takes_over_from_the_silent_the_unreachable_and_the_departed(void **state)
{
    fmq_roster_t *roster = *state;
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 1, 1, 0), FMQ_HELLO_NEW);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 2, 2, 999), FMQ_HELLO_WAIT);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 2, 2, 1000), FMQ_HELLO_NEW);
    fmq_roster_disconnect(roster, fmq_roster_find(roster, "a"));
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 3, 3, 1001), FMQ_HELLO_NEW);
    fmq_roster_leave(roster, fmq_roster_find(roster, "a"));
    assert_int_equal(fmq_roster_alive(roster), 0);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_SERVER, 4, 4, 1002), FMQ_HELLO_NEW);
    assert_int_equal(fmq_roster_find(roster, "a")->role, FMQ_ROLE_SERVER);
    assert_int_equal(fmq_roster_alive(roster), 1);
}

static void the_barred_are_refused_until_their_time_is_over(void **state)
{
    fmq_roster_t *roster = *state;
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 1, 1, 0), FMQ_HELLO_NEW);
    fmq_member_t *member = fmq_roster_find(roster, "a");
    member->barred_ms = 500;
    fmq_roster_leave(roster, member);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 2, 2, 499), FMQ_HELLO_REFUSED);
    assert_int_equal(hello(roster, "a", FMQ_ROLE_CLIENT, 2, 2, 500), FMQ_HELLO_NEW);
}

static void silence_is_noticed_at_the_timeout_and_ends_with_any_sign(void **state)
{
    fmq_roster_t *roster = *state;
    (void)hello(roster, "a", FMQ_ROLE_CLIENT, 1, 1, 0);
    (void)hello(roster, "b", FMQ_ROLE_CLIENT, 2, 2, 500);
    assert_null(fmq_roster_expire(roster, 999));
    fmq_member_t *silent = fmq_roster_expire(roster, 1000);
    assert_string_equal(silent->name, "a");
    assert_false(silent->alive);
    assert_null(fmq_roster_expire(roster, 1000));
    assert_int_equal(fmq_roster_alive(roster), 1);
    fmq_roster_touch(roster, silent, 1100);
    assert_true(silent->alive);
    assert_int_equal(fmq_roster_alive(roster), 2);
}

static void changes_are_followed_in_their_order(void **state)
{
    fmq_roster_t *roster = *state;
    (void)hello(roster, "a", FMQ_ROLE_CLIENT, 1, 1, 0);
    (void)hello(roster, "b", FMQ_ROLE_CLIENT, 2, 2, 0);
    fmq_member_t *a = fmq_roster_find(roster, "a"), *b = fmq_roster_find(roster, "b");
    assert_ptr_equal(fmq_roster_changed_after(roster, 0), a);
    assert_ptr_equal(a->newer, b);
    uint64_t seen = b->changed;
    assert_null(fmq_roster_changed_after(roster, seen));
    fmq_roster_progress(roster, a, 1, 2);
    assert_ptr_equal(fmq_roster_changed_after(roster, seen), a);
    assert_null(a->newer);
    seen = a->changed;
    fmq_roster_progress(roster, a, 1, 2);
    fmq_roster_touch(roster, a, 5);
    assert_null(fmq_roster_changed_after(roster, seen));
}

static void a_full_roster_forgets_who_is_gone_longest(void **state)
{
    fmq_roster_t *roster = *state;
    (void)hello(roster, "a", FMQ_ROLE_CLIENT, 1, 1, 0);
    (void)hello(roster, "b", FMQ_ROLE_CLIENT, 2, 2, 0);
    (void)hello(roster, "c", FMQ_ROLE_CLIENT, 3, 3, 0);
    assert_int_equal(hello(roster, "d", FMQ_ROLE_CLIENT, 4, 4, 0), FMQ_HELLO_REFUSED);
    fmq_roster_leave(roster, fmq_roster_find(roster, "b"));
    fmq_roster_leave(roster, fmq_roster_find(roster, "a"));
    assert_int_equal(hello(roster, "d", FMQ_ROLE_CLIENT, 4, 4, 0), FMQ_HELLO_NEW);
    assert_null(fmq_roster_find(roster, "b"));
    assert_non_null(fmq_roster_find(roster, "a"));
    unsigned count = 0;
    for (fmq_member_t *at = fmq_roster_next(roster, NULL); at; at = fmq_roster_next(roster, at))
        count++;
    assert_int_equal(count, 3);
    assert_int_equal(fmq_roster_alive(roster), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hello_makes_a_member_with_a_route),
        TEST(the_same_link_may_come_by_another_connection),
        TEST(a_connection_bears_one_name),
        TEST(a_rival_waits_and_is_refused_while_the_holder_lives),
        TEST(a_rival_takes_over_from_the_silent_the_unreachable_and_the_departed),
        TEST(the_barred_are_refused_until_their_time_is_over),
        TEST(silence_is_noticed_at_the_timeout_and_ends_with_any_sign),
        TEST(changes_are_followed_in_their_order),
        TEST(a_full_roster_forgets_who_is_gone_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
