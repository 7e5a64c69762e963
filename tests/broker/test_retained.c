/*
 * test_retained.c - newest notes, their readers, acknowledgements and limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/retained.h"

/* What was sent, newest last; and whether the reader takes it. */
typedef struct {
    unsigned count;
    char reader[FMQ_MEMBER_NAME_MAX];
    char body[32];
    fmq_message_t note;
    bool full;
} sink_t;

static int take(void *argument, const char *reader, const fmq_message_t *note, const void *body,
                size_t size)
{
    sink_t *sink = argument;
    if (sink->full)
        return -1;
    sink->count++;
    sink->note = *note;
    (void)snprintf(sink->reader, sizeof sink->reader, "%s", reader);
    (void)snprintf(sink->body, sizeof sink->body, "%.*s", (int)size, (const char *)body);
    return 0;
}

static fmq_message_t note_of(const char *from, fmq_role_t role, const char *to, uint64_t version)
{
    fmq_message_t note = {.type = FMQ_MESSAGE_NOTE, .role = role, .version = version};
    (void)snprintf(note.name, sizeof note.name, "%s", from);
    (void)snprintf(note.audience, sizeof note.audience, "%s", to);
    (void)snprintf(note.topic, sizeof note.topic, "topic");
    return note;
}

static int put(fmq_retained_t *book, const char *to, uint64_t version, const char *body)
{
    fmq_message_t note = note_of("server", FMQ_ROLE_SERVER, to, version);
    return fmq_retained_put(book, &note, body, strlen(body), NULL);
}

static unsigned flush(fmq_retained_t *book, int64_t now, bool again, sink_t *sink)
{
    unsigned before = sink->count;
    fmq_retained_flush(book, now, again, take, sink);
    return sink->count - before;
}

static void a_note_is_repeated_until_it_is_acknowledged(void **state)
{
    (void)state;
    sink_t sink = {0};
    fmq_retained_t *book = fmq_retained_new(100);
    assert_int_equal(fmq_retained_join(book, "c", FMQ_ROLE_CLIENT, true, NULL), 0);
    assert_int_equal(put(book, "c", 5, "x"), 0);
    assert_int_equal(flush(book, 0, false, &sink), 1);
    assert_string_equal(sink.reader, "c");
    assert_string_equal(sink.body, "x");
    assert_int_equal(flush(book, 99, true, &sink), 0);
    assert_int_equal(flush(book, 100, true, &sink), 1);
    fmq_message_t wrong = sink.note;
    wrong.version = 6;
    fmq_retained_ack(book, "c", &wrong);
    wrong.version = 4;
    fmq_retained_ack(book, "c", &wrong);
    fmq_retained_ack(book, "nobody", &sink.note);
    assert_int_equal(flush(book, 200, true, &sink), 1);
    fmq_retained_ack(book, "c", &sink.note);
    assert_int_equal(flush(book, 10000, true, &sink), 0);
    fmq_retained_destroy(&book);
}

static void only_a_newer_version_replaces_a_note(void **state)
{
    (void)state;
    sink_t sink = {0};
    fmq_retained_t *book = fmq_retained_new(100);
    (void)fmq_retained_join(book, "c", FMQ_ROLE_CLIENT, true, NULL);
    assert_int_equal(put(book, "c", 5, "five"), 0);
    assert_int_equal(put(book, "c", 5, "FIVE"), 0);
    assert_int_equal(put(book, "c", 4, "four"), 0);
    assert_int_equal(flush(book, 0, false, &sink), 1);
    assert_string_equal(sink.body, "five");
    assert_int_equal(put(book, "c", 6, "six"), 0);
    assert_int_equal(flush(book, 0, false, &sink), 1);
    assert_string_equal(sink.body, "six");
    assert_int_equal(fmq_retained_size(book), 1);
    assert_true(fmq_retained_bytes(book) == 3);
    assert_true(fmq_retained_floor(book, "server") == 6);
    assert_true(fmq_retained_floor(book, "nobody") == 0);
    fmq_retained_destroy(&book);
}

