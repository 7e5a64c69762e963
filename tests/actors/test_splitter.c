/*
 * test_splitter.c - the splitter actor on a real router: every client gets its
 * own shard, and nobody else's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "actors/runtime/pipe.h"
#include "client_stage.h"
#include "fedmq/actors/receive.h"
#include "fedmq/actors/shard.h"
#include "fedmq/base/clock.h"

typedef struct {
    stage_t stage;
    char path[64];
    zactor_t *splitter;
} play_t;

static void begin(play_t *play)
{
    char yaml[256];
    strcpy(play->path, "/tmp/fedmq-splitter-XXXXXX");
    int descriptor = mkstemp(play->path);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    assert_non_null(file);
    for (int i = 0; i < 40; i++)
        fprintf(file, "{\"instruction\":\"q%d\",\"output\":\"%d\"}\n", i, i);
    fclose(file);
    snprintf(yaml, sizeof yaml,
             "data: {type: a.jsonl@llm, file_path: %s, splitter: iid, splits: [0.8, 0.1, 0.1]}\n",
             play->path);
    stage_open(&play->stage, yaml);
    fmq_splitter_options_t options = {.context = &play->stage.context};
    play->splitter = fmq_pipe_start(fmq_splitter_actor, &options, "a splitter", NULL);
}

static void end(play_t *play)
{
    fmq_pipe_stop(&play->splitter);
    stage_close(&play->stage);
    unlink(play->path);
}

static fmq_message_shard_t hear_shard(fmq_link_t *link)
{
    int64_t until = fmq_clock_ms() + STAGE_LIMIT_MS;
    fmq_message_shard_t note = {0};
    while (fmq_clock_ms() < until) {
        fmq_event_t event;
        if (fmq_link_receive(link, 100, &event, NULL) > 0 && event.type == FMQ_EVENT_NOTE &&
            strcmp(event.topic, "shard") == 0) {
            assert_int_equal(fmq_message_shard_decode(&note, event.data, event.size, NULL), 0);
            return note;
        }
    }
    fail_msg("no shard was announced");
    return note;
}

/* Fetches until done or failed. */
static fmq_receive_t fetch(fmq_link_t *link, const fmq_digest_t *digest, fmq_bytes_reader_t *reader)
{
    int64_t until = fmq_clock_ms() + STAGE_LIMIT_MS;
    fmq_receive_t got = FMQ_RECEIVE_OTHER;
    fmq_bytes_reader_begin(reader, digest, FMQ_SHARD_MAX);
    if (fmq_link_fetch(link, "splitter", digest, 0, FMQ_SHARD_MAX, NULL) < 0)
        return FMQ_RECEIVE_FAILED;
    while (got != FMQ_RECEIVE_DONE && got != FMQ_RECEIVE_FAILED && fmq_clock_ms() < until) {
        fmq_event_t event;
        if (fmq_link_receive(link, 100, &event, NULL) > 0)
            got = fmq_bytes_reader_take(reader, &event, NULL);
    }
    return got;
}

static void a_client_gets_its_own_shard_and_nobody_elses(void **state)
{
    (void)state;
    play_t play;
    begin(&play);
    fmq_link_t *first = stage_join(&play.stage, "client-1", FMQ_ROLE_CLIENT);
    fmq_link_t *second = stage_join(&play.stage, "client-2", FMQ_ROLE_CLIENT);
    fmq_message_shard_t note = hear_shard(first);
    assert_int_equal(note.client, 1);
    assert_int_equal(note.train, 16);
    assert_int_equal(note.val, 2);
    assert_int_equal(note.test, 2);

    fmq_bytes_reader_t reader = {0};
    assert_int_equal(fetch(first, &note.shard, &reader), FMQ_RECEIVE_DONE);
    llm_records_t *parts[3] = {llm_records_new(), llm_records_new(), llm_records_new()};
    assert_int_equal(fmq_shard_decode(reader.data, reader.size, parts, NULL), 0);
    assert_int_equal(llm_records_size(parts[0]), 16);
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&parts[i]);
    fmq_bytes_reader_release(&reader);

    assert_int_equal(hear_shard(second).client, 2);
    assert_int_equal(fetch(second, &note.shard, &reader), FMQ_RECEIVE_FAILED);
    fmq_bytes_reader_release(&reader);
    fmq_link_close(&first, 0);
    fmq_link_close(&second, 0);
    end(&play);
}

/* Before any client hears of its shard. */
static void the_server_hears_what_was_dealt_to_each_client(void **state)
{
    (void)state;
    play_t play;
    fmq_event_t event;
    fmq_message_shard_t note;
    bool heard[3] = {false};
    begin(&play);
    int64_t until = fmq_clock_ms() + STAGE_LIMIT_MS;
    while (!(heard[1] && heard[2]) && fmq_clock_ms() < until) {
        if (fmq_link_receive(play.stage.server, 100, &event, NULL) <= 0 ||
            event.type != FMQ_EVENT_NOTE || strncmp(event.topic, "shard-", 6) != 0)
            continue;
        assert_int_equal(event.role, FMQ_ROLE_SPLITTER);
        assert_int_equal(fmq_message_shard_decode(&note, event.data, event.size, NULL), 0);
        assert_in_range(note.client, 1, 2);
        assert_int_equal(note.client, strtoul(event.topic + 6, NULL, 10));
        assert_int_equal(note.train, 16);
        assert_int_equal(note.val, 2);
        assert_int_equal(note.test, 2);
        heard[note.client] = true;
    }
    assert_true(heard[1] && heard[2]);
    end(&play);
}

