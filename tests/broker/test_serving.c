/*
 * test_serving.c - streams of an owner, against credit and in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/serving.h"
#include "tests/broker/fabric.h"
#include "tests/broker/recorder.h"

typedef struct {
    recorder_t sink;
    fmq_serving_t *serving;
    fmq_object_t *object; /* five chunks */
} bench_t;

static int setup(void **state)
{
    bench_t *bench = calloc(1, sizeof *bench);
    bench->serving = fmq_serving_new();
    bench->object = fabric_object(4 * FMQ_CHUNK_MAX + 10, 1);
    *state = bench;
    return bench->serving ? 0 : -1;
}

static int teardown(void **state)
{
    bench_t *bench = *state;
    fmq_serving_destroy(&bench->serving);
    fmq_object_drop(&bench->object);
    free(bench);
    return 0;
}

static int fetch(bench_t *bench, uint32_t ticket, uint32_t first, uint32_t credit)
{
    fmq_message_t message = {
        .type = FMQ_MESSAGE_FETCH, .ticket = ticket, .index = first, .credit = credit};
    return fmq_serving_fetch(bench->serving, &message, bench->object, NULL);
}

static bool pump(bench_t *bench)
{
    return fmq_serving_pump(bench->serving, record, &bench->sink);
}

static void credit(bench_t *bench, uint32_t ticket, uint32_t amount)
{
    fmq_message_t message = {.type = FMQ_MESSAGE_CREDIT, .ticket = ticket, .credit = amount};
    fmq_serving_credit(bench->serving, &message);
}

static void chunks_are_sent_as_far_as_credit_goes(void **state)
{
    bench_t *bench = *state;
    assert_int_equal(fetch(bench, 1, 0, 2), 0);
    assert_false(pump(bench));
    assert_int_equal(bench->sink.count, 2);
    credit(bench, 1, 1);
    credit(bench, 9, 1);
    assert_false(pump(bench));
    assert_int_equal(bench->sink.count, 3);
    credit(bench, 1, 60);
    assert_false(pump(bench));
    assert_int_equal(bench->sink.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(bench->sink.records[i].message.index, i);
        assert_int_equal(bench->sink.records[i].message.chunks, 5);
        assert_int_equal(bench->sink.records[i].size, i < 4 ? FMQ_CHUNK_MAX : 10);
    }
    assert_int_equal(fmq_serving_size(bench->serving), 0);
}

static void streams_take_turns(void **state)
{
    bench_t *bench = *state;
    assert_int_equal(fetch(bench, 1, 0, 3), 0);
    assert_int_equal(fetch(bench, 2, 0, 3), 0);
    assert_false(pump(bench));
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(bench->sink.records[i].message.ticket, 1 + i % 2);
}

static void a_full_socket_is_left_for_later(void **state)
{
    bench_t *bench = *state;
    assert_int_equal(fetch(bench, 1, 4, 3), 0);
    bench->sink.full = true;
    assert_true(pump(bench));
    bench->sink.full = false;
    assert_false(pump(bench));
    assert_int_equal(bench->sink.count, 1);
    assert_int_equal(bench->sink.records[0].message.index, 4);
}

static void the_end_is_said_to_who_begins_there_and_an_error_beyond(void **state)
{
    bench_t *bench = *state;
    assert_int_equal(fetch(bench, 1, 5, 0), 0);
    assert_false(pump(bench));
    assert_int_equal(bench->sink.count, 1);
    assert_int_equal(bench->sink.records[0].message.index, 5);
    assert_int_equal(bench->sink.records[0].size, 0);
    assert_int_equal(fetch(bench, 2, 6, 1), -1);
    assert_int_equal(fmq_serving_size(bench->serving), 0);
}

static void cancelled_and_reset_streams_send_nothing(void **state)
{
    bench_t *bench = *state;
    assert_int_equal(fetch(bench, 1, 0, 3), 0);
    assert_int_equal(fetch(bench, 2, 0, 3), 0);
    fmq_serving_cancel(bench->serving, 1);
    fmq_serving_cancel(bench->serving, 1);
    assert_false(pump(bench));
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_CHUNK), 3);
    assert_int_equal(fetch(bench, 3, 0, 3), 0);
    fmq_serving_reset(bench->serving);
    credit(bench, 2, 1);
    assert_false(pump(bench));
    assert_int_equal(bench->sink.count, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chunks_are_sent_as_far_as_credit_goes),
        TEST(streams_take_turns),
        TEST(a_full_socket_is_left_for_later),
        TEST(the_end_is_said_to_who_begins_there_and_an_error_beyond),
        TEST(cancelled_and_reset_streams_send_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
