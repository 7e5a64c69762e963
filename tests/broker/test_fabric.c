/*
 * test_fabric.c - router and links together: notes, members, objects; every
 * test over inproc and over tcp.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/broker/fabric.h"

#define MEGABYTE (1024u * 1024)

/* The router's address and whether the test runs over tcp. */
typedef struct {
    const char *bind;
    char endpoint[FMQ_ENDPOINT_MAX];
    fmq_router_t *router;
} place_t;

static void start(place_t *place)
{
    place->router = fabric_router(place->endpoint[0] ? place->endpoint : place->bind, NULL);
    assert_non_null(place->router);
    (void)snprintf(place->endpoint, sizeof place->endpoint, "%s",
                   fmq_router_endpoint(place->router, 0));
}

static int setup_inproc(void **state)
{
    place_t *place = calloc(1, sizeof *place);
    place->bind = "inproc://fabric";
    *state = place;
    start(place);
    return 0;
}

static int setup_tcp(void **state)
{
    place_t *place = calloc(1, sizeof *place);
    place->bind = "tcp://127.0.0.1:*";
    *state = place;
    start(place);
    return 0;
}

static int teardown(void **state)
{
    place_t *place = *state;
    fmq_router_destroy(&place->router);
    free(place);
    return 0;
}

static void a_link_comes_up_and_servers_see_members_come_and_go(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_true(fabric_await(server, FMQ_EVENT_UP, &event));
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(client, FMQ_EVENT_UP, &event));
    assert_true(fabric_await_member(server, "client-1", true, &event));
    assert_int_equal(event.role, FMQ_ROLE_CLIENT);
    fmq_link_set_progress(client, 3, 10);
    do
        assert_true(fabric_await_member(server, "client-1", true, &event));
    while (event.step != 3);
    assert_true(event.steps == 10);
    fmq_link_close(&client, 0);
    assert_null(client);
    assert_true(fabric_await_member(server, "client-1", false, &event));
    fmq_link_close(&server, 0);
}

static void everybody_hears_of_servers_and_of_nobody_else(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    fmq_link_t *other = fabric_link(place->endpoint, "client-2", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(other, FMQ_EVENT_UP, &event));
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_true(fabric_await_for(client, FMQ_EVENT_MEMBER, &event, FABRIC_PATIENCE_MS));
    assert_string_equal(event.member, "server");
    assert_int_equal(event.role, FMQ_ROLE_SERVER);
    assert_true(event.alive);
    fmq_link_close(&other, 0);
    fmq_link_close(&server, 0);
    assert_true(fabric_await_for(client, FMQ_EVENT_MEMBER, &event, FABRIC_PATIENCE_MS));
    assert_string_equal(event.member, "server");
    assert_false(event.alive);
    fmq_link_t *late = fabric_link(place->endpoint, "client-3", FMQ_ROLE_CLIENT);
    assert_true(fabric_await_member(late, "server", false, &event));
    assert_false(fabric_await_for(client, FMQ_EVENT_MEMBER, &event, 150));
    fmq_link_close(&late, 0);
    fmq_link_close(&client, 0);
}

static void a_note_reaches_a_name_a_role_and_everybody(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    fmq_link_t *one = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    fmq_link_t *two = fabric_link(place->endpoint, "client-2", FMQ_ROLE_CLIENT);
    assert_int_equal(fmq_link_note(server, "client-2", "task", "two", 3, NULL), 0);
    assert_true(fabric_await_note(two, "task", &event));
    assert_int_equal(event.size, 3);
    assert_memory_equal(event.data, "two", 3);
    assert_string_equal(event.member, "server");
    assert_int_equal(event.role, FMQ_ROLE_SERVER);
    assert_int_equal(fmq_link_note(server, "@client", "role", "", 0, NULL), 0);
    assert_true(fabric_await_note(one, "role", &event));
    assert_int_equal(event.size, 0);
    assert_true(fabric_await_note(two, "role", &event));
    assert_int_equal(fmq_link_note(server, "*", "all", "x", 1, NULL), 0);
    assert_true(fabric_await_note(one, "all", &event));
    assert_true(fabric_await_note(two, "all", &event));
    assert_int_equal(fmq_link_note(one, "server", "report", "r", 1, NULL), 0);
    assert_true(fabric_await_note(server, "report", &event));
    assert_string_equal(event.member, "client-1");
    assert_false(fabric_await_for(one, FMQ_EVENT_NOTE, &event, 150));
    fmq_link_close(&one, 0);
    fmq_link_close(&two, 0);
    fmq_link_close(&server, 0);
}

