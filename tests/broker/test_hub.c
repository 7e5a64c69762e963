/*
 * test_hub.c - many links of one process: one thread and one socket for all,
 * lanes that never mix, and what happens when the router is another.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/broker/raw.h"

#define MANY     500
#define INPROC   "inproc://hub"
#define LOOPBACK "tcp://127.0.0.1:*"

/* Entries of a directory of /proc/self: threads, or open files. */
static unsigned count_of(const char *directory)
{
    unsigned count = 0;
    DIR *entries = opendir(directory);
    assert_non_null(entries);
    for (const struct dirent *at = readdir(entries); at; at = readdir(entries))
        count += at->d_name[0] != '.';
    closedir(entries);
    return count;
}

static void count_news(void *argument)
{
    atomic_fetch_add((atomic_uint *)argument, 1);
}

typedef struct {
    fmq_hub_t *hub;
    fmq_store_t *store;
    fmq_link_t *links[MANY];
    atomic_uint news;
} crowd_t;

static void crowd_open(crowd_t *crowd, const char *endpoint)
{
    fmq_error_t err;
    memset(crowd, 0, sizeof *crowd);
    crowd->hub = fmq_hub_new(&err);
    crowd->store = fmq_store_new(1 << 20);
    assert_non_null(crowd->hub);
    for (unsigned i = 0; i < MANY; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "client-%u", i + 1);
        fmq_link_options_t options = {.endpoint = endpoint,
                                      .name = name,
                                      .role = FMQ_ROLE_CLIENT,
                                      .store = crowd->store,
                                      .hub = crowd->hub,
                                      .heartbeat_ms = 200,
                                      .timeout_ms = 2000,
                                      .notify = count_news,
                                      .notify_argument = &crowd->news};
        crowd->links[i] = fmq_link_open(&options, &err);
        assert_non_null(crowd->links[i]);
    }
}

static void crowd_close(crowd_t *crowd)
{
    for (unsigned i = 0; i < MANY; i++)
        fmq_link_leave(crowd->links[i], 2000);
    for (unsigned i = 0; i < MANY; i++)
        fmq_link_close(&crowd->links[i], 2000);
    fmq_hub_destroy(&crowd->hub);
    fmq_store_destroy(&crowd->store);
}

static void await_members(fmq_router_t *router, uint32_t wanted)
{
    int64_t end = fmq_clock_ms() + 4 * FABRIC_PATIENCE_MS;
    while (fmq_router_counters(router).members != wanted && fmq_clock_ms() < end)
        (void)zmq_poll(NULL, 0, 10);
    assert_int_equal(fmq_router_counters(router).members, wanted);
}

/* Awaits, from a link with notify, the next event of a type. */
static bool await_event(fmq_link_t *link, fmq_event_type_t type, fmq_event_t *event)
{
    int64_t end = fmq_clock_ms() + 2 * FABRIC_PATIENCE_MS;
    while (fmq_clock_ms() < end) {
        while (fmq_link_receive(link, 1000, event, NULL) == 1) /* does not wait */
            if (event->type == type)
                return true;
        (void)zmq_poll(NULL, 0, 1);
    }
    return false;
}

static fmq_router_t *slow_router(const char *endpoint, fmq_store_t *store)
{
    fmq_error_t err;
    fmq_router_options_t options = {
        .endpoints = {endpoint}, .store = store, .heartbeat_ms = 200, .timeout_ms = 2000};
    fmq_router_t *router = fmq_router_new(&options, &err);
    assert_non_null(router);
    return router;
}

/* Every link gets its own note and those for all, and nobody else's. */
static void exchange(crowd_t *crowd, const char *endpoint)
{
    fmq_event_t event;
    fmq_link_t *server = fabric_link(endpoint, "server", FMQ_ROLE_SERVER);
    assert_true(fabric_await(server, FMQ_EVENT_UP, &event));
    for (unsigned i = 0; i < MANY; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "client-%u", i + 1);
        assert_int_equal(fmq_link_note(server, name, "task", name, strlen(name), NULL), 0);
    }
    assert_int_equal(fmq_link_note(server, "@client", "all", "run", 3, NULL), 0);
    for (unsigned i = 0; i < MANY; i++) {
        bool own = false, all = false;
        char name[32];
        (void)snprintf(name, sizeof name, "client-%u", i + 1);
        while (!own || !all) {
            assert_true(await_event(crowd->links[i], FMQ_EVENT_NOTE, &event));
            bool task = strcmp(event.topic, "task") == 0;
            assert_memory_equal(event.data, task ? name : "run", event.size);
            assert_int_equal(event.size, task ? strlen(name) : 3);
            *(task ? &own : &all) = true;
        }
        assert_int_equal(fmq_link_note(crowd->links[i], "server", "report", name, 8, NULL), 0);
    }
    for (unsigned heard = 0; heard < MANY; heard++)
        assert_true(fabric_await(server, FMQ_EVENT_NOTE, &event));
    fmq_link_close(&server, 1000);
}

