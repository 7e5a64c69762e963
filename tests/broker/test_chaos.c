/*
 * test_chaos.c - the fabric when things go wrong: restarts, silence, rivals,
 * strangers and hostile bytes.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fedmq/broker/pack.h"
#include "tests/broker/fabric.h"
#include "tests/broker/mutation.h"
#include "tests/broker/raw.h"

#define MEGABYTE (1024u * 1024)

typedef struct {
    char endpoint[FMQ_ENDPOINT_MAX];
    fmq_router_t *router;
} place_t;

static int setup(void **state, const char *bind)
{
    place_t *place = calloc(1, sizeof *place);
    place->router = fabric_router(bind, NULL);
    *state = place;
    if (!place->router)
        return -1;
    (void)snprintf(place->endpoint, sizeof place->endpoint, "%s",
                   fmq_router_endpoint(place->router, 0));
    return 0;
}

static int setup_inproc(void **state)
{
    return setup(state, "inproc://chaos");
}

static int setup_tcp(void **state)
{
    return setup(state, "tcp://127.0.0.1:*");
}

static int teardown(void **state)
{
    place_t *place = *state;
    fmq_router_destroy(&place->router);
    free(place);
    return 0;
}

static void restart_router(place_t *place)
{
    fmq_router_destroy(&place->router);
    place->router = fabric_router(place->endpoint, NULL);
    assert_non_null(place->router);
}

static void notes_and_publications_survive_a_restart_of_the_router(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_object_t *object = fabric_object(2 * MEGABYTE, 9);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_int_equal(fmq_link_note(server, "*", "run", "r", 1, NULL), 0);
    assert_int_equal(fmq_link_publish(server, object, "*", NULL), 0);
    assert_true(fabric_await(server, FMQ_EVENT_UP, &event));
    restart_router(place);
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_true(fabric_await_note(client, "run", &event));
    assert_int_equal(fmq_link_fetch(client, "server", digest, 0, UINT64_MAX, NULL), 0);
    fabric_fetch_t fetched = fabric_follow(client, digest, 0, FABRIC_PATIENCE_MS);
    assert_int_equal(fetched.end, FMQ_EVENT_FETCHED);
    assert_true(fmq_digest_equal(&fetched.digest, digest));
    fmq_link_close(&client, 0);
    fmq_link_close(&server, 0);
    fmq_object_drop(&object);
}

static void a_fetch_resumes_when_the_router_is_killed_in_its_midst(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_object_t *object = fabric_object(16 * MEGABYTE, 9);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_int_equal(fmq_link_publish(client, object, "server", NULL), 0);
    assert_int_equal(fmq_link_fetch(server, "client-1", digest, 0, UINT64_MAX, NULL), 0);
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(fabric_await(server, FMQ_EVENT_CHUNK, &event));
        assert_int_equal(event.index, i);
    }
    restart_router(place);
    fabric_fetch_t fetched = fabric_follow(server, digest, 20, FABRIC_PATIENCE_MS);
    assert_int_equal(fetched.end, FMQ_EVENT_FETCHED);
    assert_true(fetched.ordered);
    assert_int_equal(fetched.chunks, 44);
    uint64_t received = fmq_link_traffic(server).payload_received;
    assert_true(received <= 17 * MEGABYTE + 8 * (uint64_t)FMQ_CHUNK_MAX);
    fmq_link_close(&server, 0);
    fmq_link_close(&client, 0);
    fmq_object_drop(&object);
}

static void a_fetch_resumes_when_its_owner_is_restarted(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_object_t *object = fabric_object(16 * MEGABYTE, 9);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_store_t *store = fmq_store_new(UINT64_MAX);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    fmq_link_t *client = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_int_equal(fmq_link_publish(client, object, "server", NULL), 0);
    assert_int_equal(fmq_link_fetch(server, "client-1", digest, 0, UINT64_MAX, NULL), 0);
    for (int i = 0; i < 10; i++)
        assert_true(fabric_await(server, FMQ_EVENT_CHUNK, &event));
    /* A raw rival takes the name over as a restarted process would. */
    fmq_link_t *again = fabric_link_with(place->endpoint, "client-1", FMQ_ROLE_CLIENT, store);
    assert_int_equal(fmq_link_publish(again, object, "server", NULL), 0);
    fmq_link_close(&client, 0);
    fabric_fetch_t fetched = fabric_follow(server, digest, 10, FABRIC_PATIENCE_MS);
    /* The owner said BYE: either its successor was quick, or the reader knows. */
    if (fetched.end == FMQ_EVENT_FAILED) {
        uint32_t next = 10 + fetched.chunks;
        assert_int_equal(fmq_link_fetch(server, "client-1", digest, next, UINT64_MAX, NULL), 0);
        fetched = fabric_follow(server, digest, next, FABRIC_PATIENCE_MS);
    }
    assert_int_equal(fetched.end, FMQ_EVENT_FETCHED);
    assert_true(fetched.ordered);
    fmq_link_close(&again, 0);
    fmq_link_close(&server, 0);
    fmq_store_destroy(&store);
    fmq_object_drop(&object);
}

