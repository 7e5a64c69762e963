/*
 * test_client_course.c - the client's state machine, without sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actors/client/course.h"

static const fmq_digest_t model = {.bytes = {1}};
static const fmq_digest_t schema = {.bytes = {2}};
static const fmq_digest_t other = {.bytes = {9}};
static const char meaning[] = "eos_token_id=2 adapter=lora r=8 lora_alpha=16";

static fmq_message_run_t run_note(const char *id)
{
    fmq_message_run_t run = {.rounds = 5, .clients = 3, .model = model, .schema = schema};
    strncpy(run.run, id, sizeof run.run - 1);
    memcpy(run.meaning, meaning, sizeof meaning);
    return run;
}

static fmq_message_task_t task_note(const char *id, uint64_t serial, fmq_task_kind_t kind)
{
    fmq_message_task_t task = {.serial = serial, .round = (uint32_t)serial / 2, .kind = kind};
    strncpy(task.run, id, sizeof task.run - 1);
    task.state.bytes[0] = (uint8_t)serial;
    return task;
}

static void give_run(fmq_course_t *course, const char *id)
{
    fmq_message_run_t run = run_note(id);
    fmq_course_run(course, &run);
}

static void give_task(fmq_course_t *course, uint64_t serial, fmq_task_kind_t kind)
{
    fmq_message_task_t task = task_note("r1", serial, kind);
    fmq_course_task(course, &task);
}

/* A client that has its data and has said so. */
static fmq_course_t ready(void)
{
    fmq_course_t course;
    fmq_course_init(&course, &model, &schema, meaning);
    give_run(&course, "r1");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_LOAD);
    fmq_course_loaded(&course, 40);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
    return course;
}

static void begin_work(fmq_course_t *course, uint64_t serial, fmq_task_kind_t kind)
{
    give_task(course, serial, kind);
    fmq_course_action_t action = fmq_course_next(course);
    if (action == FMQ_DO_DROP)
        action = fmq_course_next(course);
    assert_int_equal(action, FMQ_DO_REPORT);
    assert_int_equal(course->report.phase, FMQ_REPORT_WORKING);
    assert_int_equal(fmq_course_next(course), FMQ_DO_FETCH);
    assert_int_equal(fmq_course_next(course), FMQ_DO_NOTHING);
    fmq_course_fetched(course);
    assert_int_equal(fmq_course_next(course),
                     kind == FMQ_TASK_TRAIN ? FMQ_DO_TRAIN : FMQ_DO_EVALUATE);
}

static void offer(fmq_course_t *course, uint8_t digest)
{
    fmq_message_report_t outcome = {.phase = FMQ_REPORT_OFFER, .samples = 12, .update_bytes = 99};
    outcome.update.bytes[0] = digest;
    fmq_course_finish(course, &outcome);
}

static void a_fresh_client_waits_for_a_run(void **state)
{
    (void)state;
    fmq_course_t course;
    fmq_course_init(&course, &model, &schema, meaning);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
    give_task(&course, 1, FMQ_TASK_TRAIN);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
}

static void once_its_data_are_there_it_reports_idle_with_their_number(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    assert_int_equal(course.report.phase, FMQ_REPORT_IDLE);
    assert_int_equal(course.report.serial, 0);
    assert_int_equal(course.report.shard_samples, 40);
    assert_string_equal(course.report.run, "r1");
}

/* It says so whenever it answers nothing else, and never trains. */
static void a_client_with_nothing_to_train_on_says_why_and_measures_all_the_same(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    fmq_metrics_t data = {0};
    assert_int_equal(fmq_metrics_set(&data, "data_records", 9, NULL), 0);
    fmq_course_describe(&course, &data, "no record fits");
    begin_work(&course, 4, FMQ_TASK_EVALUATE);
    assert_string_equal(course.report.reason, "no record fits");
    assert_non_null(fmq_metrics_get(&course.report.metrics, "data_records"));
    fmq_message_report_t outcome = {.phase = FMQ_REPORT_MEASURED};
    fmq_course_finish(&course, &outcome);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_MEASURED);
    assert_null(fmq_metrics_get(&course.report.metrics, "data_records"));
    assert_string_equal(course.report.reason, "no record fits");
    give_task(&course, 5, FMQ_TASK_TRAIN);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_DROP);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_FAILED);
    assert_int_equal(course.report.serial, 5);
    assert_string_equal(course.report.reason, "no record fits");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
}

