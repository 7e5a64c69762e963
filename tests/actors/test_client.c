/*
 * test_client.c - the client actor on a real router, with a server that is
 * played by hand: what it reports, what it offers, when it stops and ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/runtime/pipe.h"
#include "client_stage.h"

typedef struct {
    stage_t stage;
    llm_records_t *own[3];
    zactor_t *client;
    bool hosted;     /* beside its server */
    char folder[64]; /* its own, or empty */
} play_t;

static void start(play_t *play)
{
    fmq_client_options_t options = {.context = &play->stage.context,
                                    .client = 1,
                                    .hosted = play->hosted,
                                    .directory = *play->folder ? play->folder : NULL};
    memcpy(options.own, play->own, sizeof options.own);
    play->client = fmq_pipe_start(fmq_client_actor, &options, "a client", NULL);
    assert_non_null(play->client);
}

static void begin_impatient(play_t *play, const char *yaml, uint32_t timeout_ms)
{
    stage_open_impatient(&play->stage, yaml, timeout_ms);
    play->own[0] = stage_records(0, 20);
    play->own[1] = stage_records(100, 4);
    play->own[2] = stage_records(200, 6);
    start(play);
}

static void begin_with(play_t *play, const char *yaml)
{
    begin_impatient(play, yaml, 0);
}

static void end(play_t *play)
{
    fmq_pipe_stop(&play->client);
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&play->own[i]);
    stage_close(&play->stage);
}

static bool same(const play_t *play, const float *a, const float *b)
{
    return memcmp(a, b, play->stage.elements * sizeof *a) == 0;
}

static void a_client_with_data_of_its_own_is_idle_and_says_how_much_it_has(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "");
    stage_say_run(&play.stage, STAGE_RUN);
    fmq_message_report_t report = stage_hear(&play.stage, FMQ_REPORT_IDLE, 0);
    assert_int_equal(report.shard_samples, 20);
    assert_string_equal(report.run, STAGE_RUN);
    end(&play);
}

static void a_training_task_is_answered_with_an_update_that_the_server_can_fetch(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "train: {local_update_steps: 3}\n");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    fmq_message_report_t offer = stage_hear(&play.stage, FMQ_REPORT_OFFER, 1);
    assert_int_equal(offer.samples, 12);
    assert_non_null(fmq_metrics_get(&offer.metrics, "train_avg_loss"));
    float *update = stage_fetch(&play.stage, &offer);
    assert_false(same(&play, update, play.stage.state));

    /* The same task again: the same answer, and nothing is trained. */
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    stage_say_run(&play.stage, STAGE_RUN);
    zclock_sleep(300);
    fmq_event_t event;
    while (fmq_link_receive(play.stage.server, 100, &event, NULL) > 0) {
        fmq_message_report_t again;
        if (event.type != FMQ_EVENT_NOTE || strcmp(event.topic, "report") != 0)
            continue;
        assert_int_equal(fmq_message_report_decode(&again, event.data, event.size, NULL), 0);
        assert_int_equal(again.phase, FMQ_REPORT_OFFER);
        assert_true(fmq_digest_equal(&again.update, &offer.update));
    }
    free(update);
    end(&play);
}

static void an_evaluation_is_answered_with_metrics_of_the_given_state(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "eval: {split: [val, test]}\n");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_task(&play.stage, 1, FMQ_TASK_EVALUATE);
    fmq_message_report_t report = stage_hear(&play.stage, FMQ_REPORT_MEASURED, 1);
    const double *total = fmq_metrics_get(&report.metrics, "test_total");
    assert_non_null(total);
    assert_true(*total == 6);
    assert_non_null(fmq_metrics_get(&report.metrics, "val_avg_loss"));
    end(&play);
}

static void a_newer_task_stops_the_training_of_the_older_one(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "train: {local_update_steps: 1000000}\n");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    stage_hear(&play.stage, FMQ_REPORT_WORKING, 1);
    zclock_sleep(200); /* it is in the middle of a million steps */
    stage_say_task(&play.stage, 2, FMQ_TASK_EVALUATE);
    stage_hear(&play.stage, FMQ_REPORT_MEASURED, 2);
    end(&play);
}

static void progress_is_heard_while_a_client_trains(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    uint64_t seen = 0;
    begin_with(&play, "train: {local_update_steps: 1000000}\n");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    for (int i = 0; i < 100 && seen < 2; i++) {
        fmq_event_t event;
        if (fmq_link_receive(play.stage.server, 100, &event, NULL) > 0 &&
            event.type == FMQ_EVENT_MEMBER && event.alive && event.steps == 1000000)
            seen = event.step;
    }
    assert_true(seen >= 2);
    end(&play); /* and $TERM stops it at once */
}

