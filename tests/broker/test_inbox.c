/*
 * test_inbox.c - latest values wait for a busy actor, once each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/inbox.h"

static void put(fmq_inbox_t *inbox, const char *from, uint64_t version, const char *body)
{
    fmq_message_t note = {
        .type = FMQ_MESSAGE_NOTE, .version = version, .audience = "*", .topic = "t"};
    (void)snprintf(note.name, sizeof note.name, "%s", from);
    fmq_frame_t *frame = fmq_frame_copy(body, strlen(body));
    assert_int_equal(fmq_inbox_note(inbox, &note, &frame), 0);
    fmq_frame_destroy(&frame);
}

static void only_the_newest_note_becomes_an_event(void **state)
{
    (void)state;
    fmq_event_t event;
    fmq_frame_t *body;
    fmq_inbox_t *inbox = fmq_inbox_new();
    put(inbox, "a", 1, "one");
    put(inbox, "b", 1, "other");
    put(inbox, "a", 3, "three");
    put(inbox, "a", 2, "two");
    assert_true(fmq_inbox_next(inbox, &event, &body));
    assert_int_equal(event.type, FMQ_EVENT_NOTE);
    assert_string_equal(event.member, "a");
    assert_true(event.version == 3);
    assert_int_equal(fmq_frame_size(body), 5);
    assert_memory_equal(fmq_frame_data(body), "three", 5);
    fmq_frame_destroy(&body);
    assert_true(fmq_inbox_next(inbox, &event, &body));
    assert_string_equal(event.member, "b");
    fmq_frame_destroy(&body);
    assert_false(fmq_inbox_next(inbox, &event, &body));
    put(inbox, "a", 3, "three");
    assert_false(fmq_inbox_next(inbox, &event, &body));
    put(inbox, "a", 4, "four");
    assert_true(fmq_inbox_next(inbox, &event, &body));
    fmq_frame_destroy(&body);
    put(inbox, "a", 5, "left behind");
    fmq_inbox_destroy(&inbox);
}

static void a_members_changes_become_one_event(void **state)
{
    (void)state;
    fmq_event_t event;
    fmq_frame_t *body;
    fmq_inbox_t *inbox = fmq_inbox_new();
    fmq_message_t member = {
        .type = FMQ_MESSAGE_MEMBER, .name = "c", .role = FMQ_ROLE_CLIENT, .alive = true};
    for (member.step = 0; member.step < 100; member.step++)
        assert_int_equal(fmq_inbox_member(inbox, &member), 0);
    member.alive = false;
    assert_int_equal(fmq_inbox_member(inbox, &member), 0);
    assert_true(fmq_inbox_next(inbox, &event, &body));
    assert_int_equal(event.type, FMQ_EVENT_MEMBER);
    assert_false(event.alive);
    assert_true(event.step == 100);
    assert_null(body);
    assert_false(fmq_inbox_next(inbox, &event, &body));
    fmq_inbox_destroy(&inbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_newest_note_becomes_an_event),
        cmocka_unit_test(a_members_changes_become_one_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
