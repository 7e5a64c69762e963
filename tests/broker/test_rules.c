/*
 * test_rules.c - what the router lets whom do, and whose word it believes for
 * how long; over inproc and over tcp, by peers that do not judge themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/broker/raw.h"

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
    return setup(state, "inproc://rules");
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

/* Whatever was sent before this has been judged when it returns. */
static void settle(raw_t *raw)
{
    fmq_received_t in;
    fmq_message_t ping = {.type = FMQ_MESSAGE_PING};
    raw_message(raw, &ping, NULL, 0);
    assert_true(raw_await(raw, FMQ_MESSAGE_PONG, &in));
    raw_message(raw, &ping, NULL, 0);
    assert_true(raw_await(raw, FMQ_MESSAGE_PONG, &in));
}

static raw_t raw_join(const place_t *place, const char *name, fmq_role_t role)
{
    fmq_received_t in;
    raw_t raw = raw_open(place->endpoint);
    raw_hello(&raw, name, role, 1);
    assert_true(raw_await(&raw, FMQ_MESSAGE_WELCOME, &in));
    return raw;
}

static void every_word_that_an_observer_may_not_say_is_denied(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    static const fmq_message_type_t writes[] = {FMQ_MESSAGE_NOTE, FMQ_MESSAGE_PUBLISH,
                                                FMQ_MESSAGE_WITHDRAW, FMQ_MESSAGE_CHUNK,
                                                FMQ_MESSAGE_GONE};
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    raw_t raw = raw_join(place, "watcher", FMQ_ROLE_OBSERVER);
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        fmq_message_t message = {.type = writes[i],
                                 .name = "watcher",
                                 .role = FMQ_ROLE_OBSERVER,
                                 .audience = "server",
                                 .topic = "report",
                                 .version = 7,
                                 .bytes = 4,
                                 .chunks = 1,
                                 .reason = "gone"};
        size_t most;
        raw_message(&raw, &message, fmq_message_has_payload(writes[i], &most) ? "evil" : NULL, 4);
        settle(&raw);
        assert_int_equal(fmq_router_counters(place->router).dropped_denied, i + 1);
    }
    assert_false(fabric_await_for(server, FMQ_EVENT_NOTE, &event, 100));
    zsock_destroy(&raw.socket);
    fmq_link_close(&server, 0);
}

static void a_note_bears_the_name_and_role_of_who_sends_it_to_whom_it_may(void **state)
{
    place_t *place = *state;
    fmq_event_t event;
    static const struct {
        const char *from, *to;
        fmq_role_t role;
    } notes[] = {{"client-9", "server", FMQ_ROLE_CLIENT},
                 {"client-1", "server", FMQ_ROLE_SERVER},
                 {"client-1", "client-2", FMQ_ROLE_CLIENT},
                 {"client-1", "@client", FMQ_ROLE_CLIENT},
                 {"client-1", "*", FMQ_ROLE_CLIENT}};
    fmq_link_t *victim = fabric_link(place->endpoint, "client-2", FMQ_ROLE_CLIENT);
    assert_true(fabric_await(victim, FMQ_EVENT_UP, &event));
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_true(fabric_await(server, FMQ_EVENT_UP, &event));
    raw_t raw = raw_join(place, "client-1", FMQ_ROLE_CLIENT);
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        fmq_message_t note = {
            .type = FMQ_MESSAGE_NOTE, .role = notes[i].role, .topic = "task", .version = 7};
        (void)snprintf(note.name, sizeof note.name, "%s", notes[i].from);
        (void)snprintf(note.audience, sizeof note.audience, "%s", notes[i].to);
        raw_message(&raw, &note, "evil", 4);
        settle(&raw);
        assert_int_equal(fmq_router_counters(place->router).dropped_denied, i + 1);
    }
    assert_false(fabric_await_for(victim, FMQ_EVENT_NOTE, &event, 100));
    assert_false(fabric_await_for(server, FMQ_EVENT_NOTE, &event, 100));
    zsock_destroy(&raw.socket);
    fmq_link_close(&server, 0);
    fmq_link_close(&victim, 0);
}

static void words_of_the_router_are_denied_to_everybody(void **state)
{
    place_t *place = *state;
    raw_t raw = raw_join(place, "server", FMQ_ROLE_SERVER);
    static const fmq_message_type_t types[] = {FMQ_MESSAGE_WELCOME, FMQ_MESSAGE_PONG,
                                               FMQ_MESSAGE_MEMBER, FMQ_MESSAGE_PUBLISHED};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        fmq_message_t message = {.type = types[i],
                                 .name = "client-1",
                                 .role = FMQ_ROLE_CLIENT,
                                 .audience = "*",
                                 .version = 1,
                                 .timeout_ms = 1};
        raw_message(&raw, &message, NULL, 0);
        settle(&raw);
        assert_int_equal(fmq_router_counters(place->router).dropped_denied, i + 1);
    }
    zsock_destroy(&raw.socket);
}

static void publish(raw_t *raw, const char *what)
{
    fmq_received_t in;
    fmq_message_t message = {.type = FMQ_MESSAGE_PUBLISH,
                             .audience = "server",
                             .digest = fmq_digest_of(what, strlen(what)),
                             .bytes = 4,
                             .chunks = 1};
    raw_message(raw, &message, NULL, 0);
    assert_true(raw_await(raw, FMQ_MESSAGE_PUBLISHED, &in));
}

/* A member that says HELLO again must announce again what it still publishes:
 * of two objects it announces one. */
static void what_a_member_does_not_announce_again_is_no_longer_published(void **state)
{
    place_t *place = *state;
    fmq_received_t in;
    fmq_digest_t kept = fmq_digest_of("kept", 4), lost = fmq_digest_of("lost", 4);
    raw_t raw = raw_join(place, "client-1", FMQ_ROLE_CLIENT);
    publish(&raw, "kept");
    publish(&raw, "lost");
    raw_hello(&raw, "client-1", FMQ_ROLE_CLIENT, 1);
    assert_true(raw_await(&raw, FMQ_MESSAGE_WELCOME, &in));
    publish(&raw, "kept");
    int64_t end = fmq_clock_ms() + 2 * FABRIC_TIMEOUT_MS;
    while (fmq_clock_ms() < end) {
        settle(&raw);
        (void)zmq_poll(NULL, 0, FABRIC_HEARTBEAT_MS);
    }
    fmq_link_t *server = fabric_link(place->endpoint, "server", FMQ_ROLE_SERVER);
    assert_int_equal(fmq_link_fetch(server, "client-1", &lost, 0, 4, NULL), 0);
    assert_int_equal(fmq_link_fetch(server, "client-1", &kept, 0, 4, NULL), 0);
    assert_true(raw_await(&raw, FMQ_MESSAGE_FETCH, &in));
    assert_true(fmq_digest_equal(&in.message.digest, &kept)); /* the other was not asked for */
    zsock_destroy(&raw.socket);
    fmq_link_close(&server, 0);
}

#define OVER_BOTH(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, setup_inproc, teardown),                                 \
        cmocka_unit_test_setup_teardown(test, setup_tcp, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_BOTH(every_word_that_an_observer_may_not_say_is_denied),
        OVER_BOTH(a_note_bears_the_name_and_role_of_who_sends_it_to_whom_it_may),
        OVER_BOTH(words_of_the_router_are_denied_to_everybody),
        OVER_BOTH(what_a_member_does_not_announce_again_is_no_longer_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