static void a_local_method_goes_on_from_its_own_state(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "federate: {method: local}\ntrain: {local_update_steps: 2}\n");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    fmq_message_report_t first = stage_hear(&play.stage, FMQ_REPORT_OFFER, 1);
    stage_say_task(&play.stage, 2, FMQ_TASK_EVALUATE);
    fmq_message_report_t own = stage_hear(&play.stage, FMQ_REPORT_MEASURED, 2);
    stage_say_task(&play.stage, 3, FMQ_TASK_TRAIN);
    fmq_message_report_t second = stage_hear(&play.stage, FMQ_REPORT_OFFER, 3);
    assert_false(fmq_digest_equal(&first.update, &second.update));
    assert_true(*fmq_metrics_get(&second.metrics, "train_avg_loss") <
                *fmq_metrics_get(&first.metrics, "train_avg_loss"));
    assert_non_null(fmq_metrics_get(&own.metrics, "test_avg_loss"));
    end(&play);
}

/* The router gives up long before the state comes; that is no failure, and the
 * client neither says so nor forgets the task. */
/* Trains in rounds 1 to 3, dying after round `after` (0: never); `again`: the
 * round that is asked for again behind that. */
static void train_three(uint64_t after, uint64_t again, fmq_digest_t updates[4])
{
    play_t play = {.folder = "/tmp/fedmq-client-XXXXXX"};
    assert_non_null(mkdtemp(play.folder));
    begin_with(&play, "federate: {method: local}\ntrain: {local_update_steps: 2}\n");
    stage_say_run(&play.stage, STAGE_RUN);
    for (uint64_t round = 1; round <= 3; round++) {
        stage_say_task(&play.stage, round, FMQ_TASK_TRAIN);
        updates[round] = stage_hear(&play.stage, FMQ_REPORT_OFFER, round).update;
        if (round != after)
            continue;
        fmq_pipe_stop(&play.client);
        start(&play);
        stage_say_task(&play.stage, again, FMQ_TASK_TRAIN);
        fmq_message_report_t report = stage_hear(&play.stage, FMQ_REPORT_OFFER, again);
        assert_int_equal(report.samples, 8);
        assert_true(*fmq_metrics_get(&report.metrics, "train_steps") == 2);
        assert_true(fmq_digest_equal(&report.update, &updates[again]));
        round = again;
        after = 0; /* it dies once */
    }
    end(&play);
    zdir_t *left = zdir_new(play.folder, NULL);
    zdir_remove(left, true);
    zdir_destroy(&left);
}

static void with_method_local_a_client_that_comes_back_goes_on_to_the_same_bytes(void **state)
{
    (void)state;
    static const uint64_t deaths[][2] = {{1, 1}, {2, 2}, {3, 2}};
    fmq_digest_t whole[4], broken[4];
    train_three(0, 0, whole);
    for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++) {
        train_three(deaths[i][0], deaths[i][1], broken);
        for (int round = 1; round <= 3; round++)
            assert_true(fmq_digest_equal(&whole[round], &broken[round]));
    }
}

static double loss_at(play_t *play, uint64_t round)
{
    stage_say_task(&play->stage, round, FMQ_TASK_EVALUATE);
    fmq_message_report_t report = stage_hear(&play->stage, FMQ_REPORT_MEASURED, round);
    return *fmq_metrics_get(&report.metrics, "test_avg_loss");
}

/* A server that fell back measures again what it has measured, and goes on. */
static void with_method_local_a_measurement_is_of_the_state_of_its_round(void **state)
{
    (void)state;
    play_t play = {.folder = "/tmp/fedmq-client-XXXXXX"};
    assert_non_null(mkdtemp(play.folder));
    begin_with(&play, "federate: {method: local}\ntrain: {local_update_steps: 2}\n");
    stage_say_run(&play.stage, STAGE_RUN);
    for (uint64_t round = 1; round <= 2; round++) {
        stage_say_task(&play.stage, round, FMQ_TASK_TRAIN);
        stage_hear(&play.stage, FMQ_REPORT_OFFER, round);
    }
    double after_two = loss_at(&play, 3);
    stage_say_task(&play.stage, 3, FMQ_TASK_TRAIN);
    stage_hear(&play.stage, FMQ_REPORT_OFFER, 3);
    double after_three = loss_at(&play, 4);
    assert_true(after_three != after_two);
    assert_true(loss_at(&play, 3) == after_two);
    assert_true(loss_at(&play, 4) == after_three);
    end(&play);
    zdir_t *left = zdir_new(play.folder, NULL);
    zdir_remove(left, true);
    zdir_destroy(&left);
}

static void a_state_that_is_late_is_waited_for_while_the_task_stands(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_impatient(&play, "", 400);
    stage_say_run(&play.stage, STAGE_RUN);
    fmq_object_t *object = fmq_state_encode(llm_adapter_schema(play.stage.adapter),
                                            play.stage.state, FMQ_CODEC_F32, NULL);
    stage_say_state(&play.stage, 2, object);
    stage_hear(&play.stage, FMQ_REPORT_WORKING, 2);
    zclock_sleep(1500);
    assert_int_equal(fmq_link_publish(play.stage.server, object, "*", NULL), 0);
    stage_hear(&play.stage, FMQ_REPORT_OFFER, 2); /* fails when it hears FAILED */
    fmq_object_drop(&object);
    end(&play);
}