static void a_second_member_of_a_name_is_refused_while_the_first_lives(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_link_t *first = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(first, FMQ_EVENT_UP, &event));
    fmq_link_t *second = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(second, FMQ_EVENT_REFUSED, &event));
    assert_int_equal(event.error.code, FMQ_ERR_DENIED);
    assert_non_null(strstr(event.error.text, "taken"));
    fmq_link_close(&second, 0);
    assert_false(fabric_await_for(first, FMQ_EVENT_DOWN, &event, 200));
    fmq_link_close(&first, 0);
}

static void the_silence_of_the_router_is_noticed_and_healed(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_link_t *link = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(link, FMQ_EVENT_UP, &event));
    int64_t began = fmq_clock_ms();
    fmq_router_destroy(&place->router);
    assert_true(fabric_await(link, FMQ_EVENT_DOWN, &event));
    assert_true(fmq_clock_ms() - began <= 2 * FABRIC_TIMEOUT_MS);
    place->router = fabric_router(place->endpoint, NULL);
    assert_true(fabric_await(link, FMQ_EVENT_UP, &event));
    fmq_link_close(&link, 0);
}

static bool counted(place_t *place, uint64_t malformed, uint64_t denied)
{
    for (int i = 0; i < 400; i++) {
        fmq_router_counters_t counters = fmq_router_counters(place->router);
        if (counters.dropped_malformed >= malformed && counters.dropped_denied >= denied)
            return true;
        (void)zmq_poll(NULL, 0, 10);
    }
    return false;
}

static void assert_service(place_t *place)
{
    fmq_event_t event;
    fmq_link_t *link = fabric_link(place->endpoint, "honest", FMQ_ROLE_OBSERVER);
    assert_true(fabric_await(link, FMQ_EVENT_UP, &event));
    fmq_link_close(&link, 0);
}

static void a_dead_member_is_noticed_in_time(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    raw_t raw = raw_open(place->endpoint);
    raw_hello(&raw, "client-1", FMQ_ROLE_CLIENT, 1);
    assert_true(fabric_await_member(server, "client-1", true, &event));
    int64_t began = fmq_clock_ms();
    assert_true(fabric_await_member(server, "client-1", false, &event));
    int64_t took = fmq_clock_ms() - began;
    assert_true(took >= FABRIC_TIMEOUT_MS / 2 && took <= FABRIC_TIMEOUT_MS + 500);
    fmq_message_t ping = {.type = FMQ_MESSAGE_PING};
    raw_message(&raw, &ping, NULL, 0);
    assert_true(fabric_await_member(server, "client-1", true, &event));
    zsock_destroy(&raw.socket);
    fmq_link_close(&server, 0);
}

static void a_killed_member_comes_back_at_once_under_its_name(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    raw_t raw = raw_open(place->endpoint);
    fmq_received_t in;
    raw_hello(&raw, "client-1", FMQ_ROLE_CLIENT, 1);
    assert_true(raw_await(&raw, FMQ_MESSAGE_WELCOME, &in));
    zsock_destroy(&raw.socket);
    int64_t began = fmq_clock_ms();
    fmq_link_t *link = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(link, FMQ_EVENT_UP, &event));
    assert_true(fmq_clock_ms() - began < FABRIC_TIMEOUT_MS);
    fmq_link_close(&link, 0);
}

