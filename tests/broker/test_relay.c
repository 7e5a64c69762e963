/*
 * test_relay.c - chunks through the router, without sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/relay.h"
#include "tests/broker/fabric.h"
#include "tests/broker/recorder.h"

#define GRACE 100

typedef struct {
    recorder_t sink;
    fmq_store_t *store;
    fmq_catalog_t *catalog;
    fmq_relays_t *relays;
    fmq_object_t *object; /* five chunks */
} bench_t;

static int setup(void **state)
{
    bench_t *bench = calloc(1, sizeof *bench);
    bench->store = fmq_store_new(UINT64_MAX);
    bench->catalog = fmq_catalog_new();
    bench->object = fabric_object(4 * FMQ_CHUNK_MAX + 10, 1);
    fmq_relays_options_t options = {.store = bench->store,
                                    .catalog = bench->catalog,
                                    .grace_ms = GRACE,
                                    .send = record_to,
                                    .argument = &bench->sink};
    bench->relays = fmq_relays_new(&options);
    *state = bench;
    return bench->relays ? 0 : -1;
}

static int teardown(void **state)
{
    bench_t *bench = *state;
    fmq_relays_destroy(&bench->relays);
    fmq_catalog_destroy(&bench->catalog);
    fmq_store_destroy(&bench->store);
    fmq_object_drop(&bench->object);
    free(bench);
    return 0;
}

static void publish(bench_t *bench, const char *owner, fmq_role_t role, const char *readers)
{
    fmq_message_t message = {.type = FMQ_MESSAGE_PUBLISH,
                             .digest = *fmq_object_digest(bench->object),
                             .bytes = fmq_object_bytes(bench->object),
                             .chunks = fmq_object_chunks(bench->object)};
    (void)snprintf(message.audience, sizeof message.audience, "%s", readers);
    fmq_publication_t *publication = fmq_catalog_put(bench->catalog, owner, role, &message, NULL);
    assert_non_null(publication);
    fmq_relays_published(bench->relays, publication, 0);
}

static int fetch(bench_t *bench, const char *reader, uint32_t ticket, uint32_t credit, int64_t now)
{
    fmq_message_t message = {.type = FMQ_MESSAGE_FETCH,
                             .ticket = ticket,
                             .name = "client-1",
                             .digest = *fmq_object_digest(bench->object),
                             .credit = credit};
    return fmq_relays_fetch(bench->relays, reader, FMQ_ROLE_SERVER, &message, now, NULL);
}

/* client-1 sends chunk `index` under a ticket of the router's. */
static int chunk(bench_t *bench, uint32_t ticket, uint32_t index)
{
    fmq_message_t message = {
        .type = FMQ_MESSAGE_CHUNK, .ticket = ticket, .index = index, .chunks = 5};
    fmq_frame_t *payload = fmq_frame_of_chunk(bench->object, index, NULL);
    int rc = fmq_relays_chunk(bench->relays, "client-1", &message, &payload, 0, NULL);
    fmq_frame_destroy(&payload);
    return rc;
}

static int credit(bench_t *bench, const char *reader, uint32_t ticket, uint32_t amount)
{
    fmq_message_t message = {.type = FMQ_MESSAGE_CREDIT, .ticket = ticket, .credit = amount};
    return fmq_relays_credit(bench->relays, reader, &message, NULL);
}

static void credit_and_chunks_are_passed_on_under_two_tickets(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    assert_int_equal(fetch(bench, "server", 77, 2, 0), 0);
    const fmq_message_t *asked = last_of(&bench->sink, FMQ_MESSAGE_FETCH);
    assert_non_null(asked);
    assert_int_equal(asked->credit, 2);
    assert_string_equal(asked->name, "server");
    uint32_t ticket = asked->ticket;
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(chunk(bench, ticket, i), 0);
        assert_int_equal(last_of(&bench->sink, FMQ_MESSAGE_CHUNK)->ticket, 77);
        assert_int_equal(last_of(&bench->sink, FMQ_MESSAGE_CHUNK)->index, i);
        assert_int_equal(credit(bench, "server", 77, 1), 0);
    }
    assert_int_equal(recorded(&bench->sink, "server", FMQ_MESSAGE_CHUNK), 5);
    assert_int_equal(recorded(&bench->sink, "client-1", FMQ_MESSAGE_CREDIT), 4);
    assert_int_equal(fmq_relays_size(bench->relays), 0);
}