static void a_late_joiner_gets_the_newest_note_only(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    for (char body = 'a'; body <= 'e'; body++)
        assert_int_equal(fmq_link_note(server, "*", "run", &body, 1, NULL), 0);
    assert_int_equal(fmq_link_note(server, "client-9", "task", "t", 1, NULL), 0);
    fmq_link_close(&server, 2000);
    fmq_link_t *late = fabric_link(place->endpoint, "client-9", FMQ_ROLE_CLIENT);
    assert_true(fabric_await_note(late, "run", &event));
    assert_memory_equal(event.data, "e", 1);
    fmq_link_close(&late, 0);
    late = fabric_link(place->endpoint, "client-9", FMQ_ROLE_CLIENT);
    assert_true(fabric_await_note(late, "task", &event));
    fmq_link_close(&late, 0);
}

static void a_busy_actor_finds_one_event_per_note(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(client, FMQ_EVENT_UP, &event));
    uint32_t newest = 499, seen = 0, last = 0;
    for (uint32_t i = 0; i <= newest; i++)
        assert_int_equal(fmq_link_note(server, "client-1", "task", &i, sizeof i, NULL), 0);
    uint64_t version = 0;
    while (last != newest) {
        assert_true(fabric_await_note(client, "task", &event));
        assert_true(event.version > version);
        version = event.version;
        memcpy(&last, event.data, sizeof last);
        seen++;
    }
    assert_true(seen <= newest);
    fmq_link_close(&client, 0);
    fmq_link_close(&server, 0);
}

static void a_restarted_sender_outdoes_its_former_life(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_int_equal(fmq_link_note(server, "*", "run", "old", 3, NULL), 0);
    assert_true(fabric_await_note(client, "run", &event));
    uint64_t version = event.version;
    fmq_link_close(&server, 1000);
    server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_int_equal(fmq_link_note(server, "*", "run", "new", 3, NULL), 0);
    assert_true(fabric_await_note(client, "run", &event));
    assert_memory_equal(event.data, "new", 3);
    assert_true(event.version > version);
    fmq_link_close(&server, 0);
    fmq_link_close(&client, 0);
}

static void check_fetch(place_t *place, size_t size, uint32_t first)
{
    fmq_event_t event;
    fmq_object_t *object = fabric_object(size, (unsigned)size);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_true(fabric_await(server, FMQ_EVENT_UP, &event));
    assert_int_equal(fmq_link_publish(client, object, "server", NULL), 0);
    assert_int_equal(fmq_link_fetch(server, "client-1", digest, first, size, NULL), 0);
    fabric_fetch_t fetched = fabric_follow(server, digest, first, FABRIC_PATIENCE_MS);
    assert_int_equal(fetched.end, FMQ_EVENT_FETCHED);
    assert_true(fetched.ordered);
    assert_int_equal(fetched.chunks, fmq_object_chunks(object) - first);
    if (first == 0)
        assert_true(fmq_digest_equal(&fetched.digest, digest));
    assert_true(fmq_link_traffic(server).payload_received == fetched.bytes);
    for (int i = 0; i < 100 && fmq_link_traffic(client).payload_sent != fetched.bytes; i++)
        (void)fmq_link_receive(client, 10, &event, NULL); /* it counts after it has sent */
    assert_true(fmq_link_traffic(client).payload_sent == fetched.bytes);
    assert_true(fmq_link_traffic(client).wire_sent > fetched.bytes);
    fmq_link_close(&server, 0);
    fmq_link_close(&client, 0);
    fmq_object_drop(&object);
}

