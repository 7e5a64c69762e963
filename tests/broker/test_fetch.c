/*
 * test_fetch.c - a link's fetches: order, credit, resuming, failing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/fetch.h"
#include "tests/broker/fabric.h"
#include "tests/broker/recorder.h"

#define QUIET  1000
#define WINDOW 3

typedef struct {
    recorder_t sink;
    fmq_fetches_t *fetches;
    fmq_object_t *object; /* five chunks */
} bench_t;

static int setup(void **state)
{
    bench_t *bench = calloc(1, sizeof *bench);
    fmq_fetches_options_t options = {
        .window = WINDOW, .quiet_ms = QUIET, .send = record_bare, .argument = &bench->sink};
    bench->fetches = fmq_fetches_new(&options);
    bench->object = fabric_object(4 * FMQ_CHUNK_MAX + 10, 1);
    *state = bench;
    return bench->fetches ? 0 : -1;
}

static int teardown(void **state)
{
    bench_t *bench = *state;
    fmq_fetches_destroy(&bench->fetches);
    fmq_object_drop(&bench->object);
    free(bench);
    return 0;
}

static void begin(bench_t *bench, uint32_t first, uint64_t bytes_max, fmq_object_t *object)
{
    fmq_fetch_options_t want = {.id = 7,
                                .owner = "client-1",
                                .digest = *fmq_object_digest(bench->object),
                                .first = first,
                                .bytes_max = bytes_max,
                                .object = object};
    assert_int_equal(fmq_fetches_begin(bench->fetches, &want, 0), 0);
}

static uint32_t ticket(const bench_t *bench)
{
    return last_of(&bench->sink, FMQ_MESSAGE_FETCH)->ticket;
}

static void deliver(bench_t *bench, uint32_t under, uint32_t index, int64_t now)
{
    fmq_message_t message = {
        .type = FMQ_MESSAGE_CHUNK, .ticket = under, .index = index, .chunks = 5};
    fmq_frame_t *payload = fmq_frame_of_chunk(bench->object, index, NULL);
    fmq_fetches_chunk(bench->fetches, &message, &payload, now);
    fmq_frame_destroy(&payload);
}

/* The next event's type, or -1; its chunk's index goes to *index. */
static int next(bench_t *bench, uint32_t *index, fmq_error_t *error)
{
    fmq_event_t event;
    fmq_frame_t *frame;
    uint32_t id;
    if (!fmq_fetches_next(bench->fetches, &event, &frame, &id))
        return -1;
    assert_int_equal(id, 7);
    if (index)
        *index = event.index;
    if (error)
        *error = event.error;
    fmq_frame_destroy(&frame);
    return (int)event.type;
}

static void credit_goes_back_chunk_by_chunk(void **state)
{
    bench_t *bench = *state;
    uint32_t index;
    begin(bench, 0, UINT64_MAX, NULL);
    assert_int_equal(bench->sink.count, 0);
    fmq_fetches_connect(bench->fetches, 0);
    assert_int_equal(last_of(&bench->sink, FMQ_MESSAGE_FETCH)->credit, WINDOW);
    for (uint32_t i = 0; i < 5; i++) {
        deliver(bench, ticket(bench), i, 0);
        assert_int_equal(next(bench, &index, NULL), FMQ_EVENT_CHUNK);
        assert_int_equal(index, i);
        fmq_fetches_consumed(bench->fetches, 7);
    }
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_CREDIT), 4);
    assert_int_equal(next(bench, NULL, NULL), FMQ_EVENT_FETCHED);
    assert_int_equal(next(bench, NULL, NULL), -1);
    assert_int_equal(fmq_fetches_size(bench->fetches), 0);
}

static void a_reconnect_asks_for_what_is_missing_with_the_credit_that_is_free(void **state)
{
    bench_t *bench = *state;
    fmq_fetches_connect(bench->fetches, 0);
    begin(bench, 0, UINT64_MAX, NULL);
    uint32_t old = ticket(bench);
    deliver(bench, old, 0, 0);
    deliver(bench, old, 1, 0);
    assert_int_equal(next(bench, NULL, NULL), FMQ_EVENT_CHUNK); /* held by the actor */
    fmq_fetches_disconnect(bench->fetches);
    fmq_fetches_connect(bench->fetches, 10);
    const fmq_message_t *asked = last_of(&bench->sink, FMQ_MESSAGE_FETCH);
    assert_int_not_equal(asked->ticket, old);
    assert_int_equal(asked->index, 2);
    assert_int_equal(asked->credit, 1);
    deliver(bench, old, 2, 20); /* late, under the old ticket */
    assert_int_equal(next(bench, NULL, NULL), FMQ_EVENT_CHUNK);
    assert_int_equal(next(bench, NULL, NULL), -1);
}

static void a_gap_or_a_long_silence_is_asked_about_again(void **state)
{
    bench_t *bench = *state;
    fmq_fetches_connect(bench->fetches, 0);
    begin(bench, 0, UINT64_MAX, NULL);
    deliver(bench, ticket(bench), 1, 0);
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_FETCH), 2);
    fmq_fetches_tick(bench->fetches, QUIET - 1);
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_FETCH), 2);
    fmq_fetches_tick(bench->fetches, QUIET);
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_FETCH), 3);
}

