/*
 * test_server_offsite.c - runs whose server aligns an emulator: what clients
 * get, what is saved, how it stops and goes on, and what decides.
 */
#include "fake_federation.h"

#include <unistd.h>

#include "actors/storage/checkpoint.h"
#include "actors/storage/file.h"
#include "fedmq/base/clock.h"

#define ALL2     0x6u /* clients 1, 2 */
#define LIMIT_MS 20000

static const uint32_t both[8] = {ALL2, ALL2, ALL2, ALL2, ALL2, ALL2, ALL2, ALL2};

static void open_two(federation_t *f, uint32_t rounds)
{
    fake_open(f, 2, rounds);
    fake_emulator_init(&f->emulator);
}

static void add_two(federation_t *f)
{
    fake_add(f, 1, FAKE_HONEST, 0, 0);
    fake_add(f, 2, FAKE_HONEST, 0, 0);
}

/* What `rounds` of both clients fetch, with so many emulators each. */
static uint64_t expected_down(const federation_t *f, uint32_t rounds, uint32_t emulators)
{
    fmq_object_t *state = fmq_state_encode(f->schema, f->initial, FMQ_CODEC_F32, NULL);
    fmq_object_t *emulator =
        fmq_state_encode(f->emulator.schema, f->emulator.initial, FMQ_CODEC_F32, NULL);
    uint64_t bytes =
        2 * (rounds * fmq_object_bytes(state) + emulators * fmq_object_bytes(emulator));
    fmq_object_drop(&state);
    fmq_object_drop(&emulator);
    return bytes;
}

static void run_to_the_end(federation_t *f, const char *reason)
{
    fake_start_server(f);
    if (fake_wait(f, LIMIT_MS) != 0)
        fail_msg("%s", f->reason);
    assert_string_equal(f->reason, reason);
}

static char *read_text(const federation_t *f, const char *name)
{
    char path[256];
    size_t size;
    fmq_error_t err;
    char *text = fmq_file_load(test_path(path, f->folder, name), 1u << 20, &size, &err);
    if (!text)
        fail_msg("%s", err.text);
    return text;
}

static void assert_saved(const federation_t *f, const char *name, const float *emulator)
{
    char *bytes = read_text(f, name);
    assert_memory_equal(bytes, emulator, FAKE_EMULATOR_SIZE * sizeof *emulator);
    free(bytes);
}

static bool is_there(const federation_t *f, const char *name)
{
    char path[256];
    return access(test_path(path, f->folder, name), F_OK) == 0;
}

static void clients_train_over_the_emulator_of_their_round(void **state)
{
    (void)state;
    federation_t f;
    open_two(&f, 4);
    f.emulator.first_blocks = 3;
    add_two(&f);
    run_to_the_end(&f, "finished");
    fake_check(&f, fake_expected(&f, both, 4));
    assert_int_equal(atomic_load(&f.emulator.blocks), 7);
    assert_int_equal(fake_client_fetched(f.clients[0]), 4);
    assert_int_equal(fake_client_fetched(f.clients[1]), 4);
    assert_int_equal(f.bytes_down, expected_down(&f, 4, 4));
    fake_close(&f);
}

static void an_emulator_that_stays_the_same_is_fetched_once(void **state)
{
    (void)state;
    federation_t f;
    open_two(&f, 4);
    f.emulator.every_round = false;
    add_two(&f);
    run_to_the_end(&f, "finished");
    fake_check(&f, fake_expected(&f, both, 4));
    assert_int_equal(atomic_load(&f.emulator.blocks), 1);
    assert_int_equal(fake_client_fetched(f.clients[0]), 1);
    assert_int_equal(f.bytes_down, expected_down(&f, 4, 1));
    fake_close(&f);
}

/* Defect 2 of the released FedBiOT, as a switch: the alignment goes on, but
 * clients keep what they were sent first; also across a restart. */
