/*
 * test_server_watchers.c - for which evaluators the end of a run waits: those
 * that are played here by hand say that they will measure, or why not, or
 * nothing at all.
 */
#include "fake_federation.h"

#include <pthread.h>

#include "tests/broker/fabric.h"

#define LIMIT_MS 60000
#define NAME     "evaluator-1"

typedef struct {
    federation_t run;
    fmq_log_t *log;
    pthread_mutex_t lock; /* of text */
    char text[16384];     /* of the log, and what was said */
    fmq_link_t *evaluator;
} scene_t;

static void write_down(scene_t *self, const char *line)
{
    pthread_mutex_lock(&self->lock);
    size_t used = strlen(self->text);
    (void)snprintf(self->text + used, sizeof self->text - used, "%s\n", line);
    pthread_mutex_unlock(&self->lock);
}

static void on_log(void *argument, fmq_log_level_t level, const char *line)
{
    (void)level;
    write_down(argument, line);
}

static void on_say(void *argument, const char *line)
{
    write_down(argument, line);
}

static bool was_told(scene_t *self, const char *what)
{
    pthread_mutex_lock(&self->lock);
    bool found = strstr(self->text, what) != NULL;
    pthread_mutex_unlock(&self->lock);
    return found;
}

static void await_told(scene_t *self, const char *what)
{
    int64_t end = fmq_clock_ms() + LIMIT_MS;
    while (!was_told(self, what)) {
        if (fmq_clock_ms() > end)
            fail_msg("nothing says '%s'", what);
        zclock_sleep(5);
    }
}

static int set_up(void **state)
{
    scene_t *self = calloc(1, sizeof *self);
    assert_int_equal(pthread_mutex_init(&self->lock, NULL), 0);
    fake_open(&self->run, 1, 1);
    fake_prepare(&self->run);
    self->log = fmq_log_new(on_log, self, FMQ_LOG_INFO);
    self->run.options.log = self->log;
    self->run.options.say = on_say;
    self->run.options.say_argument = self;
    self->evaluator =
        fabric_link_with(self->run.endpoint, NAME, FMQ_ROLE_EVALUATOR, self->run.store);
    assert_non_null(self->evaluator);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    scene_t *self = *state;
    fmq_link_close(&self->evaluator, 0);
    fake_close(&self->run);
    fmq_log_destroy(&self->log);
    pthread_mutex_destroy(&self->lock);
    free(self);
    return 0;
}

/* Starts the server and tells which run it leads. */
static void learn_run(scene_t *self, char run[FMQ_RUN_ID_SIZE])
{
    fmq_event_t event;
    fmq_message_run_t note;
    fake_start_prepared(&self->run);
    assert_true(fabric_await_note(self->evaluator, "run", &event));
    assert_int_equal(fmq_message_run_decode(&note, event.data, event.size, NULL), 0);
    memcpy(run, note.run, FMQ_RUN_ID_SIZE);
}

static void say(scene_t *self, const char *run, fmq_report_phase_t phase, const char *reason)
{
    uint8_t body[FMQ_NOTE_MAX];
    fmq_message_report_t note = {.phase = phase};
    (void)snprintf(note.run, sizeof note.run, "%s", run);
    (void)snprintf(note.reason, sizeof note.reason, "%s", reason);
    size_t size = fmq_message_report_encode(&note, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(self->evaluator, "@server", "report", body, size, NULL), 0);
}

static void measure(scene_t *self, const char *run, uint32_t round)
{
    uint8_t body[FMQ_NOTE_MAX];
    fmq_message_metrics_t note = {.round = round};
    (void)snprintf(note.run, sizeof note.run, "%s", run);
    size_t size = fmq_message_metrics_encode(&note, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(self->evaluator, "server", "metrics", body, size, NULL), 0);
}

/* The only client comes, so the only round begins, and the run ends. */
static void let_it_end(scene_t *self)
{
    fake_add(&self->run, 1, FAKE_HONEST, 0, 0);
}

static void who_has_said_why_it_will_not_measure_is_not_waited_for(void **state)
{
    scene_t *self = *state;
    char run[FMQ_RUN_ID_SIZE];
    learn_run(self, run);
    say(self, run, FMQ_REPORT_IDLE, "it has no records");
    await_told(self, "evaluator-measures-nothing name=" NAME " reason=\"it has no records\"");
    let_it_end(self);
    assert_int_equal(fake_wait(&self->run, LIMIT_MS), 0);
    assert_false(was_told(self, "waiting for " NAME));
    assert_false(was_told(self, "evaluator-given-up"));
}

/* It was refused, so it names no run. */
static void who_has_failed_is_told_with_its_reason_and_not_waited_for(void **state)
{
    scene_t *self = *state;
    char run[FMQ_RUN_ID_SIZE];
    learn_run(self, run);
    fmq_link_set_progress(self->evaluator, 1, 1);
    say(self, "", FMQ_REPORT_FAILED, "another base model");
    await_told(self, "evaluator-failed name=" NAME " reason=\"another base model\"");
    let_it_end(self);
    assert_int_equal(fake_wait(&self->run, LIMIT_MS), 0);
    assert_false(was_told(self, "waiting for " NAME));
    assert_false(was_told(self, "evaluator-given-up"));
}

/* It had a reason not to measure, which is no more. */
static void who_will_measure_is_waited_for_aloud(void **state)
{
    scene_t *self = *state;
    char run[FMQ_RUN_ID_SIZE];
    learn_run(self, run);
    say(self, run, FMQ_REPORT_IDLE, "no records yet");
    await_told(self, "evaluator-measures-nothing");
    say(self, run, FMQ_REPORT_IDLE, "");
    await_told(self, "evaluator-ready name=" NAME);
    let_it_end(self);
    await_told(self, "waiting for " NAME " to measure round 1: ");
    measure(self, run, 0);
    await_told(self, "waiting-for-evaluators names=\"" NAME "\" round=1");
    measure(self, run, 1);
    assert_int_equal(fake_wait(&self->run, LIMIT_MS), 0);
    assert_false(was_told(self, "evaluator-given-up"));
}

static void who_says_and_shows_nothing_is_waited_for_a_little_while(void **state)
{
    scene_t *self = *state;
    char run[FMQ_RUN_ID_SIZE];
    learn_run(self, run);
    let_it_end(self);
    assert_int_equal(fake_wait(&self->run, LIMIT_MS - 5000), 0);
    assert_true(was_told(self, "evaluator-given-up name=" NAME
                               " round=1 reason=\"no sign of work for 5 s\""));
}

static void a_report_of_another_run_says_nothing(void **state)
{
    scene_t *self = *state;
    char run[FMQ_RUN_ID_SIZE], other[FMQ_RUN_ID_SIZE];
    learn_run(self, run);
    memcpy(other, run, sizeof other);
    other[0] = run[0] == '0' ? '1' : '0';
    say(self, run, FMQ_REPORT_IDLE, "");
    await_told(self, "evaluator-ready");
    say(self, other, FMQ_REPORT_FAILED, "of another run");
    let_it_end(self);
    await_told(self, "waiting for " NAME);
    assert_false(was_told(self, "evaluator-failed"));
    measure(self, run, 1);
    assert_int_equal(fake_wait(&self->run, LIMIT_MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(who_has_said_why_it_will_not_measure_is_not_waited_for),
        TEST(who_has_failed_is_told_with_its_reason_and_not_waited_for),
        TEST(who_will_measure_is_waited_for_aloud),
        TEST(who_says_and_shows_nothing_is_waited_for_a_little_while),
        TEST(a_report_of_another_run_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
