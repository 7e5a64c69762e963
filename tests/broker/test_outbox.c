/*
 * test_outbox.c - announcements of a link, and the versions of its notes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/outbox.h"
#include "tests/broker/recorder.h"

static int setup(void **state)
{
    *state = calloc(1, sizeof(recorder_t));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void note(fmq_outbox_t *outbox, const char *to, const char *body)
{
    fmq_message_t head = {.role = FMQ_ROLE_SERVER, .name = "server", .topic = "task"};
    (void)snprintf(head.audience, sizeof head.audience, "%s", to);
    assert_int_equal(fmq_outbox_note(outbox, &head, body, strlen(body)), 0);
}

static unsigned flush(fmq_outbox_t *outbox, int64_t now, recorder_t *sink)
{
    unsigned before = sink->count;
    fmq_outbox_flush(outbox, now, record, sink);
    return sink->count - before;
}

static void a_note_is_repeated_until_its_version_is_acknowledged(void **state)
{
    recorder_t *sink = *state;
    fmq_outbox_t *outbox = fmq_outbox_new(100, 50);
    fmq_outbox_welcome(outbox, 0);
    note(outbox, "client-1", "a");
    assert_true(fmq_outbox_notes_pending(outbox));
    assert_int_equal(flush(outbox, 0, sink), 1);
    assert_int_equal(flush(outbox, 49, sink), 0);
    assert_int_equal(flush(outbox, 50, sink), 1);
    fmq_message_t ack = *last_of(sink, FMQ_MESSAGE_NOTE);
    note(outbox, "client-1", "b");
    fmq_outbox_note_acked(outbox, &ack); /* of the older version */
    assert_int_equal(flush(outbox, 50, sink), 1);
    ack = *last_of(sink, FMQ_MESSAGE_NOTE);
    assert_true(ack.version == 101);
    fmq_outbox_note_acked(outbox, &ack);
    assert_false(fmq_outbox_pending(outbox));
    assert_int_equal(flush(outbox, 9999, sink), 0);
    fmq_outbox_destroy(&outbox);
}

static void a_welcome_announces_everything_again(void **state)
{
    recorder_t *sink = *state;
    fmq_outbox_t *outbox = fmq_outbox_new(100, 50);
    fmq_message_t publish = {.type = FMQ_MESSAGE_PUBLISH, .chunks = 1, .audience = "*"};
    fmq_outbox_welcome(outbox, 0);
    note(outbox, "client-1", "a");
    note(outbox, "client-2", "b");
    assert_int_equal(fmq_outbox_publish(outbox, &publish), 0);
    assert_int_equal(flush(outbox, 0, sink), 3);
    fmq_message_t ack = *last_of(sink, FMQ_MESSAGE_NOTE);
    fmq_outbox_note_acked(outbox, &ack);
    fmq_outbox_published(outbox, &publish);
    assert_int_equal(flush(outbox, 50, sink), 1);
    fmq_outbox_welcome(outbox, 0);
    assert_int_equal(flush(outbox, 51, sink), 3);
    assert_non_null(fmq_outbox_next(outbox, NULL));
    fmq_outbox_withdraw(outbox, &publish.digest);
    assert_null(fmq_outbox_next(outbox, NULL));
    fmq_outbox_welcome(outbox, 0);
    assert_int_equal(flush(outbox, 52, sink), 2);
    fmq_outbox_destroy(&outbox);
}

static void versions_move_above_a_former_life(void **state)
{
    recorder_t *sink = *state;
    fmq_outbox_t *outbox = fmq_outbox_new(100, 50);
    note(outbox, "client-1", "a");
    fmq_outbox_welcome(outbox, 5000);
    assert_int_equal(flush(outbox, 0, sink), 1);
    assert_true(last_of(sink, FMQ_MESSAGE_NOTE)->version == 5001);
    note(outbox, "client-1", "b");
    assert_int_equal(flush(outbox, 0, sink), 1);
    assert_true(last_of(sink, FMQ_MESSAGE_NOTE)->version == 5002);
    fmq_outbox_welcome(outbox, 5002);
    assert_int_equal(flush(outbox, 0, sink), 1);
    assert_true(last_of(sink, FMQ_MESSAGE_NOTE)->version == 5002);
    fmq_outbox_destroy(&outbox);
}

static void a_full_socket_loses_nothing(void **state)
{
    recorder_t *sink = *state;
    fmq_outbox_t *outbox = fmq_outbox_new(100, 50);
    fmq_outbox_welcome(outbox, 0);
    note(outbox, "client-1", "a");
    sink->full = true;
    assert_int_equal(flush(outbox, 0, sink), 0);
    sink->full = false;
    assert_int_equal(flush(outbox, 1, sink), 1);
    fmq_outbox_destroy(&outbox);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_note_is_repeated_until_its_version_is_acknowledged),
        TEST(a_welcome_announces_everything_again),
        TEST(versions_move_above_a_former_life),
        TEST(a_full_socket_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
