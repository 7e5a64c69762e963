/*
 * test_client_rules.c - whom a client believes: what the server alone may say
 * is said by a splitter, what the splitter alone may say by the server.  And
 * what it no longer offers, and does not report before it is on its disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/runtime/pipe.h"
#include "client_stage.h"
#include "fedmq/actors/shard.h"

#define SETTLE_MS 300 /* in which a client would have done what it must not do */
#define OTHER_RUN "ffffffffffffffffffffffffffffffff"

typedef struct {
    stage_t stage;
    llm_records_t *own;
    zactor_t *client;
    fmq_link_t *server, *splitter;
} play_t;

static void begin(play_t *play, const char *yaml, bool own, const char *directory)
{
    memset(play, 0, sizeof *play);
    stage_open_impatient(&play->stage, yaml, 500);
    play->own = own ? stage_records(0, 20) : NULL;
    play->server = play->stage.server;
    play->splitter = stage_join(&play->stage, "splitter", FMQ_ROLE_SPLITTER);
    fmq_client_options_t options = {
        .context = &play->stage.context, .client = 1, .directory = directory};
    options.own[0] = play->own;
    play->client = fmq_pipe_start(fmq_client_actor, &options, "a client", NULL);
    assert_non_null(play->client);
}

static void end(play_t *play)
{
    fmq_pipe_stop(&play->client);
    llm_records_destroy(&play->own);
    play->stage.server = play->server;
    fmq_link_close(&play->splitter, 0);
    stage_close(&play->stage);
}

/* What the stage says next, it says as this member. */
static void speak_as(play_t *play, fmq_link_t *link)
{
    play->stage.server = link;
}

static void what_only_the_server_may_say_is_believed_from_no_other(void **state)
{
    (void)state;
    play_t play;
    begin(&play, "", true, NULL);
    stage_say_run(&play.stage, STAGE_RUN);
    stage_hear(&play.stage, FMQ_REPORT_IDLE, 0);
    speak_as(&play, play.splitter);
    stage_say_task(&play.stage, 8, FMQ_TASK_FINISH);
    zclock_sleep(SETTLE_MS);
    stage_say_done(&play.stage, "finished");
    zclock_sleep(SETTLE_MS);
    stage_say_run(&play.stage, OTHER_RUN);
    zclock_sleep(SETTLE_MS);
    speak_as(&play, play.server);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN); /* of the first run */
    stage_hear(&play.stage, FMQ_REPORT_OFFER, 1);
    end(&play);
}

/* Offers a shard of so many records to client-1, as whoever link is. */
static void say_shard(play_t *play, fmq_link_t *link, uint32_t client, int records)
{
    llm_records_t *train = stage_records(0, records), *none = llm_records_new();
    const llm_records_t *const parts[3] = {train, none, none};
    fmq_object_t *shard = fmq_shard_encode(parts, &play->stage.err);
    assert_non_null(shard);
    uint8_t body[256];
    fmq_message_shard_t note = {.client = client,
                                .shard = *fmq_object_digest(shard),
                                .shard_bytes = fmq_object_bytes(shard),
                                .train = (uint64_t)records};
    size_t size = fmq_message_shard_encode(&note, body, sizeof body, NULL);
    assert_int_equal(fmq_link_publish(link, shard, "client-1", NULL), 0);
    assert_int_equal(fmq_link_note(link, "client-1", "shard", body, size, NULL), 0);
    fmq_object_drop(&shard);
    llm_records_destroy(&train);
    llm_records_destroy(&none);
}

static void a_shard_is_the_splitters_and_ones_own(void **state)
{
    (void)state;
    play_t play;
    begin(&play, "", false, NULL);
    stage_say_run(&play.stage, STAGE_RUN);
    say_shard(&play, play.server, 1, 3);
    zclock_sleep(SETTLE_MS);
    say_shard(&play, play.splitter, 2, 5);
    zclock_sleep(SETTLE_MS);
    say_shard(&play, play.splitter, 1, 7);
    assert_int_equal(stage_hear(&play.stage, FMQ_REPORT_IDLE, 0).shard_samples, 7);
    end(&play);
}

static void what_was_offered_is_withdrawn_when_the_next_task_comes(void **state)
{
    (void)state;
    play_t play;
    fmq_event_t event = {.type = FMQ_EVENT_UP};
    begin(&play, "", true, NULL);
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    fmq_message_report_t offer = stage_hear(&play.stage, FMQ_REPORT_OFFER, 1);
    stage_say_task(&play.stage, 2, FMQ_TASK_WAIT);
    stage_hear(&play.stage, FMQ_REPORT_IDLE, 2);
    assert_int_equal(
        fmq_link_fetch(play.server, "client-1", &offer.update, 0, offer.update_bytes, NULL), 0);
    while (event.type != FMQ_EVENT_FAILED && event.type != FMQ_EVENT_FETCHED)
        assert_int_equal(fmq_link_receive(play.server, 10000, &event, NULL), 1);
    assert_int_equal(event.type, FMQ_EVENT_FAILED);
    end(&play);
}

static void hear_failure(play_t *play, uint64_t serial, fmq_message_report_t *report)
{
    fmq_event_t event;
    while (report->serial != serial || report->phase == FMQ_REPORT_WORKING) {
        assert_int_equal(fmq_link_receive(play->server, 10000, &event, NULL), 1);
        if (event.type == FMQ_EVENT_NOTE && strcmp(event.topic, "report") == 0)
            assert_int_equal(fmq_message_report_decode(report, event.data, event.size, NULL), 0);
    }
    assert_int_equal(report->phase, FMQ_REPORT_FAILED);
}

/* A file is where its own states should go. */
static void what_cannot_be_kept_is_not_reported_as_trained(void **state)
{
    (void)state;
    play_t play;
    fmq_message_report_t report = {.phase = FMQ_REPORT_IDLE};
    char folder[] = "/tmp/fedmq-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/personal", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    begin(&play, "federate: {method: local}\n", true, folder);
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    hear_failure(&play, 1, &report);
    assert_non_null(strstr(report.reason, "personal"));
    end(&play);
    unlink(path);
    rmdir(folder);
}

/* Between tasks the disk alone has it: to begin anew in silence would be another
 * training than the one that was asked for. */
static void an_own_state_that_has_left_its_disk_fails_the_task(void **state)
{
    (void)state;
    play_t play;
    fmq_message_report_t report = {.phase = FMQ_REPORT_IDLE};
    char folder[] = "/tmp/fedmq-test-XXXXXX", path[96];
    assert_non_null(mkdtemp(folder));
    begin(&play, "federate: {method: local}\ntrain: {local_update_steps: 1}\n", true, folder);
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    stage_hear(&play.stage, FMQ_REPORT_OFFER, 1);
    snprintf(path, sizeof path, "%s/personal/client-1/round-000001.state", folder);
    assert_int_equal(unlink(path), 0);
    stage_say_task(&play.stage, 2, FMQ_TASK_TRAIN);
    hear_failure(&play, 2, &report);
    assert_non_null(strstr(report.reason, "trained in round 1 is not in"));
    end(&play);
    zdir_t *left = zdir_new(folder, NULL);
    zdir_remove(left, true);
    zdir_destroy(&left);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_only_the_server_may_say_is_believed_from_no_other),
        cmocka_unit_test(a_shard_is_the_splitters_and_ones_own),
        cmocka_unit_test(what_was_offered_is_withdrawn_when_the_next_task_comes),
        cmocka_unit_test(what_cannot_be_kept_is_not_reported_as_trained),
        cmocka_unit_test(an_own_state_that_has_left_its_disk_fails_the_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