static void what_is_here_needs_no_router(void **state)
{
    bench_t *bench = *state;
    begin(bench, 3, UINT64_MAX, bench->object);
    uint32_t index;
    assert_int_equal(next(bench, &index, NULL), FMQ_EVENT_CHUNK);
    assert_int_equal(index, 3);
    assert_int_equal(next(bench, NULL, NULL), FMQ_EVENT_CHUNK);
    assert_int_equal(next(bench, NULL, NULL), FMQ_EVENT_FETCHED);
    begin(bench, 0, UINT64_MAX, bench->object);
    for (int i = 0; i < WINDOW; i++)
        assert_int_equal(next(bench, NULL, NULL), FMQ_EVENT_CHUNK);
    assert_int_equal(next(bench, NULL, NULL), -1);
    fmq_fetches_consumed(bench->fetches, 7);
    assert_int_equal(next(bench, NULL, NULL), FMQ_EVENT_CHUNK);
    fmq_fetches_cancel(bench->fetches, 7);
    assert_int_equal(next(bench, NULL, NULL), -1);
    assert_int_equal(bench->sink.count, 0);
}

static void too_large_too_short_and_contradictory_objects_fail(void **state)
{
    bench_t *bench = *state;
    fmq_error_t error;
    begin(bench, 0, 10, bench->object);
    assert_int_equal(next(bench, NULL, &error), FMQ_EVENT_FAILED);
    assert_int_equal(error.code, FMQ_ERR_LIMIT);
    begin(bench, 6, UINT64_MAX, bench->object);
    assert_int_equal(next(bench, NULL, &error), FMQ_EVENT_FAILED);
    assert_int_equal(error.code, FMQ_ERR_MISMATCH);
    fmq_fetches_connect(bench->fetches, 0);
    begin(bench, 0, FMQ_CHUNK_MAX, NULL);
    deliver(bench, ticket(bench), 0, 0);
    deliver(bench, ticket(bench), 1, 0);
    assert_int_equal(next(bench, NULL, &error), FMQ_EVENT_FAILED);
    assert_int_equal(error.code, FMQ_ERR_LIMIT);
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_CANCEL), 1);
    begin(bench, 0, UINT64_MAX, NULL);
    deliver(bench, ticket(bench), 0, 0);
    fmq_message_t other = {
        .type = FMQ_MESSAGE_CHUNK, .ticket = ticket(bench), .index = 1, .chunks = 4};
    fmq_frame_t *payload = fmq_frame_copy("x", 1);
    fmq_fetches_chunk(bench->fetches, &other, &payload, 0);
    fmq_frame_destroy(&payload);
    assert_int_equal(next(bench, NULL, &error), FMQ_EVENT_FAILED);
    assert_int_equal(error.code, FMQ_ERR_FORMAT);
    begin(bench, 0, UINT64_MAX, NULL);
    for (uint32_t i = 0; i < 4; i++) /* one more than there is credit for */
        deliver(bench, ticket(bench), i, 0);
    assert_int_equal(next(bench, NULL, &error), FMQ_EVENT_FAILED);
}

static void the_routers_reason_is_the_actors(void **state)
{
    bench_t *bench = *state;
    fmq_error_t error;
    fmq_fetches_connect(bench->fetches, 0);
    begin(bench, 0, UINT64_MAX, NULL);
    fmq_message_t gone = {.type = FMQ_MESSAGE_GONE,
                          .ticket = ticket(bench),
                          .code = FMQ_ERR_DENIED,
                          .reason = "not for you"};
    fmq_fetches_gone(bench->fetches, &gone);
    assert_int_equal(next(bench, NULL, &error), FMQ_EVENT_FAILED);
    assert_int_equal(error.code, FMQ_ERR_DENIED);
    assert_non_null(strstr(error.text, "not for you"));
    assert_non_null(strstr(error.text, "'client-1'"));
}

static void a_socket_that_is_full_is_tried_again(void **state)
{
    bench_t *bench = *state;
    fmq_fetches_connect(bench->fetches, 0);
    bench->sink.full = true;
    begin(bench, 0, UINT64_MAX, NULL);
    bench->sink.full = false;
    fmq_fetches_tick(bench->fetches, 5);
    deliver(bench, ticket(bench), 0, 5);
    assert_int_equal(next(bench, NULL, NULL), FMQ_EVENT_CHUNK);
    bench->sink.full = true;
    fmq_fetches_consumed(bench->fetches, 7);
    bench->sink.full = false;
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_CREDIT), 0);
    fmq_fetches_tick(bench->fetches, 6);
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_CREDIT), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(credit_goes_back_chunk_by_chunk),
        TEST(a_reconnect_asks_for_what_is_missing_with_the_credit_that_is_free),
        TEST(a_gap_or_a_long_silence_is_asked_about_again),
        TEST(what_is_here_needs_no_router),
        TEST(too_large_too_short_and_contradictory_objects_fail),
        TEST(the_routers_reason_is_the_actors),
        TEST(a_socket_that_is_full_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
