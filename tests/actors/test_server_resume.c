/*
 * test_server_resume.c - what a server that comes back takes from its folder:
 * who was asked, whose updates a closed round is made of, and that tasks of
 * before a fall-back are not those of after it.
 */
#include "fake_federation.h"

#include <sys/stat.h>
#include <unistd.h>

#include "actors/storage/checkpoint.h"
#include "actors/storage/file.h"
#include "actors/storage/update_log.h"
#include "damaged_updates.h"
#include "fedmq/base/clock.h"
#include "tests/broker/fabric.h"

#define LIMIT_MS 20000
#define NEVER_MS 3600000 /* training that no test waits for */

static void wait_for_file(const federation_t *f, const char *name)
{
    char path[256];
    int64_t end = fmq_clock_ms() + LIMIT_MS;
    while (access(test_path(path, f->folder, name), F_OK) != 0) {
        if (fmq_clock_ms() > end)
            fail_msg("'%s' does not come", name);
        zclock_sleep(5);
    }
}

static void stop_clients(federation_t *f)
{
    for (int i = 0; i < FAKE_CLIENTS_MAX; i++)
        fake_client_stop(&f->clients[i]);
}

static fmq_checkpoint_t checkpoint_of(const federation_t *f, uint32_t round)
{
    char path[256], name[64];
    float *state = calloc(f->elements, sizeof *state);
    fmq_sections_t sections = {.size = 0};
    (void)fmq_sections_add(&sections, FMQ_SECTION_STATE, f->schema, state);
    fmq_checkpoint_t mark;
    fmq_error_t err;
    snprintf(name, sizeof name, "checkpoints/round-%06u.state", round);
    if (fmq_checkpoint_load(test_path(path, f->folder, name), &sections, &mark, &err) < 0)
        fail_msg("%s", err.text);
    free(state);
    return mark;
}

static void damage(const federation_t *f, const char *name)
{
    char path[256];
    assert_int_equal(truncate(test_path(path, f->folder, name), 300), 0);
}

/* A seed with which round 0 samples other two of four clients than 1 and 2. */
static uint64_t seed_against_the_first_two(void)
{
    const uint32_t all[] = {1, 2, 3, 4};
    for (uint64_t seed = 1;; seed++) {
        uint32_t chosen[4];
        size_t size;
        fmq_sampling_t sampling = {.seed = seed, .candidates = all, .size = 4, .wanted = 2};
        assert_int_equal(fmq_sampler_find("uniform", NULL)->choose(&sampling, chosen, &size, NULL),
                         0);
        if (size == 2 && chosen[0] == 3 && chosen[1] == 4)
            return seed;
    }
}

static void who_was_asked_is_asked_again_whoever_else_is_here_now(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 4, 1);
    f.settings.seed = seed_against_the_first_two();
    f.settings.sample_number = 2;
    f.settings.limits.min_ready = 2;
    for (uint32_t k = 1; k <= 2; k++)
        fake_add(&f, k, FAKE_HONEST, 0, NEVER_MS);
    fake_start_server(&f);
    wait_for_file(&f, "journal/round-000000/plan");
    fake_interrupt(&f);
    f.settings.limits.min_ready = 4;
    for (uint32_t k = 1; k <= 4; k++)
        fake_add(&f, k, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0x6}, 1));
    fake_close(&f);
}

/* Two rounds of three clients; client 2 is too late in the second one. */
static void play_without_the_second(federation_t *f)
{
    fake_open(f, 3, 2);
    f->settings.limits.deadline_ms = 1000;
    f->settings.limits.quorum = 2;
    for (uint32_t k = 1; k <= 3; k++)
        fake_add(f, k, k == 2 ? FAKE_SILENT : FAKE_HONEST, 1, 0);
    fake_start_server(f);
    assert_int_equal(fake_wait(f, LIMIT_MS), 0);
    fake_check(f, fake_expected(f, (uint32_t[]){0xe, 0xa}, 2));
    fake_end_server(f);
    stop_clients(f);
    f->settings.limits.deadline_ms = 0;
}

static uint32_t resume_with_all(federation_t *f)
{
    for (uint32_t k = 1; k <= 3; k++)
        fake_add(f, k, FAKE_HONEST, 0, 0);
    fake_start_server(f);
    assert_int_equal(fake_wait(f, LIMIT_MS), 0);
    uint32_t trained = 0;
    for (int i = 0; i < 3; i++)
        trained += fake_client_trained(f->clients[i]);
    return trained;
}

static void a_closed_round_is_folded_over_the_same_clients_again(void **state)
{
    (void)state;
    federation_t f;
    play_without_the_second(&f);
    damage(&f, "checkpoints/round-000002.state");
    assert_int_equal(resume_with_all(&f), 0);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0xe, 0xa}, 2));
    fake_close(&f);
}

/* Puts an update of client 2 for the second round into the journal, as if it
 * had become durable just when the round was closed. */
