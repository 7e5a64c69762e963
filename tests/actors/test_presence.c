/*
 * test_presence.c - how long who takes part in a run waits for its server.
 */
#include "actors_test.h"

#include "actors/runtime/presence.h"

static fmq_config_t *config;
static fmq_context_t context;
static fmq_presence_t presence;
static fmq_error_t err;
static char heard[8192];

static void hear(void *argument, fmq_log_level_t level, const char *line)
{
    (void)argument;
    (void)level;
    size_t used = strlen(heard);
    (void)snprintf(heard + used, sizeof heard - used, "%s\n", line);
}

static int set_up(void **state)
{
    config = fmq_config_new();
    assert_non_null(config);
    assert_int_equal(fmq_config_set(config, "fedmq.server_patience", "20", &err), 0);
    context = (fmq_context_t){.config = config, .endpoint = "tcp://127.0.0.1:7"};
    fmq_presence_init(&presence, &context, 0);
    heard[0] = '\0';
    *state = fmq_log_new(hear, NULL, FMQ_LOG_WARNING);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    fmq_log_t *log = *state;
    fmq_log_destroy(&log);
    fmq_config_destroy(&config);
    return 0;
}

static void take(fmq_event_type_t type, int64_t now_ms)
{
    fmq_event_t event = {.type = type};
    fmq_presence_event(&presence, &event, now_ms);
}

static void take_server(bool alive, int64_t now_ms)
{
    fmq_event_t event = {.type = FMQ_EVENT_MEMBER, .role = FMQ_ROLE_SERVER, .alive = alive};
    fmq_presence_event(&presence, &event, now_ms);
}

static void take_run(int64_t now_ms)
{
    fmq_message_run_t run = {.run = "00112233445566778899aabbccddeeff", .rounds = 1, .clients = 1};
    unsigned char body[1024];
    fmq_event_t event = {.type = FMQ_EVENT_NOTE, .role = FMQ_ROLE_SERVER, .topic = "run"};
    event.size = fmq_message_run_encode(&run, body, sizeof body, &err);
    assert_true(event.size > 0);
    event.data = body;
    fmq_presence_event(&presence, &event, now_ms);
}

static int tend(void **state, int64_t now_ms)
{
    return fmq_presence_tend(&presence, *state, "client-1", now_ms, &err);
}

static void a_server_that_is_there_is_not_spoken_of(void **state)
{
    take(FMQ_EVENT_UP, 10);
    take_server(true, 20);
    take_run(30);
    assert_int_equal(fmq_presence_wait(&presence, 40), -1);
    assert_int_equal(tend(state, 1000000), 0);
    assert_string_equal(heard, "");
}

static void one_that_has_stopped_is_waited_for_aloud_and_not_for_ever(void **state)
{
    take(FMQ_EVENT_UP, 10);
    take_run(30);
    take_server(false, 1000);
    assert_int_equal(fmq_presence_wait(&presence, 1000), 0);
    assert_int_equal(tend(state, 1000), 0);
    assert_non_null(strstr(heard, "the server has stopped; waiting"));
    assert_non_null(strstr(heard, " 20 s (fedmq.server_patience)"));
    heard[0] = '\0';
    assert_int_equal(tend(state, 2000), 0);
    assert_string_equal(heard, "");
    assert_int_equal(tend(state, 11000), 0);
    assert_non_null(strstr(heard, "10 s more"));
    assert_int_equal(tend(state, 20999), 0);
    assert_int_equal(fmq_presence_wait(&presence, 20000), 1000);
    assert_int_equal(tend(state, 21000), -1);
    assert_int_equal(err.code, FMQ_ERR_TIMEOUT);
    assert_non_null(strstr(err.text, "tcp://127.0.0.1:7"));
    assert_non_null(strstr(err.text, "fedmq.server_patience"));
}

static void one_that_comes_back_in_time_is_there_again(void **state)
{
    take(FMQ_EVENT_UP, 10);
    take_run(30);
    take(FMQ_EVENT_DOWN, 1000);
    assert_int_equal(tend(state, 1000), 0);
    assert_non_null(strstr(heard, "nobody answers there"));
    take(FMQ_EVENT_UP, 15000);
    assert_int_equal(tend(state, 20999), 0); /* its router alone is not the server */
    take_run(20999);
    assert_int_equal(tend(state, 21000), 0);
    assert_int_equal(fmq_presence_wait(&presence, 21000), -1);
    take(FMQ_EVENT_DOWN, 30000);
    take(FMQ_EVENT_UP, 31000);
    take_server(true, 31000);
    assert_int_equal(fmq_presence_wait(&presence, 31000), -1);
    take(FMQ_EVENT_DOWN, 40000);
    assert_int_equal(tend(state, 59999), 0);
    assert_int_equal(tend(state, 60000), -1);
}

static void a_note_that_a_dead_server_left_is_no_sign_of_it(void **state)
{
    take(FMQ_EVENT_UP, 0);
    take_server(false, 10);
    take_run(20);
    assert_int_equal(tend(state, 20), 0);
    assert_non_null(strstr(heard, "server-away"));
    assert_int_equal(tend(state, 20020), -1);
}

static void a_router_without_a_run_is_spoken_of_and_left_where_a_limit_says_so(void **state)
{
    take(FMQ_EVENT_UP, 1000);
    assert_int_equal(tend(state, 5999), 0);
    assert_string_equal(heard, "");
    assert_int_equal(tend(state, 6000), 0);
    assert_non_null(strstr(heard, "no server has come yet"));
    assert_int_equal(tend(state, 100000000), 0);
    assert_int_equal(fmq_config_set(config, "fedmq.connect_timeout", "3", &err), 0);
    fmq_presence_init(&presence, &context, 1000);
    take(FMQ_EVENT_UP, 2000);
    assert_int_equal(tend(state, 3999), 0);
    assert_int_equal(tend(state, 4000), -1);
    assert_int_equal(err.code, FMQ_ERR_TIMEOUT);
    assert_non_null(strstr(err.text, "fedmq.connect_timeout"));
}

static void who_shares_a_process_with_the_server_waits_for_nothing(void **state)
{
    for (int i = 0; i < 2; i++) {
        context.endpoint = i == 0 ? "inproc://x" : "tcp://127.0.0.1:7";
        context.leads = i == 1;
        fmq_presence_init(&presence, &context, 0);
        take(FMQ_EVENT_UP, 10);
        take_run(30);
        take_server(false, 1000);
        assert_int_equal(tend(state, 10000000), 0);
        assert_string_equal(heard, "");
        assert_int_equal(fmq_presence_wait(&presence, 10000000), -1);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_server_that_is_there_is_not_spoken_of),
        CASE(one_that_has_stopped_is_waited_for_aloud_and_not_for_ever),
        CASE(one_that_comes_back_in_time_is_there_again),
        CASE(a_note_that_a_dead_server_left_is_no_sign_of_it),
        CASE(a_router_without_a_run_is_spoken_of_and_left_where_a_limit_says_so),
        CASE(who_shares_a_process_with_the_server_waits_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