static void an_owner_may_not_send_what_was_not_asked(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    (void)fetch(bench, "server", 77, 1, 0);
    uint32_t ticket = last_of(&bench->sink, FMQ_MESSAGE_FETCH)->ticket;
    assert_int_equal(chunk(bench, ticket + 1, 0), 0); /* of another time: no blame */
    assert_int_equal(chunk(bench, ticket, 1), -1);
    assert_int_equal(chunk(bench, ticket, 0), 0);
    assert_int_equal(chunk(bench, ticket, 1), -1); /* no credit */
    fmq_error_t err;
    fmq_message_t message = {.type = FMQ_MESSAGE_CHUNK, .ticket = ticket, .index = 1, .chunks = 5};
    fmq_frame_t *payload = fmq_frame_copy("x", 1);
    assert_int_equal(fmq_relays_chunk(bench->relays, "client-2", &message, &payload, 0, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_DENIED);
    fmq_frame_destroy(&payload);
    assert_int_equal(recorded(&bench->sink, "server", FMQ_MESSAGE_CHUNK), 1);
}

static void a_reader_may_not_grant_without_end(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    (void)fetch(bench, "server", 77, FMQ_WIRE_CREDIT_MAX, 0);
    assert_int_equal(credit(bench, "server", 77, 1), -1);
    assert_int_equal(credit(bench, "server", 78, 1), 0);
}

static void chunks_that_the_reader_cannot_take_wait_in_order(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    (void)fetch(bench, "server", 77, 5, 0);
    uint32_t ticket = last_of(&bench->sink, FMQ_MESSAGE_FETCH)->ticket;
    bench->sink.full = true;
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(chunk(bench, ticket, i), 0);
    assert_true(fmq_relays_blocked(bench->relays));
    assert_int_equal(fmq_relays_size(bench->relays), 1);
    bench->sink.full = false;
    fmq_relays_tick(bench->relays, 1);
    assert_false(fmq_relays_blocked(bench->relays));
    assert_int_equal(recorded(&bench->sink, "server", FMQ_MESSAGE_CHUNK), 5);
    assert_int_equal(last_of(&bench->sink, FMQ_MESSAGE_CHUNK)->index, 4);
    assert_int_equal(fmq_relays_size(bench->relays), 0);
}

static void an_object_for_many_is_pulled_once_and_served_from_the_store(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_SERVER, "*");
    const fmq_message_t *asked = last_of(&bench->sink, FMQ_MESSAGE_FETCH);
    assert_string_equal(asked->name, "client-1");
    uint32_t ticket = asked->ticket;
    assert_int_equal(fetch(bench, "server", 77, 3, 0), 0);
    assert_int_equal(recorded(&bench->sink, "client-1", FMQ_MESSAGE_FETCH), 1);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(chunk(bench, ticket, i), 0);
    assert_int_equal(fmq_store_size(bench->store), 1);
    assert_int_equal(recorded(&bench->sink, "server", FMQ_MESSAGE_CHUNK), 3);
    assert_int_equal(credit(bench, "server", 77, 2), 0);
    assert_int_equal(recorded(&bench->sink, "server", FMQ_MESSAGE_CHUNK), 5);
    assert_int_equal(fmq_relays_size(bench->relays), 0);
}