static void the_released_code_sends_its_emulator_once(void **state)
{
    (void)state;
    federation_t f;
    open_two(&f, 5);
    f.emulator.first_blocks = 2;
    f.emulator.sent_once = true;
    fake_add(&f, 1, FAKE_HONEST, 0, 30);
    fake_add(&f, 2, FAKE_HONEST, 0, 30);
    fake_start_server(&f);
    while (fake_client_trained(f.clients[0]) < 3)
        zclock_sleep(5);
    fake_interrupt(&f);
    fake_end_server(&f);
    run_to_the_end(&f, "finished");
    assert_int_equal(fake_client_fetched(f.clients[0]), 1);
    float *once = fake_expected(&f, both, 5);
    f.emulator.sent_once = false;
    float *anew = fake_expected(&f, both, 5);
    assert_memory_not_equal(once, anew, f.elements * sizeof *once);
    free(anew);
    fake_check(&f, once);
    assert_true(atomic_load(&f.emulator.blocks) >= 7);
    fake_close(&f);
}

static void an_interrupt_ends_an_alignment_at_once_and_no_whole_block_is_lost(void **state)
{
    (void)state;
    federation_t f;
    open_two(&f, 2);
    f.emulator.first_blocks = 4;
    f.emulator.steps = 20;
    f.emulator.step_ms = 10;
    add_two(&f);
    for (uint32_t whole = 1; whole <= 3; whole++) {
        fake_start_server(&f);
        while (atomic_load(&f.emulator.blocks) < whole ||
               atomic_load(&f.emulator.begun) <= atomic_load(&f.emulator.blocks))
            zclock_sleep(1);
        int64_t asked = fmq_clock_ms();
        fake_interrupt(&f);
        assert_true(fmq_clock_ms() - asked < 2000);
        assert_int_equal(f.status, 130);
        assert_string_equal(f.reason, "interrupted");
    }
    f.emulator.step_ms = 0;
    run_to_the_end(&f, "finished");
    assert_in_range(atomic_load(&f.emulator.blocks), 6, 7); /* one may end as it is stopped */
    fake_check(&f, fake_expected(&f, both, 2));
    fake_close(&f);
}

static void an_interrupt_between_aggregation_and_checkpoint_changes_no_byte(void **state)
{
    (void)state;
    federation_t f;
    open_two(&f, 3);
    f.emulator.steps = 40;
    f.emulator.step_ms = 5;
    add_two(&f);
    for (uint32_t round = 0; round < 3; round++) {
        fake_start_server(&f);
        while (atomic_load(&f.emulator.blocks) < round + 1 ||
               atomic_load(&f.emulator.begun) < 2 * round + 2)
            zclock_sleep(1);
        fake_interrupt(&f); /* in the alignment after round `round` */
        assert_string_equal(f.reason, "interrupted");
        assert_int_equal(atomic_load(&f.emulator.blocks), round + 1);
    }
    uint32_t trained = fake_client_trained(f.clients[0]);
    f.emulator.step_ms = 0;
    run_to_the_end(&f, "finished");
    assert_int_equal(trained, 3); /* the journal had the updates */
    fake_check(&f, fake_expected(&f, both, 3));
    fake_close(&f);
}

static void a_run_may_end_with_the_alignment(void **state)
{
    (void)state;
    federation_t f;
    char save_to[256], done[512] = "";
    open_two(&f, 3);
    f.emulator.first_blocks = 2;
    f.emulator.exit_after_align = true;
    f.emulator.save_to = test_path(save_to, f.folder, "made/e");
    add_two(&f);
    run_to_the_end(&f, "aligned");
    float *emulator = fake_emulator_first(&f.emulator, f.initial);
    assert_saved(&f, "made/0_e/emulator.bin", emulator);
    assert_saved(&f, "made/e/emulator.bin", emulator);
    assert_false(is_there(&f, "adapter"));
    assert_int_equal(fake_client_trained(f.clients[0]), 0);
    for (int i = 0; i < 400 && !*fake_client_done(f.clients[0], done); i++)
        zclock_sleep(5);
    assert_string_equal(done, "aligned");
    free(emulator);
    fake_close(&f);
}