static void an_update_is_relayed_to_its_one_reader(void **state)
{
    check_fetch(*state, 8 * MEGABYTE + 5, 0);
    check_fetch(*state, 1, 0);
    check_fetch(*state, 0, 0);
    check_fetch(*state, 3 * MEGABYTE, 5);
    check_fetch(*state, 3 * MEGABYTE, 12);
}

static void an_object_for_many_travels_once_to_the_store(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_object_t *object = fabric_object(3 * MEGABYTE, 4);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_true(fabric_await(server, FMQ_EVENT_UP, &event));
    assert_int_equal(fmq_link_publish(server, object, "@client", NULL), 0);
    for (int i = 0; i < 3; i++) {
        fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
        assert_int_equal(fmq_link_fetch(client, "server", digest, 0, 4 * MEGABYTE, NULL), 0);
        fabric_fetch_t fetched = fabric_follow(client, digest, 0, FABRIC_PATIENCE_MS);
        assert_int_equal(fetched.end, FMQ_EVENT_FETCHED);
        assert_true(fmq_digest_equal(&fetched.digest, digest));
        fmq_link_close(&client, 0);
    }
    assert_true(fmq_link_traffic(server).payload_sent == 3 * MEGABYTE);
    fmq_link_close(&server, 0);
    fmq_object_drop(&object);
}

