/*
 * test_inbound.c - an actor takes what is in its table, from whom it says, whole.
 */
#include "actors_test.h"

#include "actors/protocol/inbound.h"
#include "fedmq/actors/messages.h"

typedef struct {
    int runs, dones, nils;
    char run[FMQ_RUN_ID_SIZE];
} actor_t;

static void on_run(void *argument, const fmq_event_t *event, const void *message)
{
    actor_t *self = argument;
    const fmq_message_run_t *run = message;
    assert_string_equal(event->topic, "run");
    self->nils += run == NULL;
    self->runs += run != NULL;
    if (run)
        memcpy(self->run, run->run, sizeof self->run);
}

static void on_done(void *argument, const fmq_event_t *event, const void *message)
{
    actor_t *self = argument;
    (void)event;
    assert_non_null(message);
    self->dones++;
}

static const fmq_inbound_t table[] = {
    {"run", FMQ_FROM(FMQ_ROLE_SERVER) | FMQ_FROM(FMQ_ROLE_SPLITTER), on_run, true},
    {"done", FMQ_FROM(FMQ_ROLE_SERVER), on_done, false}};

static bool take(actor_t *actor, const char *topic, fmq_role_t role, const void *data, size_t size)
{
    fmq_event_t event = {.type = FMQ_EVENT_NOTE, .role = role, .data = data, .size = size};
    (void)snprintf(event.topic, sizeof event.topic, "%s", topic);
    return fmq_inbound_take(table, sizeof table / sizeof *table, actor, &event);
}

static void what_the_table_says_is_taken_and_nothing_else(void **state)
{
    (void)state;
    actor_t actor = {0};
    unsigned char run[1024], done[1024];
    const fmq_message_run_t a_run = {.run = "00112233445566778899aabbccddeeff"};
    const fmq_message_done_t a_done = {.reason = "finished"};
    size_t run_size = fmq_message_run_encode(&a_run, run, sizeof run, NULL);
    size_t done_size = fmq_message_done_encode(&a_done, done, sizeof done, NULL);
    assert_true(take(&actor, "run", FMQ_ROLE_SERVER, run, run_size));
    assert_true(take(&actor, "run", FMQ_ROLE_SPLITTER, run, run_size));
    assert_string_equal(actor.run, a_run.run);
    assert_true(take(&actor, "done", FMQ_ROLE_SERVER, done, done_size));
    assert_false(take(&actor, "run", FMQ_ROLE_CLIENT, run, run_size)); /* not its to say */
    assert_false(take(&actor, "done", FMQ_ROLE_SPLITTER, done, done_size));
    assert_false(take(&actor, "done", FMQ_ROLE_SERVER, done, done_size - 1)); /* cut */
    assert_false(take(&actor, "done", FMQ_ROLE_SERVER, run, run_size));       /* another */
    assert_false(take(&actor, "task", FMQ_ROLE_SERVER, run, run_size));       /* not in the table */
    assert_false(take(&actor, "runs", FMQ_ROLE_SERVER, run, run_size));
    assert_int_equal(actor.runs, 2);
    assert_int_equal(actor.dones, 1);
    assert_int_equal(actor.nils, 0);
}

static void who_wants_to_know_hears_that_a_message_was_taken_back(void **state)
{
    (void)state;
    actor_t actor = {0};
    const unsigned char nil[] = {0xc0};
    assert_true(take(&actor, "run", FMQ_ROLE_SERVER, nil, sizeof nil));
    assert_false(take(&actor, "run", FMQ_ROLE_CLIENT, nil, sizeof nil));
    assert_false(take(&actor, "done", FMQ_ROLE_SERVER, nil, sizeof nil));
    assert_int_equal(actor.nils, 1);
    assert_int_equal(actor.dones, 0);
}

static fmq_error_code_t refusal(const char *topic, fmq_role_t role, size_t size)
{
    actor_t actor = {0};
    unsigned char done[1024];
    const fmq_message_done_t a_done = {.reason = "finished"};
    size_t whole = fmq_message_done_encode(&a_done, done, sizeof done, NULL);
    fmq_event_t event = {
        .type = FMQ_EVENT_NOTE, .role = role, .data = done, .size = size < whole ? size : whole};
    fmq_error_t why = {0};
    (void)snprintf(event.topic, sizeof event.topic, "%s", topic);
    int rc = fmq_inbound_try(table, sizeof table / sizeof *table, &actor, &event, &why);
    assert_int_equal(rc, why.code == FMQ_OK ? 0 : -1);
    assert_int_equal(actor.dones, why.code == FMQ_OK);
    return why.code;
}

static void what_is_refused_has_a_reason(void **state)
{
    (void)state;
    assert_int_equal(refusal("done", FMQ_ROLE_SERVER, 1024), FMQ_OK);
    assert_int_equal(refusal("done", FMQ_ROLE_CLIENT, 1024), FMQ_ERR_DENIED);
    assert_int_equal(refusal("gone", FMQ_ROLE_SERVER, 1024), FMQ_ERR_NOTFOUND);
    assert_int_equal(refusal("done", FMQ_ROLE_SERVER, 3), FMQ_ERR_FORMAT);
}

static void on_shard(void *argument, const fmq_event_t *event, const void *message)
{
    (void)event;
    const fmq_message_shard_t *shard = message;
    *(uint32_t *)argument += shard->client;
}

static void a_row_may_stand_for_every_topic_that_begins_so(void **state)
{
    (void)state;
    static const fmq_inbound_t rows[] = {{"shard-", FMQ_FROM(FMQ_ROLE_SPLITTER), on_shard, false}};
    static const struct {
        const char *topic;
        uint32_t taken;
    } cases[] = {{"shard-7", 7}, {"shard-70", 7}, {"shard", 0}, {"shar-7", 0}, {"done", 0}};
    unsigned char body[1024];
    const fmq_message_shard_t shard = {.client = 7};
    size_t size = fmq_message_shard_encode(&shard, body, sizeof body, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t taken = 0;
        fmq_event_t event = {
            .type = FMQ_EVENT_NOTE, .role = FMQ_ROLE_SPLITTER, .data = body, .size = size};
        (void)snprintf(event.topic, sizeof event.topic, "%s", cases[i].topic);
        (void)fmq_inbound_take(rows, 1, &taken, &event);
        assert_int_equal(taken, cases[i].taken);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_table_says_is_taken_and_nothing_else),
        cmocka_unit_test(what_is_refused_has_a_reason),
        cmocka_unit_test(a_row_may_stand_for_every_topic_that_begins_so),
        cmocka_unit_test(who_wants_to_know_hears_that_a_message_was_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
