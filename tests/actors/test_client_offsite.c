/*
 * test_client_offsite.c - a client that holds an emulator instead of the model:
 * what it fetches, what its updates depend on, and what it reports.
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

/* Layers 0 to 2 of 4 are emulated by 2, the last one is the adapter. */
#define EMULATED                                                                                   \
    "llm: {offsite_tuning: {use: True, emu_l: 0, emu_r: 3, kwargs: [{drop_ratio: 0.34}]}}\n"       \
    "eval: {split: [val, test]}\n"                                                                 \
    "train: {local_update_steps: 3}\n"
#define ALIGNED(more)                                                                              \
    "llm: {offsite_tuning: {use: True, emu_l: 0, emu_r: 3, kwargs: [{drop_ratio: 0.34}],"          \
    " emu_align: {use: True, initial_only: False, train: {lm_loss_weight: 10, kd_loss_weight: 1}}" \
    "}}\ntrain: {local_update_steps: 3}\n" more

typedef struct {
    stage_t stage;
    llm_records_t *own[3];
    zactor_t *client;
} play_t;

static void start(play_t *play)
{
    fmq_client_options_t options = {.context = &play->stage.context, .client = 1};
    memcpy(options.own, play->own, sizeof options.own);
    play->client = fmq_pipe_start(fmq_client_actor, &options, "a client", NULL);
    assert_non_null(play->client);
    stage_say_run(&play->stage, STAGE_RUN);
}

static void begin(play_t *play, const char *yaml)
{
    *play = (play_t){.own = {stage_records(0, 20), stage_records(100, 4), stage_records(200, 6)}};
    stage_open(&play->stage, yaml);
    start(play);
}

/* On top of what the stage was opened with. */
static void add_yaml(play_t *play, const char *yaml)
{
    fmq_error_t err = {0};
    if (fmq_config_parse(play->stage.config, "more", yaml, strlen(yaml), &err) < 0)
        fail_msg("%s", err.text);
}

static void end(play_t *play)
{
    fmq_pipe_stop(&play->client);
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&play->own[i]);
    stage_close(&play->stage);
}

static fmq_message_report_t train(play_t *play, uint64_t serial)
{
    stage_say_task(&play->stage, serial, FMQ_TASK_TRAIN);
    return stage_hear(&play->stage, FMQ_REPORT_OFFER, serial);
}

static double metric(const fmq_message_report_t *report, const char *name)
{
    const double *value = fmq_metrics_get(&report->metrics, name);
    if (!value)
        fail_msg("there is no metric %s", name);
    return value ? *value : 0;
}

/* Moves E away from having no effect. */
static void move_emulator(play_t *play, float by)
{
    const llm_adapter_t *state = llm_emulator_offsite(play->stage.emulator)->state;
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(state));
    for (uint64_t i = 0; i < elements; i++)
        play->stage.emulator_vector[i] += i % 2 ? by : -by;
}

static void a_client_without_the_model_trains_what_the_full_model_has(void **state)
{
    (void)state;
    play_t play;
    begin(&play, EMULATED);
    assert_null(play.stage.context.model);
    fmq_message_report_t offer = train(&play, 1);
    assert_int_equal(offer.samples, 12);
    assert_null(fmq_metrics_get(&offer.metrics, "train_proximal_loss"));
    float *update = stage_fetch(&play.stage, &offer);
    assert_memory_not_equal(update, play.stage.state, play.stage.elements * sizeof *update);
    const fmq_tensor_t *first = fmq_schema_at(llm_adapter_schema(play.stage.context.adapter), 0);
    assert_non_null(strstr(first->name, "layers.3.")); /* of the full model, not of 3 layers */
    free(update);
    end(&play);
}

static void its_measurements_say_that_they_are_the_emulators(void **state)
{
    (void)state;
    play_t play;
    begin(&play, EMULATED);
    stage_say_task(&play.stage, 1, FMQ_TASK_EVALUATE);
    fmq_message_report_t report = stage_hear(&play.stage, FMQ_REPORT_MEASURED, 1);
    assert_true(metric(&report, "emulator.test_total") == 6);
    assert_true(metric(&report, "emulator.val_avg_loss") > 0);
    assert_null(fmq_metrics_get(&report.metrics, "test_total"));

    /* It is the emulator that came with the task. */
    move_emulator(&play, 0.05f);
    stage_say_task(&play.stage, 2, FMQ_TASK_EVALUATE);
    fmq_message_report_t moved = stage_hear(&play.stage, FMQ_REPORT_MEASURED, 2);
    assert_true(metric(&moved, "emulator.test_loss") != metric(&report, "emulator.test_loss"));
    end(&play);
}