static void late_and_returning_readers_get_what_they_lack(void **state)
{
    (void)state;
    sink_t sink = {0};
    fmq_retained_t *book = fmq_retained_new(100);
    assert_int_equal(put(book, "@client", 1, "r"), 0);
    assert_int_equal(put(book, "late", 2, "n"), 0);
    assert_int_equal(put(book, "*", 3, "a"), 0);
    assert_int_equal(put(book, "@evaluator", 4, "e"), 0);
    assert_int_equal(flush(book, 0, true, &sink), 0);
    (void)fmq_retained_join(book, "late", FMQ_ROLE_CLIENT, true, NULL);
    assert_int_equal(flush(book, 0, false, &sink), 3);
    fmq_retained_ack(book, "late", &sink.note);
    fmq_retained_leave(book, "late");
    assert_int_equal(flush(book, 1000, true, &sink), 0);
    (void)fmq_retained_join(book, "late", FMQ_ROLE_CLIENT, false, NULL);
    assert_int_equal(flush(book, 1000, true, &sink), 2);
    (void)fmq_retained_join(book, "late", FMQ_ROLE_CLIENT, true, NULL);
    assert_int_equal(flush(book, 1000, true, &sink), 3);
    fmq_retained_destroy(&book);
}

static void a_note_never_reaches_its_sender_or_a_role_beyond_its_reach(void **state)
{
    (void)state;
    sink_t sink = {0};
    fmq_retained_t *book = fmq_retained_new(100);
    (void)fmq_retained_join(book, "server", FMQ_ROLE_SERVER, true, NULL);
    assert_int_equal(put(book, "*", 1, "x"), 0);
    assert_int_equal(flush(book, 0, false, &sink), 0);
    fmq_message_t note = note_of("client-1", FMQ_ROLE_CLIENT, "client-2", 1);
    assert_int_equal(fmq_retained_put(book, &note, "y", 1, NULL), 0);
    (void)fmq_retained_join(book, "client-2", FMQ_ROLE_CLIENT, true, NULL);
    assert_int_equal(flush(book, 0, false, &sink), 1);
    assert_string_equal(sink.body, "x");
    fmq_retained_destroy(&book);
}

/* Bodies in the order in which they were sent. */
typedef struct {
    unsigned count;
    char bodies[64];
} order_t;

static int take_in_order(void *argument, const char *reader, const fmq_message_t *note,
                         const void *body, size_t size)
{
    order_t *order = argument;
    (void)reader, (void)note;
    order->count++;
    strncat(order->bodies, body, size);
    return 0;
}

static int put_topic(fmq_retained_t *book, const char *to, const char *topic, uint64_t version,
                     const char *body)
{
    fmq_message_t note = note_of("server", FMQ_ROLE_SERVER, to, version);
    (void)snprintf(note.topic, sizeof note.topic, "%s", topic);
    return fmq_retained_put(book, &note, body, strlen(body), NULL);
}

static void who_joins_gets_its_own_notes_first_and_each_shelf_in_order(void **state)
{
    (void)state;
    order_t order = {0};
    fmq_retained_t *book = fmq_retained_new(100);
    for (unsigned i = 0; i < 100; i++) {
        char other[16];
        (void)snprintf(other, sizeof other, "other-%u", i);
        assert_int_equal(put_topic(book, other, "a", 1, "!"), 0);
    }
    assert_int_equal(put_topic(book, "*", "a", 1, "5"), 0);
    assert_int_equal(put_topic(book, "c", "b", 1, "x"), 0);
    assert_int_equal(put_topic(book, "@client", "a", 1, "3"), 0);
    assert_int_equal(put_topic(book, "c", "a", 1, "2"), 0);
    assert_int_equal(put_topic(book, "@client", "b", 1, "4"), 0);
    assert_int_equal(put_topic(book, "c", "b", 2, "1"), 0); /* keeps its place */
    assert_int_equal(put_topic(book, "@evaluator", "a", 1, "!"), 0);
    assert_int_equal(fmq_retained_join(book, "c", FMQ_ROLE_CLIENT, true, NULL), 0);
    fmq_retained_flush(book, 0, false, take_in_order, &order);
    assert_string_equal(order.bodies, "12345");
    assert_int_equal(order.count, 5);
    fmq_retained_destroy(&book);
}