static void a_client_whose_data_are_of_no_use_says_so_and_ends_with_that_error(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    fmq_error_t why = {.code = FMQ_ERR_CONFIG, .text = "nothing fits"};
    fmq_metrics_t data = {0};
    fmq_course_describe(&course, &data, why.text);
    fmq_course_useless(&course, &why);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_IDLE);
    assert_int_equal(course.report.shard_samples, 0);
    assert_string_equal(course.report.reason, "nothing fits");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_END);
    assert_true(course.failed);
    assert_int_equal(course.code, FMQ_ERR_CONFIG);
}

static void a_training_task_is_fetched_trained_and_offered(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    begin_work(&course, 4, FMQ_TASK_TRAIN);
    offer(&course, 7);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_OFFER);
    assert_int_equal(course.report.serial, 4);
    assert_int_equal(course.report.round, 2);
    assert_int_equal(course.report.samples, 12);
    assert_int_equal(course.report.update_bytes, 99);
    assert_int_equal(course.report.shard_samples, 40);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
}

static void a_repeated_task_is_answered_with_the_same_report_and_not_trained_again(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    begin_work(&course, 4, FMQ_TASK_TRAIN);
    offer(&course, 7);
    fmq_course_next(&course);
    fmq_message_report_t before = course.report;
    give_task(&course, 4, FMQ_TASK_TRAIN);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_memory_equal(&before, &course.report, sizeof before);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
}

/* A server that came back asks for what it has no answer to; that it failed last
 * time does not answer it. */
static void a_number_that_the_run_does_not_have_is_refused(void **state)
{
    (void)state;
    fmq_course_t course;
    fmq_message_run_t run = run_note("r1");
    for (uint32_t number = 3; number <= 4; number++) {
        fmq_course_init(&course, &model, &schema, meaning);
        course.number = number;
        fmq_course_run(&course, &run);
        assert_int_equal(course.failed, number == 4);
    }
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_FAILED);
    assert_non_null(strstr(course.reason, "federate.client_num"));
    assert_int_equal(fmq_course_next(&course), FMQ_DO_END);
}

static void a_task_that_failed_is_done_when_it_is_asked_again(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    give_task(&course, 2, FMQ_TASK_TRAIN);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_FETCH);
    fmq_course_fail(&course, "what came was no state");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_FAILED);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
    give_task(&course, 2, FMQ_TASK_TRAIN);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_DROP);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_WORKING);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_FETCH);
    give_task(&course, 2, FMQ_TASK_TRAIN); /* while it is at it, it is only told again */
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
}

static void an_equal_serial_for_another_state_is_a_new_task(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    begin_work(&course, 4, FMQ_TASK_TRAIN);
    offer(&course, 7);
    fmq_course_next(&course);
    fmq_message_task_t task = task_note("r1", 4, FMQ_TASK_TRAIN);
    task.state = other;
    fmq_course_task(&course, &task);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_DROP);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_FETCH);
}

static void a_newer_task_overtakes_the_work_at_hand(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    begin_work(&course, 4, FMQ_TASK_TRAIN);
    assert_false(fmq_course_overtaken(&course));
    give_task(&course, 6, FMQ_TASK_EVALUATE);
    assert_true(fmq_course_overtaken(&course));
    offer(&course, 7); /* too late: dropped */
    assert_int_equal(fmq_course_next(&course), FMQ_DO_DROP);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_WORKING);
    assert_int_equal(course.report.serial, 6);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_FETCH);
}

