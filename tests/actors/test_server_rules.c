/*
 * test_server_rules.c - what a server takes from whom: reports and metrics of
 * another run, round, task or role change nothing; and what stays published.
 */
#include "fake_federation.h"

#include <unistd.h>

#include "actors/storage/checkpoint.h"
#include "actors/storage/file.h"
#include "fedmq/base/clock.h"
#include "tests/broker/fabric.h"

#define LIMIT_MS  20000
#define SETTLE_MS 300 /* in which a server would have done what it must not do */

static const char other_run[] = "ffffffffffffffffffffffffffffffff";

/* The run, as its note tells. */
static void await_run(fmq_link_t *link, char run[FMQ_RUN_ID_SIZE])
{
    fmq_event_t event;
    fmq_message_run_t note;
    assert_true(fabric_await_note(link, "run", &event));
    assert_int_equal(fmq_message_run_decode(&note, event.data, event.size, NULL), 0);
    memcpy(run, note.run, FMQ_RUN_ID_SIZE);
}

static fmq_message_task_t await_task(fmq_link_t *link, fmq_task_kind_t kind)
{
    fmq_event_t event;
    fmq_message_task_t task = {.kind = FMQ_TASK_FINISH};
    while (task.kind != kind) {
        assert_true(fabric_await_note(link, "task", &event));
        assert_int_equal(event.role, FMQ_ROLE_SERVER);
        assert_int_equal(fmq_message_task_decode(&task, event.data, event.size, NULL), 0);
    }
    return task;
}

static void send_report(fmq_link_t *link, const fmq_message_report_t *report)
{
    unsigned char body[FMQ_NOTE_MAX];
    size_t size = fmq_message_report_encode(report, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(link, "server", "report", body, size, NULL), 0);
}

static void send_metrics(fmq_link_t *link, const char *run, uint32_t round, double value)
{
    unsigned char body[FMQ_NOTE_MAX];
    fmq_message_metrics_t note = {.round = round};
    memcpy(note.run, run, sizeof note.run);
    assert_int_equal(fmq_metrics_set(&note.metrics, "val_loss", value, NULL), 0);
    size_t size = fmq_message_metrics_encode(&note, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(link, "server", "metrics", body, size, NULL), 0);
}

static char *metrics_file(const federation_t *f)
{
    char path[256];
    size_t size;
    return fmq_file_load(test_path(path, f->folder, "metrics.jsonl"), 1u << 20, &size, NULL);
}

/* Waits for a line of metrics.jsonl with this in it. */
static void await_metric(const federation_t *f, const char *what)
{
    for (int i = 0; i < 2000; i++) {
        char *text = metrics_file(f);
        bool there = text && strstr(text, what);
        free(text);
        if (there)
            return;
        zclock_sleep(5);
    }
    fail_msg("metrics.jsonl has no '%s'", what);
}

static void expect_no_metric(const federation_t *f, const char *what)
{
    char *text = metrics_file(f);
    if (text && strstr(text, what))
        fail_msg("metrics.jsonl has '%s'", what);
    free(text);
}

static void a_report_of_another_run_makes_nobody_ready(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 2, 1);
    f.settings.limits.min_ready = 1;
    fake_start_server(&f);
    fmq_link_t *second = fabric_link(f.endpoint, "client-2", FMQ_ROLE_CLIENT);
    char run[FMQ_RUN_ID_SIZE];
    await_run(second, run);
    fmq_message_report_t report = {.phase = FMQ_REPORT_IDLE};
    memcpy(report.run, other_run, sizeof other_run);
    send_report(second, &report);
    zclock_sleep(SETTLE_MS);
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0); /* client 2 was not asked */
    fake_check(&f, fake_expected(&f, (uint32_t[]){0x2}, 1));
    fmq_link_close(&second, 0);
    fake_close(&f);
}

/* Publishes a state of zeros and offers it in answer to a task. */
static void offer_zeros(const federation_t *f, fmq_link_t *link, const fmq_message_task_t *task)
{
    float *zeros = calloc(f->elements, sizeof *zeros);
    fmq_object_t *object = fmq_state_encode(f->schema, zeros, FMQ_CODEC_F32, NULL);
    assert_int_equal(fmq_link_publish(link, object, "server", NULL), 0);
    fmq_message_report_t report = {.phase = FMQ_REPORT_OFFER,
                                   .serial = task->serial,
                                   .round = task->round,
                                   .update = *fmq_object_digest(object),
                                   .update_bytes = fmq_object_bytes(object),
                                   .samples = 1};
    memcpy(report.run, task->run, sizeof report.run);
    send_report(link, &report);
    fmq_object_drop(&object);
    free(zeros);
}

/* Client 2 answers tasks other than the one that it has; that counts for
 * nothing.  Then it fails, and the round is closed without it. */