static void journal_a_late_update(const federation_t *f)
{
    char path[256];
    fmq_checkpoint_t mark = checkpoint_of(f, 1);
    fmq_update_log_options_t options = {test_path(path, f->folder, "journal"), mark.run, 1,
                                        f->schema, NULL};
    fmq_update_log_t *journal = fmq_update_log_open(&options, NULL);
    assert_non_null(journal);
    fmq_object_t *object = fmq_state_encode(f->schema, f->initial, FMQ_CODEC_F32, NULL);
    fmq_update_log_entry_t entry = {
        .client = 2, .samples = 1000, .update = *fmq_object_digest(object)};
    fmq_update_log_writer_t *writer = fmq_update_log_begin(journal, &entry, NULL);
    for (uint32_t i = 0; i < fmq_object_chunks(object); i++) {
        size_t size;
        const void *data = fmq_object_chunk(object, i, &size);
        assert_int_equal(fmq_update_log_writer_add(writer, data, size, NULL), 0);
    }
    assert_int_equal(fmq_update_log_writer_finish(&writer, fmq_object_digest(object), NULL), 0);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    fmq_object_drop(&object);
    fmq_update_log_close(&journal);
}

static void an_update_that_came_after_the_closing_stays_out(void **state)
{
    (void)state;
    federation_t f;
    play_without_the_second(&f);
    journal_a_late_update(&f);
    damage(&f, "checkpoints/round-000002.state");
    assert_int_equal(resume_with_all(&f), 0);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0xe, 0xa}, 2));
    fake_close(&f);
}

static void a_closed_round_that_lost_an_update_asks_for_that_one_alone(void **state)
{
    (void)state;
    char path[256];
    federation_t f;
    play_without_the_second(&f);
    damage(&f, "checkpoints/round-000002.state");
    damage_update(test_path(path, f.folder, "journal/round-000001/updates"), 3);
    assert_int_equal(resume_with_all(&f), 1);
    assert_int_equal(fake_client_trained(f.clients[2]), 1);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0xe, 0xa}, 2));
    fake_close(&f);
}

/* A run of four rounds whose newest checkpoint is damaged, and the updates
 * that led to it lost. */
static void play_and_damage(federation_t *f)
{
    fake_open(f, 1, 4);
    fake_add(f, 1, FAKE_HONEST, 0, 0);
    fake_start_server(f);
    assert_int_equal(fake_wait(f, LIMIT_MS), 0);
    fake_end_server(f);
    stop_clients(f);
    damage(f, "checkpoints/round-000004.state");
    damage(f, "journal/round-000003/updates");
}

static void after_a_fall_back_tasks_have_other_serials(void **state)
{
    (void)state;
    federation_t f;
    fmq_event_t event;
    fmq_message_task_t task = {.kind = FMQ_TASK_WAIT};
    fmq_message_report_t report = {.phase = FMQ_REPORT_IDLE};
    play_and_damage(&f);
    memcpy(report.run, checkpoint_of(&f, 3).run, sizeof report.run);
    fake_start_server(&f);
    fmq_link_t *client = fabric_link(f.endpoint, "client-1", FMQ_ROLE_CLIENT);
    unsigned char body[FMQ_NOTE_MAX];
    size_t size = fmq_message_report_encode(&report, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(client, "server", "report", body, size, NULL), 0);
    while (task.kind != FMQ_TASK_TRAIN || task.serial >> 40 == 0) {
        assert_true(fabric_await_note(client, "task", &event));
        assert_int_equal(fmq_message_task_decode(&task, event.data, event.size, NULL), 0);
    }
    assert_int_equal(task.round, 3);
    assert_true(task.serial == (UINT64_C(1) << 40 | 3 << 3 | 2));
    fmq_link_close(&client, 0);
    fake_interrupt(&f);
    assert_int_equal(checkpoint_of(&f, 3).epoch, 1);
    fake_close(&f);
}

static void what_a_fall_back_has_skipped_is_not_found_again(void **state)
{
    (void)state;
    federation_t f;
    char path[256];
    play_and_damage(&f);
    f.settings.limits.min_ready = 1;
    fake_start_server(&f); /* nobody is here, so it stays where it has fallen back to */
    for (int i = 0; i < 2000 && checkpoint_of(&f, 3).epoch == 0; i++)
        zclock_sleep(5);
    fake_interrupt(&f);
    assert_int_not_equal(access(test_path(path, f.folder, "checkpoints/round-000004.state"), F_OK),
                         0);
    fake_start_server(&f);
    zclock_sleep(100);
    fake_interrupt(&f);
    assert_int_equal(checkpoint_of(&f, 3).epoch, 1);
    fake_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_asked_is_asked_again_whoever_else_is_here_now),
        cmocka_unit_test(a_closed_round_is_folded_over_the_same_clients_again),
        cmocka_unit_test(an_update_that_came_after_the_closing_stays_out),
        cmocka_unit_test(a_closed_round_that_lost_an_update_asks_for_that_one_alone),
        cmocka_unit_test(after_a_fall_back_tasks_have_other_serials),
        cmocka_unit_test(what_a_fall_back_has_skipped_is_not_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