static void evaluators_get_the_server_held_records(void **state)
{
    (void)state;
    play_t play;
    begin(&play);
    fmq_link_t *evaluator = stage_join(&play.stage, "evaluator-1", FMQ_ROLE_EVALUATOR);
    fmq_message_shard_t note = hear_shard(evaluator);
    assert_int_equal(note.client, 0);
    assert_int_equal(note.train, 0);
    assert_int_equal(note.test, 4);
    fmq_bytes_reader_t reader = {0};
    assert_int_equal(fetch(evaluator, &note.shard, &reader), FMQ_RECEIVE_DONE);
    fmq_bytes_reader_release(&reader);
    fmq_link_close(&evaluator, 0);
    end(&play);
}

static void a_client_without_data_trains_on_its_shard(void **state)
{
    (void)state;
    play_t play;
    begin(&play);
    fmq_client_options_t options = {.context = &play.stage.context, .client = 1};
    zactor_t *client = fmq_pipe_start(fmq_client_actor, &options, "a client", NULL);
    stage_say_run(&play.stage, STAGE_RUN);
    assert_int_equal(stage_hear(&play.stage, FMQ_REPORT_IDLE, 0).shard_samples, 16);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    assert_int_equal(stage_hear(&play.stage, FMQ_REPORT_OFFER, 1).samples, 4);
    fmq_pipe_stop(&client);
    end(&play);
}

/* Somebody has its shard: the splitter is there, and hears what is said from now on. */
static void await_splitter(play_t *play)
{
    fmq_link_t *client = stage_join(&play->stage, "client-2", FMQ_ROLE_CLIENT);
    hear_shard(client);
    fmq_link_close(&client, 0);
}

static void the_end_of_the_run_ends_the_splitter(void **state)
{
    (void)state;
    play_t play;
    begin(&play);
    await_splitter(&play);
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_done(&play.stage, "finished");
    assert_int_equal(stage_end_of(play.splitter).code, FMQ_OK);
    end(&play);
}

static void a_run_that_failed_is_no_success_of_its_splitter(void **state)
{
    (void)state;
    play_t play;
    begin(&play);
    await_splitter(&play);
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_failed(&play.stage, "nothing came");
    fmq_error_t why = stage_end_of(play.splitter);
    assert_int_equal(why.code, FMQ_ERR_FAILED);
    assert_string_equal(why.text, "the run has failed: nothing came");
    end(&play);
}

static void the_end_of_an_older_run_does_not(void **state)
{
    (void)state;
    play_t play;
    fmq_error_t why;
    begin(&play);
    await_splitter(&play);
    stage_say_done(&play.stage, "finished");
    zclock_sleep(200);
    assert_false(fmq_pipe_ended(play.splitter, &why));
    end(&play);
}

/* A client, which may speak to splitters too, says that the run is over. */
static void the_end_is_the_servers_to_tell(void **state)
{
    (void)state;
    play_t play;
    fmq_error_t why;
    uint8_t body[1024];
    fmq_message_done_t done = {.run = STAGE_RUN, .reason = "evil"};
    begin(&play);
    stage_say_run(&play.stage, STAGE_RUN);
    fmq_link_t *client = stage_join(&play.stage, "client-2", FMQ_ROLE_CLIENT);
    hear_shard(client); /* the splitter is there */
    size_t size = fmq_message_done_encode(&done, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(client, "splitter", "done", body, size, NULL), 0);
    zclock_sleep(300);
    assert_false(fmq_pipe_ended(play.splitter, &why));
    fmq_link_close(&client, 0);
    end(&play);
}

static void data_that_cannot_be_read_ends_the_splitter_with_the_reason(void **state)
{
    (void)state;
    play_t play = {.path = "/tmp/fedmq-splitter-none"};
    stage_open(&play.stage, "data: {type: a.jsonl@llm, file_path: /nonexistent/a.jsonl,"
                            " splitter: iid}\n");
    fmq_splitter_options_t options = {.context = &play.stage.context};
    play.splitter = fmq_pipe_start(fmq_splitter_actor, &options, "a splitter", NULL);
    fmq_error_t why = stage_end_of(play.splitter);
    assert_int_not_equal(why.code, FMQ_OK);
    assert_non_null(strstr(why.text, "/nonexistent/a.jsonl"));
    end(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_gets_its_own_shard_and_nobody_elses),
        cmocka_unit_test(the_server_hears_what_was_dealt_to_each_client),
        cmocka_unit_test(evaluators_get_the_server_held_records),
        cmocka_unit_test(a_client_without_data_trains_on_its_shard),
        cmocka_unit_test(the_end_of_the_run_ends_the_splitter),
        cmocka_unit_test(a_run_that_failed_is_no_success_of_its_splitter),
        cmocka_unit_test(the_end_of_an_older_run_does_not),
        cmocka_unit_test(the_end_is_the_servers_to_tell),
        cmocka_unit_test(data_that_cannot_be_read_ends_the_splitter_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