static void the_emulator_is_saved_before_round_0_and_at_the_end(void **state)
{
    (void)state;
    federation_t f;
    char save_to[256];
    open_two(&f, 1);
    f.emulator.save_to = test_path(save_to, f.folder, "e");
    add_two(&f);
    run_to_the_end(&f, "finished");
    float *emulator = fake_emulator_first(&f.emulator, f.initial);
    assert_saved(&f, "0_e/emulator.bin", emulator);
    float *last = fake_expected(&f, both, 1);
    fake_emulator_train(&f.emulator, 1, last, emulator);
    assert_saved(&f, "e/emulator.bin", emulator);
    free(emulator);
    free(last);
    fake_close(&f);
}

static void one_that_is_aligned_once_is_saved_once(void **state)
{
    (void)state;
    federation_t f;
    char save_to[256];
    open_two(&f, 1);
    f.emulator.every_round = false;
    f.emulator.save_to = test_path(save_to, f.folder, "e");
    add_two(&f);
    run_to_the_end(&f, "finished");
    float *emulator = fake_emulator_first(&f.emulator, f.initial);
    assert_saved(&f, "e/emulator.bin", emulator);
    assert_false(is_there(&f, "0_e"));
    free(emulator);
    fake_close(&f);
}

static void an_emulator_that_was_restored_is_not_aligned_before_round_0(void **state)
{
    (void)state;
    federation_t f;
    char save_to[256];
    open_two(&f, 1);
    f.emulator.first_blocks = f.emulator.aligned = 5;
    f.emulator.every_round = false;
    f.emulator.save_to = test_path(save_to, f.folder, "e");
    add_two(&f);
    run_to_the_end(&f, "finished");
    assert_int_equal(atomic_load(&f.emulator.blocks), 0);
    assert_false(is_there(&f, "e"));
    fake_check(&f, fake_expected(&f, both, 1));
    fake_close(&f);
}

static void every_block_leaves_a_line_of_metrics(void **state)
{
    (void)state;
    federation_t f;
    open_two(&f, 2);
    f.emulator.first_blocks = 2;
    add_two(&f);
    run_to_the_end(&f, "finished");
    char *text = read_text(&f, "metrics.jsonl");
    static const char *const lines[] = {
        "{\"round\":0,\"source\":\"server\",\"form\":\"align\",\"metrics\":{\"align_loss\":1.0,"
        "\"align_block\":1.0}",
        "{\"round\":0,\"source\":\"server\",\"form\":\"align\",\"metrics\":{\"align_loss\":0.5,"
        "\"align_block\":2.0}",
        "{\"round\":2,\"source\":\"server\",\"form\":\"align\",\"metrics\":{\"align_loss\":0.25,"
        "\"align_block\":4.0}"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(text, lines[i]))
            fail_msg("no line %s in\n%s", lines[i], text);
    free(text);
    fake_close(&f);
}

static void an_alignment_that_fails_ends_the_run(void **state)
{
    (void)state;
    federation_t f;
    open_two(&f, 4);
    f.emulator.fails_in = 3;
    add_two(&f);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 11);
    assert_non_null(strstr(f.reason, "every batch was NaN"));
    fake_close(&f);
}

static void a_run_with_another_emulator_is_not_resumed(void **state)
{
    (void)state;
    federation_t f;
    open_two(&f, 1);
    add_two(&f);
    run_to_the_end(&f, "finished");
    fake_end_server(&f);
    f.options.offsite = NULL;
    fake_start_prepared(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 7);
    assert_non_null(strstr(f.reason, "holds also 'emulator'"));
    fake_close(&f);
}