static void many_links_cost_neither_threads_nor_files(void **state)
{
    const char *bind = *state;
    static crowd_t crowd;
    fmq_router_t *router = slow_router(bind, NULL);
    const char *endpoint = fmq_router_endpoint(router, 0);
    unsigned threads = count_of("/proc/self/task"), files = count_of("/proc/self/fd");
    crowd_open(&crowd, endpoint);
    await_members(router, MANY);
    assert_in_range(count_of("/proc/self/task"), 0, threads + 1);
    assert_in_range(count_of("/proc/self/fd"), 0, files + 8);
    exchange(&crowd, endpoint);
    assert_true(atomic_load(&crowd.news) >= MANY);
    crowd_close(&crowd);
    await_members(router, 0); /* by their goodbyes: long before the timeout */
    fmq_router_destroy(&router);
}

static void all_links_find_a_router_that_takes_the_place_of_another(void **state)
{
    (void)state;
    static crowd_t crowd;
    fmq_router_t *router = slow_router(INPROC, NULL);
    crowd_open(&crowd, INPROC);
    await_members(router, MANY);
    fmq_router_destroy(&router);
    router = slow_router(INPROC, NULL);
    await_members(router, MANY);
    exchange(&crowd, INPROC);
    crowd_close(&crowd);
    fmq_router_destroy(&router);
}

/* A client's link on a hub. */
static fmq_link_t *member(fmq_hub_t *hub, const char *endpoint, const char *name)
{
    fmq_error_t err;
    fmq_link_options_t options = {
        .endpoint = endpoint, .role = FMQ_ROLE_CLIENT, .name = name, .hub = hub};
    fmq_link_t *link = fmq_link_open(&options, &err);
    assert_non_null(link);
    return link;
}

static void a_lane_that_was_closed_is_nobodys_again(void **state)
{
    (void)state;
    fmq_event_t event;
    fmq_router_t *router = slow_router(INPROC, NULL);
    fmq_hub_t *hub = fmq_hub_new(NULL);
    fmq_link_t *stays = member(hub, INPROC, "stays");
    fmq_link_t *server = fabric_link(INPROC, "server", FMQ_ROLE_SERVER);
    assert_true(fabric_await(server, FMQ_EVENT_UP, &event));
    for (unsigned life = 0; life < 50; life++) {
        char name[32];
        (void)snprintf(name, sizeof name, "client-%u", life);
        fmq_link_t *link = member(hub, INPROC, name);
        assert_true(fabric_await(link, FMQ_EVENT_UP, &event));
        for (unsigned i = 0; i < 20; i++) /* they are under way when it closes */
            assert_int_equal(fmq_link_note(server, name, "task", name, strlen(name), NULL), 0);
        assert_true(fabric_await(link, FMQ_EVENT_NOTE, &event));
        assert_memory_equal(event.data, name, event.size);
        assert_int_equal(event.size, strlen(name));
        fmq_link_close(&link, 0);
    }
    assert_int_equal(fmq_link_note(server, "stays", "task", "here", 4, NULL), 0);
    assert_true(fabric_await(stays, FMQ_EVENT_NOTE, &event));
    assert_memory_equal(event.data, "here", 4);
    fmq_link_close(&server, 0);
    fmq_link_close(&stays, 0);
    fmq_hub_destroy(&hub);
    fmq_router_destroy(&router);
}

/* The lane on which a member of that name says hello. */
static uint32_t await_hello(zsock_t *router, const char *name)
{
    int64_t end = fmq_clock_ms() + FABRIC_PATIENCE_MS;
    while (fmq_clock_ms() < end) {
        fmq_received_t in;
        while (fmq_socket_receive(router, true, &in, NULL) == 1) {
            fmq_frame_destroy(&in.payload);
            if (in.message.type == FMQ_MESSAGE_HELLO && strcmp(in.message.name, name) == 0)
                return in.route.lane;
        }
        (void)zmq_poll(NULL, 0, 1);
    }
    fail_msg("'%s' did not say hello", name);
    return 0;
}

static void links_that_come_and_go_never_have_the_lane_of_another(void **state)
{
    (void)state;
    fmq_error_t err;
    char resolved[FMQ_ENDPOINT_MAX];
    uint32_t lanes[6];
    zsock_t *router = fmq_socket_router(&err);
    assert_int_equal(fmq_socket_bind(router, "inproc://lanes", false, resolved, &err), 0);
    fmq_hub_t *hub = fmq_hub_new(&err);
    fmq_link_t *stays = member(hub, "inproc://lanes", "stays");
    lanes[0] = await_hello(router, "stays");
    assert_int_equal(lanes[0], 0); /* alone it speaks without lane frames */
    for (unsigned i = 1; i < 6; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "client-%u", i);
        fmq_link_t *link = member(hub, "inproc://lanes", name);
        lanes[i] = await_hello(router, name);
        for (unsigned j = 0; j < i; j++)
            assert_true(lanes[i] != lanes[j]);
        fmq_link_close(&link, 0);
    }
    fmq_link_close(&stays, 0);
    fmq_hub_destroy(&hub);
    zsock_destroy(&router);
}

