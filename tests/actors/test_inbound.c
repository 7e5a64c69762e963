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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_table_says_is_taken_and_nothing_else),
        cmocka_unit_test(who_wants_to_know_hears_that_a_message_was_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