static void the_update_is_withdrawn_only_when_the_next_task_comes(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    begin_work(&course, 4, FMQ_TASK_TRAIN);
    offer(&course, 7);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
    give_task(&course, 5, FMQ_TASK_WAIT);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_DROP);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_IDLE);
    assert_int_equal(course.report.serial, 5);
}

static void an_evaluation_is_reported_with_its_metrics(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    begin_work(&course, 8, FMQ_TASK_EVALUATE);
    fmq_message_report_t outcome = {.phase = FMQ_REPORT_MEASURED, .seconds = 1.5};
    outcome.metrics.size = 1;
    strcpy(outcome.metrics.items[0].name, "val_loss");
    outcome.metrics.items[0].value = 3;
    fmq_course_finish(&course, &outcome);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_MEASURED);
    assert_int_equal(course.report.metrics.size, 1);
    assert_true(course.report.metrics.items[0].value == 3);
    assert_true(course.report.seconds == 1.5);
}

static void another_model_is_refused_with_both_digests_and_ends_the_client(void **state)
{
    (void)state;
    fmq_course_t course;
    fmq_course_init(&course, &model, &schema, meaning);
    fmq_message_run_t run = run_note("r1");
    run.model = other;
    fmq_course_run(&course, &run);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_FAILED);
    assert_non_null(strstr(course.report.reason, "base model"));
    assert_non_null(strstr(course.report.reason, "0900000000000000"));
    assert_non_null(strstr(course.report.reason, "0100000000000000"));
    assert_int_equal(fmq_course_next(&course), FMQ_DO_END);
    assert_true(course.failed);
}

/* Shapes and names are the same; what the numbers mean is not. */
static void another_meaning_of_the_same_tensors_is_refused_with_key_and_values(void **state)
{
    (void)state;
    static const struct {
        const char *meaning, *key, *server, *here;
    } cases[] = {
        {"eos_token_id=2 adapter=lora r=8 lora_alpha=512", "'lora_alpha'", "16 at", "512 here"},
        {"eos_token_id=0 adapter=lora r=8 lora_alpha=16", "'eos_token_id'", "2 at", "0 here"},
        {"eos_token_id=2 adapter=lora r=8", "'lora_alpha'", "16 at", "(nothing) here"},
        {"eos_token_id=2 adapter=lora r=8 lora_alpha=16 x=1", "'x'", "(nothing) at", "1 here"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_course_t course;
        fmq_course_init(&course, &model, &schema, cases[i].meaning);
        give_run(&course, "r1");
        assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
        assert_int_equal(course.report.phase, FMQ_REPORT_FAILED);
        assert_non_null(strstr(course.report.reason, cases[i].key));
        assert_non_null(strstr(course.report.reason, cases[i].server));
        assert_non_null(strstr(course.report.reason, cases[i].here));
        assert_int_equal(fmq_course_next(&course), FMQ_DO_END);
        assert_true(course.failed);
    }
}

static void another_set_of_trained_tensors_is_refused_too(void **state)
{
    (void)state;
    fmq_course_t course;
    fmq_course_init(&course, &model, &other, meaning);
    give_run(&course, "r1");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_non_null(strstr(course.report.reason, "trained tensors"));
    assert_int_equal(fmq_course_next(&course), FMQ_DO_END);
}

static void a_state_that_cannot_be_had_is_reported_and_the_client_stays(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    give_task(&course, 4, FMQ_TASK_TRAIN);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_FETCH);
    fmq_course_fail(&course, "no such object");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_FAILED);
    assert_string_equal(course.report.reason, "no such object");
    assert_int_equal(course.report.serial, 4);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
    begin_work(&course, 6, FMQ_TASK_TRAIN);
}