static void a_frozen_member_gives_its_name_up_after_the_timeout(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    raw_t raw = raw_open(place->endpoint);
    fmq_received_t in;
    raw_hello(&raw, "client-1", FMQ_ROLE_CLIENT, 1);
    assert_true(raw_await(&raw, FMQ_MESSAGE_WELCOME, &in));
    fmq_link_t *link = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(link, FMQ_EVENT_UP, &event));
    fmq_message_t ping = {.type = FMQ_MESSAGE_PING};
    raw_message(&raw, &ping, NULL, 0);
    assert_true(raw_await(&raw, FMQ_MESSAGE_WHO, &in));
    zsock_destroy(&raw.socket);
    fmq_link_close(&link, 0);
}

static void a_stranger_is_asked_who_it_is(void **state)
{
    place_t *place = *state;
    raw_t raw = raw_open(place->endpoint);
    fmq_received_t in;
    fmq_message_t ping = {.type = FMQ_MESSAGE_PING};
    raw_message(&raw, &ping, NULL, 0);
    assert_true(raw_await(&raw, FMQ_MESSAGE_WHO, &in));
    assert_int_equal(fmq_router_counters(place->router).members, 0);
    zsock_destroy(&raw.socket);
}

static void hostile_bytes_are_counted_and_dropped(void **state)
{
    place_t *place = *state;
    raw_t raw = raw_open(place->endpoint);
    uint8_t bytes[FMQ_WIRE_HEADER_MAX + 100];
    mutation_t random = {.state = 11};
    raw_hello(&raw, "observer", FMQ_ROLE_OBSERVER, 1);
    for (int i = 0; i < 20; i++) {
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)mutation_random(&random);
        raw_bytes(&raw, bytes, i == 0 ? 0 : sizeof bytes - (size_t)i * 25, 0);
    }
    raw_bytes(&raw, "\x93\x01\x05", 3, 0);                   /* cut off */
    raw_bytes(&raw, "\xdd\x00\xff\xff\xff", 5, 0);           /* array bomb */
    raw_bytes(&raw, "\x94\x02\x05\x00\x00", 5, 0);           /* another version */
    raw_bytes(&raw, "\x94\x01\x05\x00\x00", 5, ZMQ_SNDMORE); /* PING with a payload */
    raw_bytes(&raw, bytes, 100, 0);
    fmq_message_t ping = {.type = FMQ_MESSAGE_PING};
    for (int i = 0; i < 5; i++) /* many frames */
        raw_bytes(&raw, bytes, 10, i < 4 ? ZMQ_SNDMORE : 0);
    fmq_received_t in;
    raw_message(&raw, &ping, NULL, 0);
    assert_true(raw_await(&raw, FMQ_MESSAGE_PONG, &in));
    assert_true(counted(place, 25, 0));
    assert_service(place);
    zsock_destroy(&raw.socket);
}

static void who_oversteps_its_role_is_denied_and_at_last_barred(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    fmq_received_t in;
    fmq_link_t *victim = fabric_link(place->endpoint, "client-2", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(victim, FMQ_EVENT_UP, &event));
    raw_t raw = raw_open(place->endpoint);
    raw_hello(&raw, "client-1", FMQ_ROLE_CLIENT, 1);
    assert_true(raw_await(&raw, FMQ_MESSAGE_WELCOME, &in));
    static const struct {
        const char *from, *to;
        fmq_role_t role;
    } notes[] = {
        {"client-1", "client-2", FMQ_ROLE_CLIENT}, {"client-1", "*", FMQ_ROLE_CLIENT},
        {"client-1", "@client", FMQ_ROLE_CLIENT},  {"server", "client-2", FMQ_ROLE_SERVER},
        {"client-1", "client-2", FMQ_ROLE_SERVER}, {"client-9", "server", FMQ_ROLE_CLIENT}};
    for (int i = 0; i < 66; i++) {
        fmq_message_t note = {.type = FMQ_MESSAGE_NOTE, .role = notes[i % 6].role, .version = 7};
        (void)snprintf(note.name, sizeof note.name, "%s", notes[i % 6].from);
        (void)snprintf(note.audience, sizeof note.audience, "%s", notes[i % 6].to);
        (void)snprintf(note.topic, sizeof note.topic, "task");
        raw_message(&raw, &note, "evil", 4);
    }
    assert_true(raw_await(&raw, FMQ_MESSAGE_REFUSED, &in));
    assert_int_equal(in.message.code, FMQ_ERR_DENIED);
    assert_true(counted(place, 0, 64));
    raw_hello(&raw, "client-1", FMQ_ROLE_CLIENT, 2);
    assert_true(raw_await(&raw, FMQ_MESSAGE_REFUSED, &in));
    assert_false(fabric_await_for(victim, FMQ_EVENT_NOTE, &event, 200));
    zsock_destroy(&raw.socket);
    fmq_link_close(&victim, 0);
}