/* A busy actor holds up neither its own hub nor the others on it: its events wait
 * in the port, and all of them come in the end. */
static void an_actor_that_does_not_listen_holds_nobody_up(void **state)
{
    (void)state;
    fmq_event_t event;
    fmq_router_t *router = slow_router(INPROC, NULL);
    fmq_hub_t *hub = fmq_hub_new(NULL);
    fmq_link_t *deaf = member(hub, INPROC, "deaf");
    fmq_link_t *awake = member(hub, INPROC, "awake");
    fmq_link_t *server = fabric_link(INPROC, "server", FMQ_ROLE_SERVER);
    assert_true(fabric_await(server, FMQ_EVENT_UP, &event));
    for (unsigned i = 0; i < 200; i++) {
        char topic[FMQ_TOPIC_MAX];
        (void)snprintf(topic, sizeof topic, "t%u", i);
        assert_int_equal(fmq_link_note(server, "deaf", topic, "x", 1, NULL), 0);
        assert_int_equal(fmq_link_note(server, "awake", topic, "x", 1, NULL), 0);
    }
    for (unsigned i = 0; i < 200; i++)
        assert_true(fabric_await(awake, FMQ_EVENT_NOTE, &event));
    for (unsigned i = 0; i < 200; i++)
        assert_true(fabric_await(deaf, FMQ_EVENT_NOTE, &event));
    fmq_link_close(&server, 0);
    fmq_link_close(&awake, 0);
    fmq_link_close(&deaf, 0);
    fmq_hub_destroy(&hub);
    fmq_router_destroy(&router);
}

static void say_hello_on(raw_t *raw, const uint8_t lane[5], const char *name)
{
    raw_bytes(raw, lane, 5, ZMQ_SNDMORE);
    raw_hello(raw, name, FMQ_ROLE_CLIENT, 7);
}

/* As docs/protocol.md has it, byte for byte. */
static void a_lane_frame_tells_the_members_of_a_connection_apart(void **state)
{
    const char *bind = *state;
    fmq_received_t in;
    fmq_router_t *router = slow_router(bind, NULL);
    raw_t raw = raw_open(fmq_router_endpoint(router, 0));
    static const uint8_t one[5] = {0xce, 0, 0, 0, 1}, big[5] = {0xce, 0x80, 0, 1, 2};
    raw_hello(&raw, "client-0", FMQ_ROLE_CLIENT, 7);
    assert_true(raw_await(&raw, FMQ_MESSAGE_WELCOME, &in));
    assert_int_equal(in.route.lane, 0);
    say_hello_on(&raw, one, "client-1");
    assert_true(raw_await(&raw, FMQ_MESSAGE_WELCOME, &in));
    assert_int_equal(in.route.lane, 1);
    say_hello_on(&raw, big, "client-2");
    assert_true(raw_await(&raw, FMQ_MESSAGE_WELCOME, &in));
    assert_true(in.route.lane == 0x80000102u);
    say_hello_on(&raw, one, "client-3"); /* a lane has one name */
    assert_true(raw_await(&raw, FMQ_MESSAGE_REFUSED, &in));
    assert_int_equal(in.route.lane, 1);
    await_members(router, 3);
    raw_bytes(&raw, one, 5, 0); /* a lane frame alone is no message */
    raw_bytes(&raw, one, 5, ZMQ_SNDMORE);
    raw_bytes(&raw, one, 5, 0);
    fmq_message_t bye = {.type = FMQ_MESSAGE_BYE};
    raw_bytes(&raw, big, 5, ZMQ_SNDMORE);
    raw_message(&raw, &bye, NULL, 0);
    await_members(router, 2);
    assert_true(fmq_router_counters(router).dropped_malformed == 2);
    zsock_destroy(&raw.socket);
    fmq_router_destroy(&router);
}

static int inproc(void **state)
{
    static char bind[] = INPROC;
    *state = bind;
    return 0;
}

static int tcp(void **state)
{
    static char bind[] = LOOPBACK;
    *state = bind;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(many_links_cost_neither_threads_nor_files, inproc),
        cmocka_unit_test_setup(many_links_cost_neither_threads_nor_files, tcp),
        cmocka_unit_test(all_links_find_a_router_that_takes_the_place_of_another),
        cmocka_unit_test(a_lane_that_was_closed_is_nobodys_again),
        cmocka_unit_test(links_that_come_and_go_never_have_the_lane_of_another),
        cmocka_unit_test(an_actor_that_does_not_listen_holds_nobody_up),
        cmocka_unit_test_setup(a_lane_frame_tells_the_members_of_a_connection_apart, inproc),
        cmocka_unit_test_setup(a_lane_frame_tells_the_members_of_a_connection_apart, tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