static void a_state_that_is_no_state_fails_the_task_until_it_is_asked_again(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "");
    stage_say_run(&play.stage, STAGE_RUN);
    fmq_object_t *rubbish = fmq_object_from_bytes("rubbish", 7, NULL);
    assert_int_equal(fmq_link_publish(play.stage.server, rubbish, "*", NULL), 0);
    for (int i = 0; i < 2; i++) {
        stage_say_state(&play.stage, 2, rubbish);
        stage_hear(&play.stage, FMQ_REPORT_FAILED, 2);
    }
    stage_say_task(&play.stage, 3, FMQ_TASK_TRAIN);
    stage_hear(&play.stage, FMQ_REPORT_OFFER, 3);
    fmq_object_drop(&rubbish);
    end(&play);
}

static void a_run_with_another_model_is_refused_with_status_mismatch(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    uint8_t body[512];
    begin_with(&play, "");
    fmq_message_run_t note = {.run = STAGE_RUN, .clients = 2, .model = {{7}}};
    note.schema = fmq_schema_digest(llm_adapter_schema(play.stage.adapter));
    size_t size = fmq_message_run_encode(&note, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(play.stage.server, "*", "run", body, size, NULL), 0);
    fmq_message_report_t report = stage_hear(&play.stage, FMQ_REPORT_FAILED, 0);
    assert_non_null(strstr(report.reason, "base model"));
    fmq_error_t why = stage_end_of(play.client);
    assert_int_equal(why.code, FMQ_ERR_MISMATCH);
    end(&play);
}

static void the_end_of_the_run_ends_the_client(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_hear(&play.stage, FMQ_REPORT_IDLE, 0);
    stage_say_done(&play.stage, "early stop");
    fmq_error_t why = stage_end_of(play.client);
    assert_int_equal(why.code, FMQ_OK);
    assert_string_equal(why.text, "early stop after 5 rounds");
    end(&play);
}

static void a_run_that_failed_is_no_success_of_its_client(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_hear(&play.stage, FMQ_REPORT_IDLE, 0);
    stage_say_failed(&play.stage, "three rounds brought nothing");
    fmq_error_t why = stage_end_of(play.client);
    assert_int_equal(why.code, FMQ_ERR_FAILED);
    assert_string_equal(why.text,
                        "the run has failed after 5 rounds: three rounds brought nothing");
    end(&play);
}

/* Beside its server it is that one which says so, with a code of its own. */
static void beside_its_server_a_client_leaves_the_failure_to_it(void **state)
{
    (void)state;
    play_t play = {.hosted = true};
    begin_with(&play, "");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_hear(&play.stage, FMQ_REPORT_IDLE, 0);
    stage_say_failed(&play.stage, "three rounds brought nothing");
    assert_int_equal(stage_end_of(play.client).code, FMQ_OK);
    end(&play);
}

static void a_second_client_of_that_number_is_turned_away(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_hear(&play.stage, FMQ_REPORT_IDLE, 0);
    fmq_client_options_t options = {.context = &play.stage.context, .client = 1};
    zactor_t *second = fmq_pipe_start(fmq_client_actor, &options, "a client", NULL);
    fmq_error_t why = stage_end_of(second);
    assert_int_equal(why.code, FMQ_ERR_DENIED);
    fmq_pipe_stop(&second);
    end(&play);
}

static void a_clients_own_overrides_are_used(void **state)
{
    (void)state;
    play_t play = {.client = NULL};
    begin_with(&play, "train: {local_update_steps: 3}\n"
                      "client_1: {dataloader: {batch_size: 2}}\n");
    stage_say_run(&play.stage, STAGE_RUN);
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    assert_int_equal(stage_hear(&play.stage, FMQ_REPORT_OFFER, 1).samples, 6);
    end(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_with_data_of_its_own_is_idle_and_says_how_much_it_has),
        cmocka_unit_test(a_training_task_is_answered_with_an_update_that_the_server_can_fetch),
        cmocka_unit_test(an_evaluation_is_answered_with_metrics_of_the_given_state),
        cmocka_unit_test(a_newer_task_stops_the_training_of_the_older_one),
        cmocka_unit_test(progress_is_heard_while_a_client_trains),
        cmocka_unit_test(a_local_method_goes_on_from_its_own_state),
        cmocka_unit_test(with_method_local_a_client_that_comes_back_goes_on_to_the_same_bytes),
        cmocka_unit_test(with_method_local_a_measurement_is_of_the_state_of_its_round),
        cmocka_unit_test(a_state_that_is_late_is_waited_for_while_the_task_stands),
        cmocka_unit_test(a_state_that_is_no_state_fails_the_task_until_it_is_asked_again),
        cmocka_unit_test(a_run_with_another_model_is_refused_with_status_mismatch),
        cmocka_unit_test(the_end_of_the_run_ends_the_client),
        cmocka_unit_test(a_run_that_failed_is_no_success_of_its_client),
        cmocka_unit_test(beside_its_server_a_client_leaves_the_failure_to_it),
        cmocka_unit_test(a_second_client_of_that_number_is_turned_away),
        cmocka_unit_test(a_clients_own_overrides_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