static void an_observer_only_reads(void **state)
{
    place_t *place = *state;
    fmq_error_t err;
    fmq_event_t event;
    fmq_object_t *object = fabric_object(10, 1);
    fmq_link_t *observer = fabric_link(place->endpoint, "observer", FMQ_ROLE_OBSERVER);
    assert_int_equal(fmq_link_note(observer, "server", "hello", "", 0, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_DENIED);
    assert_int_equal(fmq_link_publish(observer, object, "server", &err), -1);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_int_equal(fmq_link_note(server, "*", "run", "r", 1, NULL), 0);
    assert_true(fabric_await_note(observer, "run", &event));
    fmq_link_close(&server, 0);
    fmq_link_close(&observer, 0);
    fmq_object_drop(&object);
}

static void an_owner_that_lies_about_its_object_is_found_out(void **state)
{
    place_t *place = *state;
    fmq_received_t in;
    fmq_digest_t digest = fmq_digest_of("promised", 8);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    raw_t raw = raw_open(place->endpoint);
    raw_hello(&raw, "client-1", FMQ_ROLE_CLIENT, 1);
    fmq_message_t publish = {
        .type = FMQ_MESSAGE_PUBLISH, .digest = digest, .bytes = 8, .chunks = 1};
    (void)snprintf(publish.audience, sizeof publish.audience, "server");
    raw_message(&raw, &publish, NULL, 0);
    assert_true(raw_await(&raw, FMQ_MESSAGE_PUBLISHED, &in));
    assert_int_equal(fmq_link_fetch(server, "client-1", &digest, 0, 8, NULL), 0);
    assert_true(raw_await(&raw, FMQ_MESSAGE_FETCH, &in));
    fmq_message_t chunk = {.type = FMQ_MESSAGE_CHUNK, .ticket = in.message.ticket, .chunks = 1};
    raw_message(&raw, &chunk, "delivers", 8);
    fabric_fetch_t fetched = fabric_follow(server, &digest, 0, FABRIC_PATIENCE_MS);
    assert_int_equal(fetched.end, FMQ_EVENT_FAILED);
    assert_int_equal(fetched.error.code, FMQ_ERR_MISMATCH);
    zsock_destroy(&raw.socket);
    fmq_link_close(&server, 0);
}

static void a_fetch_goes_on_where_a_killed_owner_left_off(void **state)
{
    place_t *place = *state;
    fmq_received_t in;
    fmq_object_t *object = fabric_object(8 * FMQ_CHUNK_MAX, 3);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    raw_t raw = raw_open(place->endpoint);
    raw_hello(&raw, "client-1", FMQ_ROLE_CLIENT, 1);
    fmq_message_t publish = {.type = FMQ_MESSAGE_PUBLISH,
                             .digest = *digest,
                             .bytes = fmq_object_bytes(object),
                             .chunks = 8};
    (void)snprintf(publish.audience, sizeof publish.audience, "server");
    raw_message(&raw, &publish, NULL, 0);
    assert_int_equal(fmq_link_fetch(server, "client-1", digest, 0, UINT64_MAX, NULL), 0);
    assert_true(raw_await(&raw, FMQ_MESSAGE_FETCH, &in));
    fmq_message_t chunk = {.type = FMQ_MESSAGE_CHUNK, .ticket = in.message.ticket, .chunks = 8};
    for (; chunk.index < 3; chunk.index++) {
        size_t size;
        const void *data = fmq_object_chunk(object, chunk.index, &size);
        raw_message(&raw, &chunk, data, size);
    }
    fmq_event_t event;
    assert_true(fabric_await(server, FMQ_EVENT_CHUNK, &event));
    zsock_destroy(&raw.socket);
    fmq_link_t *again = fabric_link(place->endpoint, "client-1", FMQ_ROLE_CLIENT);
    assert_int_equal(fmq_link_publish(again, object, "server", NULL), 0);
    fabric_fetch_t fetched = fabric_follow(server, digest, 1, FABRIC_PATIENCE_MS);
    assert_int_equal(fetched.end, FMQ_EVENT_FETCHED);
    assert_true(fetched.ordered);
    assert_int_equal(fetched.chunks, 7);
    assert_true(fmq_link_traffic(again).payload_sent <= 8 * (uint64_t)FMQ_CHUNK_MAX);
    fmq_link_close(&again, 0);
    fmq_link_close(&server, 0);
    fmq_object_drop(&object);
}

static void silent_tcp_peers_do_not_hurt(void **state)
{
    place_t *place = *state;
    unsigned port = (unsigned)strtoul(strrchr(place->endpoint, ':') + 1, NULL, 10);
    int peers[50];
    for (int i = 0; i < 50; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        (void)inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
        peers[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(peers[i], (struct sockaddr *)&address, sizeof address), 0);
        if (i % 2) /* half of them begin a greeting and never end it */
            assert_int_equal(send(peers[i], "\xff\0\0", 3, MSG_NOSIGNAL), 3);
    }
    assert_service(place);
    for (int i = 0; i < 50; i++)
        (void)close(peers[i]);
    assert_service(place);
}

static void an_oversized_frame_costs_a_tcp_peer_its_connection(void **state)
{
    place_t *place = *state;
    raw_t raw = raw_open(place->endpoint);
    fmq_received_t in;
    raw_hello(&raw, "client-1", FMQ_ROLE_CLIENT, 1);
    assert_true(raw_await(&raw, FMQ_MESSAGE_WELCOME, &in));
    uint8_t *big = calloc(1, 2 * MEGABYTE);
    raw_bytes(&raw, big, 2 * MEGABYTE, 0);
    free(big);
    assert_service(place);
    uint64_t bytes = fmq_router_counters(place->router).bytes_in;
    assert_true(bytes < MEGABYTE);
    zsock_destroy(&raw.socket);
}

static void actors_of_one_process_share_one_store(void **state)
{
    (void)state;
    fmq_event_t event;
    fmq_store_t *store = fmq_store_new(UINT64_MAX);
    fmq_router_t *router = fabric_router("inproc://shared", store);
    fmq_object_t *object = fabric_object(5 * MEGABYTE, 1);
    const fmq_digest_t *digest = fmq_object_digest(object);
    fmq_link_t *server = fabric_link_with("inproc://shared", "server", FMQ_ROLE_SERVER, store);
    fmq_link_t *near = fabric_link_with("inproc://shared", "client-1", FMQ_ROLE_CLIENT, store);
    fmq_link_t *far = fabric_link("inproc://shared", "client-2", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(far, FMQ_EVENT_UP, &event));
    assert_int_equal(fmq_link_publish(server, object, "@client", NULL), 0);
    fmq_link_t *readers[] = {near, far};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fmq_link_fetch(readers[i], "server", digest, 0, UINT64_MAX, NULL), 0);
        fabric_fetch_t fetched = fabric_follow(readers[i], digest, 0, FABRIC_PATIENCE_MS);
        assert_int_equal(fetched.end, FMQ_EVENT_FETCHED);
        assert_true(fmq_digest_equal(&fetched.digest, digest));
    }
    assert_true(fmq_link_traffic(server).payload_sent == 0);
    assert_true(fmq_link_traffic(near).payload_received == 0);
    assert_true(fmq_link_traffic(far).payload_received == 5 * MEGABYTE);
    fmq_link_close(&near, 0);
    fmq_link_close(&far, 0);
    fmq_link_close(&server, 0);
    assert_int_equal(fmq_store_size(store), 0);
    fmq_router_destroy(&router);
    fmq_store_destroy(&store);
    fmq_object_drop(&object);
}