static void a_name_in_another_role_gets_the_notes_of_that_role(void **state)
{
    (void)state;
    order_t order = {0};
    fmq_retained_t *book = fmq_retained_new(100);
    assert_int_equal(put_topic(book, "@client", "a", 1, "c"), 0);
    assert_int_equal(put_topic(book, "@evaluator", "a", 1, "e"), 0);
    assert_int_equal(fmq_retained_join(book, "x", FMQ_ROLE_CLIENT, true, NULL), 0);
    fmq_retained_leave(book, "x");
    assert_int_equal(fmq_retained_join(book, "x", FMQ_ROLE_EVALUATOR, true, NULL), 0);
    fmq_retained_flush(book, 0, false, take_in_order, &order);
    assert_string_equal(order.bodies, "e");
    fmq_retained_destroy(&book);
}

static void a_reader_that_takes_nothing_is_tried_again(void **state)
{
    (void)state;
    sink_t sink = {.full = true};
    fmq_retained_t *book = fmq_retained_new(100);
    (void)fmq_retained_join(book, "c", FMQ_ROLE_CLIENT, true, NULL);
    assert_int_equal(put(book, "c", 1, "x"), 0);
    assert_int_equal(flush(book, 0, true, &sink), 0);
    sink.full = false;
    assert_int_equal(flush(book, 1, false, &sink), 1);
    sink.full = true;
    assert_int_equal(flush(book, 500, true, &sink), 0);
    sink.full = false;
    assert_int_equal(flush(book, 501, true, &sink), 1);
    fmq_retained_destroy(&book);
}

static void a_sender_of_many_notes_meets_its_limit(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_retained_t *book = fmq_retained_new(100);
    fmq_message_t note = note_of("client-1", FMQ_ROLE_CLIENT, "server", 1);
    for (unsigned i = 0; i < FMQ_NOTES_FEW; i++) {
        (void)snprintf(note.topic, sizeof note.topic, "t%u", i);
        assert_int_equal(fmq_retained_put(book, &note, "x", 1, &err), 0);
    }
    (void)snprintf(note.topic, sizeof note.topic, "more");
    assert_int_equal(fmq_retained_put(book, &note, "x", 1, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    static uint8_t big[FMQ_NOTE_MAX];
    unsigned taken = 0;
    for (unsigned i = 0; i < FMQ_NOTES_FEW; i++) {
        note.version = 2;
        (void)snprintf(note.topic, sizeof note.topic, "t%u", i);
        taken += fmq_retained_put(book, &note, big, sizeof big, &err) == 0;
    }
    assert_int_equal(taken, FMQ_NOTES_FEW_BYTES / FMQ_NOTE_MAX - 1);
    assert_int_equal(fmq_retained_size(book), FMQ_NOTES_FEW);
    fmq_retained_destroy(&book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_note_is_repeated_until_it_is_acknowledged),
        cmocka_unit_test(only_a_newer_version_replaces_a_note),
        cmocka_unit_test(late_and_returning_readers_get_what_they_lack),
        cmocka_unit_test(a_note_never_reaches_its_sender_or_a_role_beyond_its_reach),
        cmocka_unit_test(who_joins_gets_its_own_notes_first_and_each_shelf_in_order),
        cmocka_unit_test(a_name_in_another_role_gets_the_notes_of_that_role),
        cmocka_unit_test(a_reader_that_takes_nothing_is_tried_again),
        cmocka_unit_test(a_sender_of_many_notes_meets_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