static void every_task_is_trained_with_its_own_emulator(void **state)
{
    (void)state;
    play_t play;
    begin(&play, EMULATED);
    fmq_message_report_t first = train(&play, 7);
    move_emulator(&play, 0.05f);
    fmq_message_report_t second = train(&play, 8);
    assert_false(fmq_digest_equal(&first.update, &second.update));
    end(&play);

    /* A client that never saw the first one gives the same bytes. */
    begin(&play, EMULATED);
    move_emulator(&play, 0.05f);
    fmq_message_report_t again = train(&play, 8);
    assert_true(fmq_digest_equal(&again.update, &second.update));
    end(&play);
}

static void an_emulator_that_is_here_is_not_fetched_again(void **state)
{
    (void)state;
    play_t play;
    begin(&play, EMULATED);
    train(&play, 1);
    fmq_digest_t digest = play.stage.emulator_digest;
    /* The next task names it, but nobody could fetch it any more. */
    fmq_message_task_t note = {.run = STAGE_RUN,
                               .serial = 2,
                               .round = 2,
                               .kind = FMQ_TASK_TRAIN,
                               .emulator = digest,
                               .emulator_bytes = 1,
                               .codec = FMQ_CODEC_F32};
    uint8_t body[512];
    fmq_object_t *object = fmq_state_encode(llm_adapter_schema(play.stage.context.adapter),
                                            play.stage.state, FMQ_CODEC_F32, NULL);
    note.state = *fmq_object_digest(object);
    note.state_bytes = fmq_object_bytes(object);
    assert_int_equal(fmq_link_withdraw(play.stage.server, &digest, NULL), 0);
    assert_int_equal(fmq_link_publish(play.stage.server, object, "*", NULL), 0);
    fmq_object_drop(&object);
    size_t size = fmq_message_task_encode(&note, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(play.stage.server, "client-1", "task", body, size, NULL), 0);
    stage_hear(&play.stage, FMQ_REPORT_OFFER, 2);

    /* Another one it would have to fetch. */
    note.serial = note.round = 3;
    note.emulator.bytes[0] ^= 1;
    size = fmq_message_task_encode(&note, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(play.stage.server, "client-1", "task", body, size, NULL), 0);
    stage_hear(&play.stage, FMQ_REPORT_WORKING, 3);
    fmq_event_t event;
    zclock_sleep(200);
    while (fmq_link_receive(play.stage.server, 300, &event, NULL) > 0)
        assert_string_not_equal(event.topic, "report"); /* neither trained nor failed */
    /* ... and what it had is not taken for it afterwards. */
    train(&play, 4);
    end(&play);
}

static void a_task_without_an_emulator_is_refused_and_the_next_one_done(void **state)
{
    (void)state;
    play_t play;
    begin(&play, EMULATED);
    llm_emulator_t *emulator = play.stage.emulator;
    play.stage.emulator = NULL; /* the server sends none */
    stage_say_task(&play.stage, 1, FMQ_TASK_TRAIN);
    fmq_message_report_t report = stage_hear(&play.stage, FMQ_REPORT_FAILED, 1);
    assert_non_null(strstr(report.reason, "without offsite tuning"));
    play.stage.emulator = emulator;
    train(&play, 2);
    end(&play);
}

static void the_regulariser_pulls_unless_it_is_that_of_the_released_code(void **state)
{
    (void)state;
    static const char *const yamls[] = {EMULATED, ALIGNED(""),
                                        ALIGNED("fedmq: {released_fedbiot: True}\n")};
    fmq_message_report_t reports[3];
    for (int i = 0; i < 3; i++) {
        play_t play;
        begin(&play, yamls[i]);
        for (size_t k = 0; k < play.stage.elements; k++) /* B A does not begin at zero */
            play.stage.state[k] += 0.01f;
        reports[i] = train(&play, 1);
        end(&play);
    }
    assert_null(fmq_metrics_get(&reports[0].metrics, "train_proximal_loss"));
    assert_true(metric(&reports[1], "train_proximal_loss") > 0);
    assert_true(metric(&reports[2], "train_proximal_loss") >
                metric(&reports[1], "train_proximal_loss"));
    assert_false(fmq_digest_equal(&reports[0].update, &reports[1].update));
    assert_true(fmq_digest_equal(&reports[0].update, &reports[2].update));
}