/* Gets worse from round 2 on; counts how often it is asked. */
static int measure(void *argument, const fmq_measuring_t *measuring, fmq_metrics_t *metrics,
                   fmq_error_t *err)
{
    uint32_t *asked = argument;
    ++*asked;
    if (measuring->progress(measuring->argument, 1, 1, 0) != 0)
        return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped");
    return fmq_metrics_set(metrics, "plugin.val_avg_loss", *asked < 3 ? 1.0 / *asked : *asked, err);
}

static void run_measured(federation_t *f, const char *key, uint32_t *asked)
{
    open_two(f, 12);
    f->settings.eval_freq = 1;
    strcpy(f->settings.best_key, key);
    f->settings.early_stop = (fmq_early_stop_rule_t){.mode = FMQ_EARLY_STOP_BEST, .patience = 2};
    add_two(f);
    fake_prepare(f);
    f->options.measure = measure;
    f->options.measure_argument = asked;
    *asked = 0;
    fake_start_prepared(f);
    assert_int_equal(fake_wait(f, LIMIT_MS), 0);
}

/* In FS-LLM the early stop never fires with offsite tuning: its key has no
 * prefix, while the metrics have. */
static void what_the_server_measures_decides_and_stops_the_run(void **state)
{
    (void)state;
    federation_t f;
    uint32_t asked;
    run_measured(&f, "plugin.val_loss", &asked);
    assert_string_equal(f.reason, "early stop");
    assert_int_equal(asked, 4); /* better, better, worse, worse */
    assert_int_equal(fake_client_trained(f.clients[0]), 4);
    char path[256];
    fmq_checkpoint_t best;
    float *best_state = calloc(f.elements, sizeof *best_state), emulator[FAKE_EMULATOR_SIZE];
    fmq_sections_t sections = {.size = 0};
    (void)fmq_sections_add(&sections, FMQ_SECTION_STATE, f.schema, best_state);
    (void)fmq_sections_add(&sections, FMQ_SECTION_EMULATOR, f.emulator.schema, emulator);
    test_path(path, f.folder, "best/best.state");
    assert_int_equal(fmq_checkpoint_load(path, &sections, &best, NULL), 0);
    assert_int_equal(best.round, 2);
    float *expected = fake_expected(&f, both, 2);
    assert_memory_equal(best_state, expected, f.elements * sizeof *expected);
    char *text = read_text(&f, "metrics.jsonl");
    assert_non_null(strstr(text, "{\"round\":2,\"source\":\"server\",\"form\":\"raw\",\"metrics\":"
                                 "{\"plugin.val_avg_loss\":0.5}"));
    free(text);
    free(expected);
    free(best_state);
    fake_close(&f);
}

static void clients_metrics_decide_where_the_key_says_so(void **state)
{
    (void)state;
    federation_t f;
    uint32_t asked;
    run_measured(&f, "val_loss", &asked); /* of the fake clients: only grows */
    assert_string_equal(f.reason, "early stop");
    assert_int_equal(asked, 3);
    fake_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_train_over_the_emulator_of_their_round),
        cmocka_unit_test(an_emulator_that_stays_the_same_is_fetched_once),
        cmocka_unit_test(the_released_code_sends_its_emulator_once),
        cmocka_unit_test(an_interrupt_ends_an_alignment_at_once_and_no_whole_block_is_lost),
        cmocka_unit_test(an_interrupt_between_aggregation_and_checkpoint_changes_no_byte),
        cmocka_unit_test(a_run_may_end_with_the_alignment),
        cmocka_unit_test(the_emulator_is_saved_before_round_0_and_at_the_end),
        cmocka_unit_test(one_that_is_aligned_once_is_saved_once),
        cmocka_unit_test(an_emulator_that_was_restored_is_not_aligned_before_round_0),
        cmocka_unit_test(every_block_leaves_a_line_of_metrics),
        cmocka_unit_test(an_alignment_that_fails_ends_the_run),
        cmocka_unit_test(a_run_with_another_emulator_is_not_resumed),
        cmocka_unit_test(what_the_server_measures_decides_and_stops_the_run),
        cmocka_unit_test(clients_metrics_decide_where_the_key_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