static void public_addresses_and_odd_endpoints_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    static const struct {
        const char *endpoint;
        fmq_error_code_t code;
    } cases[] = {
        {"tcp://0.0.0.0:*", FMQ_ERR_DENIED},        {"tcp://*:*", FMQ_ERR_DENIED},
        {"ipc:///tmp/x", FMQ_ERR_CONFIG},           {"inproc://", FMQ_ERR_CONFIG},
        {"tcp://127.0.0.1", FMQ_ERR_CONFIG},        {"", FMQ_ERR_CONFIG},
        {"tcp://127.0.0.1:999999", FMQ_ERR_CONFIG}, {"tcp://999.0.0.1:5000", FMQ_ERR_NOTFOUND},
        {"tcp://10.0.0.1:5000", FMQ_ERR_DENIED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_router_options_t options = {.endpoints = {cases[i].endpoint}};
        assert_null(fmq_router_new(&options, &err));
        assert_int_equal(err.code, cases[i].code);
    }
    fmq_router_options_t none = {0};
    assert_null(fmq_router_new(&none, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    fmq_router_options_t open = {.endpoints = {"inproc://a", "tcp://0.0.0.0:*"}, .insecure = true};
    fmq_router_t *router = fmq_router_new(&open, &err);
    assert_non_null(router);
    assert_string_equal(fmq_router_endpoint(router, 0), "inproc://a");
    assert_non_null(strstr(fmq_router_endpoint(router, 1), "tcp://0.0.0.0:"));
    assert_null(fmq_router_endpoint(router, 2));
    fmq_router_destroy(&router);
    fmq_link_options_t link = {.endpoint = "inproc://a", .name = "No Name"};
    assert_null(fmq_link_open(&link, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    link = (fmq_link_options_t){.endpoint = "udp://x:1", .name = "a"};
    assert_null(fmq_link_open(&link, &err));
    link = (fmq_link_options_t){.endpoint = "inproc://a", .name = "a", .window = 65};
    assert_null(fmq_link_open(&link, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
}

#define OVER(test, way) cmocka_unit_test_setup_teardown(test, setup_##way, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER(notes_and_publications_survive_a_restart_of_the_router, inproc),
        OVER(notes_and_publications_survive_a_restart_of_the_router, tcp),
        OVER(a_fetch_resumes_when_the_router_is_killed_in_its_midst, inproc),
        OVER(a_fetch_resumes_when_the_router_is_killed_in_its_midst, tcp),
        OVER(a_fetch_resumes_when_its_owner_is_restarted, inproc),
        OVER(a_fetch_resumes_when_its_owner_is_restarted, tcp),
        OVER(a_second_member_of_a_name_is_refused_while_the_first_lives, inproc),
        OVER(a_second_member_of_a_name_is_refused_while_the_first_lives, tcp),
        OVER(the_silence_of_the_router_is_noticed_and_healed, inproc),
        OVER(the_silence_of_the_router_is_noticed_and_healed, tcp),
        OVER(a_dead_member_is_noticed_in_time, inproc),
        OVER(a_dead_member_is_noticed_in_time, tcp),
        OVER(a_killed_member_comes_back_at_once_under_its_name, inproc),
        OVER(a_killed_member_comes_back_at_once_under_its_name, tcp),
        OVER(a_frozen_member_gives_its_name_up_after_the_timeout, inproc),
        OVER(a_frozen_member_gives_its_name_up_after_the_timeout, tcp),
        OVER(a_stranger_is_asked_who_it_is, inproc),
        OVER(hostile_bytes_are_counted_and_dropped, inproc),
        OVER(hostile_bytes_are_counted_and_dropped, tcp),
        OVER(who_oversteps_its_role_is_denied_and_at_last_barred, inproc),
        OVER(who_oversteps_its_role_is_denied_and_at_last_barred, tcp),
        OVER(an_observer_only_reads, inproc),
        OVER(an_owner_that_lies_about_its_object_is_found_out, inproc),
        OVER(a_fetch_goes_on_where_a_killed_owner_left_off, inproc),
        OVER(a_fetch_goes_on_where_a_killed_owner_left_off, tcp),
        OVER(silent_tcp_peers_do_not_hurt, tcp),
        OVER(an_oversized_frame_costs_a_tcp_peer_its_connection, tcp),
        cmocka_unit_test(actors_of_one_process_share_one_store),
        cmocka_unit_test(public_addresses_and_odd_endpoints_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