static void kept_prefixes_change_no_byte(void **state)
{
    (void)state;
    fmq_message_report_t reports[2][4];
    for (int kept = 0; kept < 2; kept++) {
        play_t play = {.own = {stage_records(0, 20), stage_records(100, 4), stage_records(200, 6)}};
        llm_prefix_budget_t *budget = llm_prefix_budget_new(1 << 20);
        stage_open(&play.stage, EMULATED);
        play.stage.context.prefixes = kept ? budget : NULL;
        start(&play);
        for (uint64_t round = 0; round < 4; round++) {
            if (round == 2)
                move_emulator(&play, 0.05f); /* what was kept is of no use any more */
            reports[kept][round] = train(&play, 1 + round);
        }
        end(&play);
        llm_prefix_budget_destroy(&budget);
    }
    for (int round = 0; round < 4; round++) {
        assert_true(fmq_digest_equal(&reports[0][round].update, &reports[1][round].update));
        assert_true(metric(&reports[0][round], "train_loss") ==
                    metric(&reports[1][round], "train_loss"));
    }
}

static void what_it_trained_is_saved_for_the_full_model(void **state)
{
    (void)state;
    char folder[] = "/tmp/fedmq-client-XXXXXX", path[128];
    fmq_error_t err = {0};
    play_t play = {.own = {stage_records(0, 20), NULL, NULL}};
    assert_non_null(mkdtemp(folder));
    stage_open(&play.stage, EMULATED "federate: {save_client_model: True}\n");
    fmq_client_options_t options = {
        .context = &play.stage.context, .client = 1, .own = {play.own[0]}, .directory = folder};
    play.client = fmq_pipe_start(fmq_client_actor, &options, "a client", NULL);
    stage_say_run(&play.stage, STAGE_RUN);
    fmq_message_report_t offer = train(&play, 1);
    float *update = stage_fetch(&play.stage, &offer);
    float *saved = calloc(play.stage.elements, sizeof *saved);
    snprintf(path, sizeof path, "%s/clients/client-1", folder);
    if (llm_adapter_load(play.stage.context.adapter, path, saved, &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(saved, update, play.stage.elements * sizeof *saved);
    free(saved);
    free(update);
    end(&play);
    zdir_t *left = zdir_new(folder, NULL);
    zdir_remove(left, true);
    zdir_destroy(&left);
}

static void it_can_be_ended_while_its_model_writes_labels(void **state)
{
    (void)state;
    play_t play = {.own = {stage_records(0, 2000), NULL, NULL}};
    stage_open(&play.stage, EMULATED);
    add_yaml(&play, "llm: {max_new_token: 60, offsite_tuning: {llm_generated: {use: True, "
                    "ratio: 1.0}}}\n");
    start(&play);
    uint64_t seen = 0;
    for (int i = 0; i < 200 && seen < 1; i++) {
        fmq_event_t event;
        if (fmq_link_receive(play.stage.server, 100, &event, NULL) > 0 &&
            event.type == FMQ_EVENT_MEMBER && event.alive && event.steps == 2000)
            seen = event.step;
    }
    assert_in_range(seen, 1, 1999); /* it is heard while it is at it ... */
    stage_say_done(&play.stage, "early stop");
    fmq_error_t why = stage_end_of(play.client); /* ... and stops */
    assert_string_equal(why.text, "early stop after 5 rounds");
    end(&play);
}

static void labels_of_its_model_are_used_and_are_the_same_each_time(void **state)
{
    (void)state;
    static const char generated[] = "llm: {max_new_token: 8, offsite_tuning: {llm_generated: "
                                    "{use: True, ratio: 1.0}}}\n";
    fmq_message_report_t reports[3];
    for (int i = 0; i < 3; i++) {
        play_t play;
        play = (play_t){.own = {stage_records(0, 20), NULL, NULL}};
        stage_open(&play.stage, EMULATED);
        if (i)
            add_yaml(&play, generated);
        start(&play);
        reports[i] = train(&play, 1);
        end(&play);
    }
    assert_false(fmq_digest_equal(&reports[0].update, &reports[1].update));
    assert_true(fmq_digest_equal(&reports[1].update, &reports[2].update));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_without_the_model_trains_what_the_full_model_has),
        cmocka_unit_test(its_measurements_say_that_they_are_the_emulators),
        cmocka_unit_test(every_task_is_trained_with_its_own_emulator),
        cmocka_unit_test(an_emulator_that_is_here_is_not_fetched_again),
        cmocka_unit_test(a_task_without_an_emulator_is_refused_and_the_next_one_done),
        cmocka_unit_test(the_regulariser_pulls_unless_it_is_that_of_the_released_code),
        cmocka_unit_test(kept_prefixes_change_no_byte),
        cmocka_unit_test(what_it_trained_is_saved_for_the_full_model),
        cmocka_unit_test(it_can_be_ended_while_its_model_writes_labels),
        cmocka_unit_test(labels_of_its_model_are_used_and_are_the_same_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