static void who_may_not_read_is_told_so(void **state)
{
    place_t *place = *state;
    fmq_error_t err;
    fmq_object_t *object = fabric_object(1000, 4);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_link_t *owner = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    fmq_link_t *nosy = fabric_link(place->endpoint, "client-2", FMQ_ROLE_CLIENT);
    fmq_event_t event;
    assert_true(fabric_await(owner, FMQ_EVENT_UP, &event));
    assert_int_equal(fmq_link_publish(owner, object, "client-2", &err), 0);
    assert_int_equal(fmq_link_publish(owner, object, "*", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_DENIED);
    assert_int_equal(fmq_link_publish(owner, object, "server", &err), 0);
    assert_int_equal(fmq_link_fetch(nosy, "client-1", digest, 0, 1000, NULL), 0);
    fabric_fetch_t fetched = fabric_follow(nosy, digest, 0, FABRIC_PATIENCE_MS);
    assert_int_equal(fetched.end, FMQ_EVENT_FAILED);
    assert_int_equal(fetched.chunks, 0);
    assert_int_equal(fetched.error.code, FMQ_ERR_DENIED);
    fmq_link_close(&nosy, 0);
    fmq_link_close(&owner, 0);
    fmq_object_drop(&object);
}

static void what_nobody_has_fails_in_time(void **state)
{
    place_t *place = *state;
    fmq_digest_t digest = fmq_digest_of("nothing", 7);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    int64_t began = fmq_clock_ms();
    assert_int_equal(fmq_link_fetch(server, "client-1", &digest, 0, 1000, NULL), 0);
    fabric_fetch_t fetched = fabric_follow(server, &digest, 0, FABRIC_PATIENCE_MS);
    assert_int_equal(fetched.end, FMQ_EVENT_FAILED);
    assert_int_equal(fetched.error.code, FMQ_ERR_NOTFOUND);
    assert_true(fmq_clock_ms() - began < 3 * FABRIC_TIMEOUT_MS);
    fmq_link_close(&server, 0);
}

static void an_object_larger_than_expected_is_refused(void **state)
{
    place_t *place = *state;
    fmq_object_t *object = fabric_object(MEGABYTE, 4);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_int_equal(fmq_link_publish(client, object, "server", NULL), 0);
    assert_int_equal(fmq_link_fetch(server, "client-1", digest, 0, MEGABYTE - 1, NULL), 0);
    fabric_fetch_t fetched = fabric_follow(server, digest, 0, FABRIC_PATIENCE_MS);
    assert_int_equal(fetched.end, FMQ_EVENT_FAILED);
    assert_int_equal(fetched.error.code, FMQ_ERR_LIMIT);
    fmq_link_close(&server, 0);
    fmq_link_close(&client, 0);
    fmq_object_drop(&object);
}

static void a_slow_reader_gets_no_more_than_its_window(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_object_t *object = fabric_object(20 * FMQ_CHUNK_MAX, 4);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_int_equal(fmq_link_publish(client, object, "server", NULL), 0);
    assert_int_equal(fmq_link_fetch(server, "client-1", digest, 0, UINT64_MAX, NULL), 0);
    assert_true(fabric_await(server, FMQ_EVENT_CHUNK, &event));
    assert_false(fabric_await_for(client, FMQ_EVENT_CHUNK, &event, 200));
    assert_true(fmq_link_traffic(client).payload_sent == 8 * (uint64_t)FMQ_CHUNK_MAX);
    assert_true(fabric_await(server, FMQ_EVENT_CHUNK, &event));
    assert_int_equal(event.index, 1);
    assert_false(fabric_await_for(client, FMQ_EVENT_CHUNK, &event, 200));
    assert_true(fmq_link_traffic(client).payload_sent == 9 * (uint64_t)FMQ_CHUNK_MAX);
    assert_int_equal(fmq_link_cancel(server, digest, NULL), 0);
    assert_false(fabric_await_for(server, FMQ_EVENT_CHUNK, &event, 200));
    assert_int_equal(fmq_link_fetch(server, "client-1", digest, 0, UINT64_MAX, NULL), 0);
    fabric_fetch_t fetched = fabric_follow(server, digest, 0, FABRIC_PATIENCE_MS);
    assert_int_equal(fetched.end, FMQ_EVENT_FETCHED);
    assert_true(fmq_digest_equal(&fetched.digest, digest));
    fmq_link_close(&server, 0);
    fmq_link_close(&client, 0);
    fmq_object_drop(&object);
}

#define MANY 200

static void many_links_of_one_process_exchange_notes(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    static fmq_link_t *links[MANY];
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    for (int i = 0; i < MANY; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "client-%d", i);
        links[i] = fabric_link(place->endpoint, name, FMQ_ROLE_CLIENT);
        assert_int_equal(fmq_link_note(server, name, "task", &i, sizeof i, NULL), 0);
    }
    for (int i = 0; i < MANY; i++) {
        int body;
        assert_true(fabric_await_note(links[i], "task", &event));
        memcpy(&body, event.data, sizeof body);
        assert_int_equal(body, i);
        assert_int_equal(fmq_link_note(links[i], "server", "report", "x", 1, NULL), 0);
    }
    for (int i = 0; i < MANY; i++)
        assert_true(fabric_await_note(server, "report", &event));
    for (int i = 0; i < MANY; i++)
        fmq_link_close(&links[i], 0);
    fmq_link_close(&server, 0);
    assert_int_equal(fmq_router_counters(place->router).dropped_malformed, 0);
    assert_int_equal(fmq_router_counters(place->router).dropped_denied, 0);
}

#define OVER_BOTH(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, setup_inproc, teardown),                                 \
        cmocka_unit_test_setup_teardown(test, setup_tcp, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_BOTH(a_link_comes_up_and_servers_see_members_come_and_go),
        OVER_BOTH(everybody_hears_of_servers_and_of_nobody_else),
        OVER_BOTH(a_note_reaches_a_name_a_role_and_everybody),
        OVER_BOTH(a_late_joiner_gets_the_newest_note_only),
        OVER_BOTH(a_busy_actor_finds_one_event_per_note),
        OVER_BOTH(a_restarted_sender_outdoes_its_former_life),
        OVER_BOTH(an_update_is_relayed_to_its_one_reader),
        OVER_BOTH(an_object_for_many_travels_once_to_the_store),
        OVER_BOTH(who_may_not_read_is_told_so),
        OVER_BOTH(what_nobody_has_fails_in_time),
        OVER_BOTH(an_object_larger_than_expected_is_refused),
        OVER_BOTH(a_slow_reader_gets_no_more_than_its_window),
        OVER_BOTH(many_links_of_one_process_exchange_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