static void a_pull_with_a_wrong_digest_leaves_the_object_with_its_owner(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_SERVER, "*");
    uint32_t ticket = last_of(&bench->sink, FMQ_MESSAGE_FETCH)->ticket;
    fmq_message_t message = {.type = FMQ_MESSAGE_CHUNK, .ticket = ticket, .chunks = 1};
    fmq_frame_t *payload = fmq_frame_copy("lie", 3);
    assert_int_equal(fmq_relays_chunk(bench->relays, "client-1", &message, &payload, 0, NULL), 0);
    fmq_frame_destroy(&payload);
    assert_int_equal(fmq_store_size(bench->store), 0);
    assert_int_equal(fmq_relays_size(bench->relays), 0);
    assert_int_equal(fetch(bench, "server", 77, 3, 0), 0);
    assert_string_equal(last_of(&bench->sink, FMQ_MESSAGE_FETCH)->name, "server");
}

static void what_is_shared_travels_nowhere_and_is_served_at_once(void **state)
{
    bench_t *bench = *state;
    assert_int_equal(fmq_store_put(bench->store, bench->object, "client-1", "*", NULL), 0);
    publish(bench, "client-1", FMQ_ROLE_SERVER, "*");
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_FETCH), 0);
    assert_int_equal(fetch(bench, "server", 1, 8, 0), 0);
    assert_int_equal(recorded(&bench->sink, "server", FMQ_MESSAGE_CHUNK), 5);
}

static void a_missing_object_is_waited_for_and_then_given_up(void **state)
{
    bench_t *bench = *state;
    assert_int_equal(fetch(bench, "server", 77, 3, 0), 0);
    fmq_relays_tick(bench->relays, GRACE - 1);
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_GONE), 0);
    fmq_relays_tick(bench->relays, GRACE);
    assert_int_equal(recorded(&bench->sink, "server", FMQ_MESSAGE_GONE), 1);
    assert_int_equal(last_of(&bench->sink, FMQ_MESSAGE_GONE)->code, FMQ_ERR_NOTFOUND);
    assert_int_equal(fetch(bench, "server", 78, 3, 200), 0);
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    assert_int_equal(recorded(&bench->sink, "client-1", FMQ_MESSAGE_FETCH), 1);
}

static void asking_again_does_not_begin_to_wait_again(void **state)
{
    bench_t *bench = *state;
    (void)fetch(bench, "server", 77, 8, 0);
    (void)fetch(bench, "server", 78, 8, GRACE - 10);
    fmq_relays_tick(bench->relays, GRACE - 1);
    assert_int_equal(recorded(&bench->sink, NULL, FMQ_MESSAGE_GONE), 0);
    fmq_relays_tick(bench->relays, GRACE);
    assert_int_equal(last_of(&bench->sink, FMQ_MESSAGE_GONE)->ticket, 78);
    (void)fetch(bench, "server", 79, 8, GRACE); /* after an answer it does */
    fmq_relays_tick(bench->relays, 2 * GRACE - 1);
    assert_int_equal(fmq_relays_size(bench->relays), 1);
}

static void a_lost_owner_is_asked_again_where_it_stopped(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    (void)fetch(bench, "server", 77, 4, 0);
    uint32_t ticket = last_of(&bench->sink, FMQ_MESSAGE_FETCH)->ticket;
    (void)chunk(bench, ticket, 0);
    (void)chunk(bench, ticket, 1);
    (void)snprintf(bench->sink.absent, sizeof bench->sink.absent, "client-1");
    fmq_relays_lost(bench->relays, "client-1", false, 10);
    fmq_relays_tick(bench->relays, 50);
    assert_int_equal(fmq_relays_size(bench->relays), 1);
    bench->sink.absent[0] = '\0';
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    const fmq_message_t *asked = last_of(&bench->sink, FMQ_MESSAGE_FETCH);
    assert_int_not_equal(asked->ticket, ticket);
    assert_int_equal(asked->index, 2);
    assert_int_equal(asked->credit, 2);
    assert_int_equal(chunk(bench, ticket, 2), 0); /* late, under the old ticket */
    assert_int_equal(recorded(&bench->sink, "server", FMQ_MESSAGE_CHUNK), 2);
}