static void without_data_there_is_no_client(void **state)
{
    (void)state;
    fmq_course_t course;
    fmq_course_init(&course, &model, &schema, meaning);
    give_run(&course, "r1");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_LOAD);
    fmq_course_fail(&course, "the shard is broken");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_FAILED);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_END);
    assert_true(course.failed);
}

static void a_task_that_came_before_the_data_is_begun_afterwards(void **state)
{
    (void)state;
    fmq_course_t course;
    fmq_course_init(&course, &model, &schema, meaning);
    give_task(&course, 2, FMQ_TASK_TRAIN);
    give_run(&course, "r1");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_LOAD);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
    fmq_course_loaded(&course, 5);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.serial, 2);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_FETCH);
}

static void a_task_of_another_run_is_left_alone(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    fmq_message_task_t task = task_note("r2", 3, FMQ_TASK_TRAIN);
    fmq_course_task(&course, &task);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
    give_run(&course, "r2");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_string_equal(course.report.run, "r2");
    assert_int_equal(fmq_course_next(&course), FMQ_DO_FETCH);
}

static void a_new_run_ends_the_work_of_the_old_one(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    begin_work(&course, 4, FMQ_TASK_TRAIN);
    give_run(&course, "r2");
    assert_true(fmq_course_overtaken(&course));
    offer(&course, 7);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_DROP);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_REPORT);
    assert_int_equal(course.report.phase, FMQ_REPORT_IDLE);
    assert_int_equal(course.report.serial, 0);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
}

static void finish_and_done_end_the_client_without_failure(void **state)
{
    (void)state;
    fmq_course_t course = ready();
    give_task(&course, 9, FMQ_TASK_FINISH);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_END);
    assert_false(course.failed);

    course = ready();
    fmq_message_done_t done = {.run = "r1", .rounds = 7, .failed = true, .reason = "early stop"};
    fmq_course_done(&course, &done);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_END);
    assert_string_equal(course.reason, "early stop");
    assert_int_equal(course.rounds, 7);
    assert_true(course.run_failed);
    assert_false(course.failed); /* this client has done what it should */

    course = ready();
    memcpy(done.run, "r0", 3);
    fmq_course_done(&course, &done);
    assert_int_equal(fmq_course_next(&course), FMQ_DO_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_client_waits_for_a_run),
        cmocka_unit_test(once_its_data_are_there_it_reports_idle_with_their_number),
        cmocka_unit_test(a_client_with_nothing_to_train_on_says_why_and_measures_all_the_same),
        cmocka_unit_test(a_client_whose_data_are_of_no_use_says_so_and_ends_with_that_error),
        cmocka_unit_test(a_training_task_is_fetched_trained_and_offered),
        cmocka_unit_test(a_repeated_task_is_answered_with_the_same_report_and_not_trained_again),
        cmocka_unit_test(a_number_that_the_run_does_not_have_is_refused),
        cmocka_unit_test(a_task_that_failed_is_done_when_it_is_asked_again),
        cmocka_unit_test(an_equal_serial_for_another_state_is_a_new_task),
        cmocka_unit_test(a_newer_task_overtakes_the_work_at_hand),
        cmocka_unit_test(the_update_is_withdrawn_only_when_the_next_task_comes),
        cmocka_unit_test(an_evaluation_is_reported_with_its_metrics),
        cmocka_unit_test(another_model_is_refused_with_both_digests_and_ends_the_client),
        cmocka_unit_test(another_meaning_of_the_same_tensors_is_refused_with_key_and_values),
        cmocka_unit_test(another_set_of_trained_tensors_is_refused_too),
        cmocka_unit_test(a_state_that_cannot_be_had_is_reported_and_the_client_stays),
        cmocka_unit_test(without_data_there_is_no_client),
        cmocka_unit_test(a_task_that_came_before_the_data_is_begun_afterwards),
        cmocka_unit_test(a_task_of_another_run_is_left_alone),
        cmocka_unit_test(a_new_run_ends_the_work_of_the_old_one),
        cmocka_unit_test(finish_and_done_end_the_client_without_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