static void answers_to_another_task_or_run_do_not_count(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 2, 1);
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    fmq_link_t *second = fabric_link(f.endpoint, "client-2", FMQ_ROLE_CLIENT);
    fmq_message_report_t report = {.phase = FMQ_REPORT_IDLE};
    await_run(second, report.run);
    send_report(second, &report);
    fmq_message_task_t task = await_task(second, FMQ_TASK_TRAIN), wrong = task;
    wrong.serial = task.serial + 8;
    offer_zeros(&f, second, &wrong);
    zclock_sleep(SETTLE_MS);
    wrong = task;
    memcpy(wrong.run, other_run, sizeof other_run);
    offer_zeros(&f, second, &wrong);
    zclock_sleep(SETTLE_MS);
    report.phase = FMQ_REPORT_FAILED;
    report.serial = task.serial;
    strcpy(report.reason, "does not want to");
    send_report(second, &report);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0x2}, 1));
    fmq_link_close(&second, 0);
    fake_close(&f);
}

static void count_refused(void *argument, fmq_log_level_t level, const char *line)
{
    (void)level;
    int *seen = argument;
    *seen += strstr(line, "message-refused name=client-9 topic=metrics") &&
             strstr(line, "'metrics' is not for a client to say");
}

static void metrics_count_from_evaluators_of_this_run_and_of_rounds_that_were(void **state)
{
    (void)state;
    federation_t f;
    char run[FMQ_RUN_ID_SIZE];
    fake_open(&f, 1, 1);
    f.settings.limits.min_ready = 1;
    int refused = 0;
    fmq_log_t *log = fmq_log_new(count_refused, &refused, FMQ_LOG_WARNING);
    fake_prepare(&f);
    f.options.log = log;
    fake_start_prepared(&f); /* stays in round 0: nobody trains */
    fmq_link_t *evaluator = fabric_link(f.endpoint, "evaluator-1", FMQ_ROLE_EVALUATOR);
    fmq_link_t *client = fabric_link(f.endpoint, "client-9", FMQ_ROLE_CLIENT);
    await_run(evaluator, run);
    send_metrics(client, run, 0, 777);
    send_metrics(evaluator, run, 1, 888);
    zclock_sleep(SETTLE_MS);
    send_metrics(evaluator, other_run, 0, 999);
    zclock_sleep(SETTLE_MS);
    send_metrics(evaluator, run, 0, 111);
    await_metric(&f, "{\"val_loss\":111");
    expect_no_metric(&f, "{\"val_loss\":777");
    expect_no_metric(&f, "{\"val_loss\":888");
    expect_no_metric(&f, "{\"val_loss\":999");
    fmq_link_close(&client, 0);
    fmq_link_close(&evaluator, 0);
    fake_interrupt(&f);
    fake_close(&f);
    fmq_log_destroy(&log);
    assert_int_equal(refused, 1); /* with a word */
}

/* Who is at a state when the next one comes can still fetch it; the one before
 * that is gone. */
static void the_two_newest_states_stay_published(void **state)
{
    (void)state;
    federation_t f;
    fmq_digest_t seen[3];
    fmq_message_report_t report = {.phase = FMQ_REPORT_IDLE};
    fake_open(&f, 1, 5);
    fake_start_server(&f);
    fmq_link_t *client = fabric_link(f.endpoint, "client-1", FMQ_ROLE_CLIENT);
    await_run(client, report.run);
    send_report(client, &report);
    for (int round = 0; round < 3; round++) {
        fmq_message_task_t task = await_task(client, FMQ_TASK_TRAIN);
        seen[round] = task.state;
        bool kept[3] = {false};
        for (int i = 0; i <= round; i++)
            kept[i] = fmq_store_has(f.store, &seen[i], "server");
        assert_true(kept[round]);
        assert_true(round == 0 || kept[round - 1]);
        assert_false(round == 2 && kept[0]);
        float *update = test_vector(f.schema, (uint32_t)round);
        fmq_object_t *object = fmq_state_encode(f.schema, update, FMQ_CODEC_F32, NULL);
        assert_int_equal(fmq_link_publish(client, object, "server", NULL), 0);
        fmq_message_report_t offer = {.phase = FMQ_REPORT_OFFER,
                                      .serial = task.serial,
                                      .round = task.round,
                                      .update = *fmq_object_digest(object),
                                      .update_bytes = fmq_object_bytes(object),
                                      .samples = 3};
        memcpy(offer.run, task.run, sizeof offer.run);
        send_report(client, &offer);
        fmq_object_drop(&object);
        free(update);
    }
    fmq_link_close(&client, 0);
    fake_interrupt(&f);
    fake_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_of_another_run_makes_nobody_ready),
        cmocka_unit_test(answers_to_another_task_or_run_do_not_count),
        cmocka_unit_test(metrics_count_from_evaluators_of_this_run_and_of_rounds_that_were),
        cmocka_unit_test(the_two_newest_states_stay_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