static void a_departed_owner_ends_its_fetches_at_once(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    (void)fetch(bench, "server", 77, 4, 0);
    fmq_relays_lost(bench->relays, "client-1", true, 10);
    assert_int_equal(recorded(&bench->sink, "server", FMQ_MESSAGE_GONE), 1);
    assert_int_equal(fmq_relays_size(bench->relays), 0);
}

static void a_new_fetch_of_a_digest_replaces_the_older(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    (void)fetch(bench, "server", 1, 4, 0);
    (void)fetch(bench, "server", 2, 4, 0);
    assert_int_equal(fmq_relays_size(bench->relays), 1);
    assert_int_equal(recorded(&bench->sink, "client-1", FMQ_MESSAGE_CANCEL), 1);
    fmq_relays_cancel(bench->relays, "server", 1);
    assert_int_equal(fmq_relays_size(bench->relays), 1);
    fmq_relays_cancel(bench->relays, "server", 2);
    assert_int_equal(fmq_relays_size(bench->relays), 0);
    assert_int_equal(recorded(&bench->sink, "client-1", FMQ_MESSAGE_CANCEL), 2);
}

static void the_reason_of_an_owner_reaches_the_reader(void **state)
{
    bench_t *bench = *state;
    publish(bench, "client-1", FMQ_ROLE_CLIENT, "server");
    (void)fetch(bench, "server", 9, 4, 0);
    fmq_message_t gone = {.type = FMQ_MESSAGE_GONE,
                          .ticket = last_of(&bench->sink, FMQ_MESSAGE_FETCH)->ticket,
                          .code = FMQ_ERR_NOTFOUND,
                          .reason = "no more"};
    fmq_relays_gone(bench->relays, "client-2", &gone, 0);
    assert_int_equal(fmq_relays_size(bench->relays), 1);
    fmq_relays_gone(bench->relays, "client-1", &gone, 0);
    assert_int_equal(last_of(&bench->sink, FMQ_MESSAGE_GONE)->ticket, 9);
    assert_string_equal(last_of(&bench->sink, FMQ_MESSAGE_GONE)->reason, "no more");
}

static void a_greedy_reader_meets_its_limit(void **state)
{
    bench_t *bench = *state;
    fmq_message_t message = {.type = FMQ_MESSAGE_FETCH, .name = "client-1", .credit = 1};
    for (uint32_t i = 0; i <= FMQ_RELAYS_READER_MAX; i++) {
        message.ticket = i;
        message.digest = fmq_digest_of(&i, sizeof i);
        int rc = fmq_relays_fetch(bench->relays, "server", FMQ_ROLE_SERVER, &message, 0, NULL);
        assert_int_equal(rc, i < FMQ_RELAYS_READER_MAX ? 0 : -1);
    }
    assert_int_equal(last_of(&bench->sink, FMQ_MESSAGE_GONE)->code, FMQ_ERR_LIMIT);
    fmq_relays_lost(bench->relays, "server", false, 0);
    assert_int_equal(fmq_relays_size(bench->relays), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(credit_and_chunks_are_passed_on_under_two_tickets),
        TEST(an_owner_may_not_send_what_was_not_asked),
        TEST(a_reader_may_not_grant_without_end),
        TEST(chunks_that_the_reader_cannot_take_wait_in_order),
        TEST(an_object_for_many_is_pulled_once_and_served_from_the_store),
        TEST(a_pull_with_a_wrong_digest_leaves_the_object_with_its_owner),
        TEST(what_is_shared_travels_nowhere_and_is_served_at_once),
        TEST(a_missing_object_is_waited_for_and_then_given_up),
        TEST(asking_again_does_not_begin_to_wait_again),
        TEST(a_lost_owner_is_asked_again_where_it_stopped),
        TEST(a_departed_owner_ends_its_fetches_at_once),
        TEST(a_new_fetch_of_a_digest_replaces_the_older),
        TEST(the_reason_of_an_owner_reaches_the_reader),
        TEST(a_greedy_reader_meets_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
