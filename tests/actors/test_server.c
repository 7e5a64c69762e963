/*
 * test_server.c - whole runs of the server with clients that only do sums.
 */
#include "fake_federation.h"

#include <sys/mman.h>
#include <unistd.h>

#include "actors/storage/checkpoint.h"
#include "actors/storage/file.h"
#include "broker/lent_state.h"
#include "tests/base/counted_digest.h"

#define ALL3     0xeu /* clients 1, 2, 3 */
#define LIMIT_MS 20000

static const uint32_t all_three[16] = {ALL3, ALL3, ALL3, ALL3, ALL3, ALL3, ALL3, ALL3,
                                       ALL3, ALL3, ALL3, ALL3, ALL3, ALL3, ALL3, ALL3};

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

static void wait_for_rounds(federation_t *f, uint32_t trained)
{
    for (int i = 0; i < 4000 && fake_client_trained(f->clients[0]) < trained; i++)
        zclock_sleep(5);
    assert_true(fake_client_trained(f->clients[0]) >= trained);
}

static void wait_for_done(fake_client_t *client, const char *reason)
{
    char text[512];
    for (int i = 0; i < 400 && !*fake_client_done(client, text); i++)
        zclock_sleep(5);
    assert_string_equal(text, reason);
}

/* The states of five rounds and the first one, as an object and as a checkpoint
 * each, and the updates of three clients, as they offer them. */
static void nothing_is_digested_twice_in_one_process(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 3, 5);
    for (uint32_t k = 1; k <= 3; k++)
        fake_add(&f, k, FAKE_HONEST, 0, 0);
    uint64_t before = counted_digest();
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    double states = (double)(counted_digest() - before) / (double)(f.elements * sizeof *f.initial);
    assert_true(states > 6 + 6 + 15 - 0.1 && states < 6 + 6 + 15 + 1);
    fake_close(&f);
}

/* A state of pages that a test can look for; the caller's to free. */
static float *place_state(federation_t *f, size_t *pages)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *place = NULL;
    *pages = (size_t)f->elements * sizeof(float) / page;
    assert_true(*pages > 1);
    assert_int_equal(posix_memalign(&place, page, (*pages + 1) * page), 0);
    memset(place, 1, (*pages + 1) * page); /* it is there at first */
    fake_prepare(f);
    f->options.state = place;
    f->options.state_kept_max = 1;
    return place;
}

static bool is_in_memory(void *place, size_t pages)
{
    bool any = false;
    unsigned char *there = calloc(pages, 1);
    assert_int_equal(mincore(place, pages * (size_t)sysconf(_SC_PAGESIZE), there), 0);
    for (size_t i = 0; i < pages; i++)
        any |= there[i] & 1;
    free(there);
    return any;
}

static void wait_until_away(void *place, size_t pages)
{
    for (int i = 0; i < LIMIT_MS / 5 && is_in_memory(place, pages); i++)
        zclock_sleep(5);
    assert_false(is_in_memory(place, pages));
}

static void check_checkpoint(const federation_t *f, const char *name, float *expected)
{
    char path[256];
    fmq_checkpoint_t mark;
    float *found = calloc((size_t)f->elements, sizeof *found);
    fmq_sections_t sections = {0};
    (void)fmq_sections_add(&sections, FMQ_SECTION_STATE, f->schema, found);
    assert_int_equal(fmq_checkpoint_load(test_path(path, f->folder, name), &sections, &mark, NULL),
                     0);
    assert_memory_equal(found, expected, (size_t)f->elements * sizeof *found);
    free(found);
    free(expected);
}

/* Digested are two states as objects, four checkpoints and the best one, and six
 * updates. */
static void a_large_state_lies_on_the_disk_alone_while_clients_train(void **state)
{
    (void)state;
    static const uint32_t who[] = {0x6, 0, 0};
    federation_t f;
    size_t pages;
    fake_open(&f, 2, 3);
    f.settings.eval_freq = 1;
    for (uint32_t k = 1; k <= 2; k++)
        fake_add(&f, k, FAKE_WITHOUT, 1, 200);
    float *place = place_state(&f, &pages);
    uint64_t before = counted_digest();
    fake_start_prepared(&f);
    wait_until_away(place, pages);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    double states = (double)(counted_digest() - before) / (double)(f.elements * sizeof *f.initial);
    assert_true(states > 2 + 4 + 1 + 6 - 0.1 && states < 2 + 4 + 1 + 6 + 0.5);
    fake_check(&f, fake_expected(&f, who, 3));
    fake_check_in(&f, "best/adapter", fake_expected(&f, who, 3));
    check_checkpoint(&f, "best/best.state", fake_expected(&f, who, 3));
    check_checkpoint(&f, "checkpoints/round-000003.state", fake_expected(&f, who, 3));
    fake_close(&f);
    free(place);
}

static void three_clients_and_five_rounds_give_the_weighted_mean(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 3, 5);
    for (uint32_t k = 1; k <= 3; k++)
        fake_add(&f, k, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_string_equal(f.reason, "finished");
    fake_check(&f, fake_expected(&f, all_three, 5));
    assert_int_equal(f.rounds_begun, 5);
    for (uint32_t k = 0; k < 3; k++) {
        assert_int_equal(fake_client_trained(f.clients[k]), 5);
        wait_for_done(f.clients[k], "finished");
    }
    fake_close(&f);
}

static void the_order_of_arrival_changes_no_byte(void **state)
{
    (void)state;
    static const uint32_t delays[][3] = {{0, 30, 60}, {60, 30, 0}, {30, 60, 0}};
    for (size_t i = 0; i < 3; i++) {
        federation_t f;
        fake_open(&f, 3, 3);
        for (uint32_t k = 3; k >= 1; k--)
            fake_add(&f, k, FAKE_HONEST, 0, delays[i][k - 1]);
        fake_start_server(&f);
        assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
        fake_check(&f, fake_expected(&f, all_three, 3));
        fake_close(&f);
    }
}

static void a_sample_is_the_same_in_every_run_and_others_stay_idle(void **state)
{
    (void)state;
    uint32_t trained[2][4];
    for (int run = 0; run < 2; run++) {
        federation_t f;
        fake_open(&f, 4, 6);
        f.settings.sample_number = 2;
        f.settings.training = 3; /* the fourth is unseen */
        for (uint32_t k = 1; k <= 4; k++)
            fake_add(&f, k, FAKE_HONEST, 0, 10 * (run ? k : 5 - k));
        fake_start_server(&f);
        assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
        uint32_t sum = 0;
        for (int k = 0; k < 4; k++)
            sum += trained[run][k] = fake_client_trained(f.clients[k]);
        assert_int_equal(sum, 12);
        assert_int_equal(trained[run][3], 0);
        fake_close(&f);
    }
    assert_memory_equal(trained[0], trained[1], sizeof trained[0]);
}

static void an_interrupted_run_goes_on_to_the_same_bytes(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 3, 6);
    for (uint32_t k = 1; k <= 3; k++)
        fake_add(&f, k, FAKE_HONEST, 0, k == 3 ? 80 : 10);
    for (uint32_t stop = 1; stop <= 5; stop += 2) {
        fake_start_server(&f);
        wait_for_rounds(&f, stop);
        fake_interrupt(&f);
        assert_int_equal(f.status, 130);
        assert_string_equal(f.reason, "interrupted");
    }
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_check(&f, fake_expected(&f, all_three, 6));
    fake_end_server(&f);
    fake_start_server(&f); /* a finished run has nothing to do */
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_check(&f, fake_expected(&f, all_three, 6));
    fake_close(&f);
}

static void a_failure_elsewhere_is_the_reason_that_everybody_hears(void **state)
{
    (void)state;
    federation_t f;
    static const char why[] = "splitter: line 5 is no record";
    fake_open(&f, 2, 3);
    fake_add(&f, 1, FAKE_HONEST, 0, 0); /* the second never comes */
    fake_start_server(&f);
    zclock_sleep(300);
    zstr_sendx(f.server, "BECAUSE", "5", why, NULL);
    zstr_send(f.server, "$TERM");
    assert_int_equal(fake_wait(&f, LIMIT_MS), 5);
    assert_string_equal(f.reason, why);
    wait_for_done(f.clients[0], why);
    fake_close(&f);
}

static void a_damaged_checkpoint_falls_back_and_reaches_the_same_bytes(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 3, 4);
    for (uint32_t k = 1; k <= 3; k++)
        fake_add(&f, k, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_end_server(&f);
    char path[256];
    assert_int_equal(truncate(test_path(path, f.folder, "checkpoints/round-000004.state"), 999), 0);
    uint32_t trained = fake_client_trained(f.clients[0]);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_int_equal(fake_client_trained(f.clients[0]), trained); /* the journal has it */
    fake_check(&f, fake_expected(&f, all_three, 4));
    fake_close(&f);
}

/* Waits for the state's note and, when it has come, for the object it names. */
static void read_along(fmq_link_t *observer, const char *owner)
{
    fmq_message_state_t note = {0};
    bool fetched = false;
    for (int i = 0; i < LIMIT_MS / 100 && !fetched; i++) {
        fmq_event_t event;
        if (fmq_link_receive(observer, 100, &event, NULL) <= 0)
            continue;
        if (event.type == FMQ_EVENT_NOTE && strcmp(event.topic, "state") == 0 &&
            note.state_bytes == 0) {
            assert_int_equal(fmq_message_state_decode(&note, event.data, event.size, NULL), 0);
            assert_int_equal(
                fmq_link_fetch(observer, owner, &note.state, 0, note.state_bytes, NULL), 0);
        }
        assert_int_not_equal(event.type, FMQ_EVENT_FAILED);
        fetched = event.type == FMQ_EVENT_FETCHED;
    }
    assert_true(fetched);
}

static void an_observer_reads_the_states_and_writes_nothing(void **state)
{
    (void)state;
    federation_t f;
    fmq_error_t err;
    fake_open(&f, 1, 2);
    fmq_link_options_t options = {
        .endpoint = f.endpoint, .name = "watcher", .role = FMQ_ROLE_OBSERVER};
    fmq_link_t *observer = fmq_link_open(&options, NULL);
    assert_non_null(observer);
    fake_start_server(&f);
    read_along(observer, "server");
    assert_int_equal(fmq_link_note(observer, "server", "metrics", "", 0, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_DENIED);
    fmq_link_close(&observer, 0);
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_close(&f);
}

/* The first state that is published, held as actors of its process hold it. */
static fmq_object_t *hold_first_state(fmq_link_t *observer)
{
    fmq_message_state_t note;
    fmq_event_t event;
    fmq_object_t *object = NULL;
    for (int i = 0; i < LIMIT_MS / 100 && !object; i++)
        if (fmq_link_receive(observer, 100, &event, NULL) > 0 && event.type == FMQ_EVENT_NOTE &&
            strcmp(event.topic, "state") == 0 &&
            fmq_message_state_decode(&note, event.data, event.size, NULL) == 0)
            object = fmq_link_find(observer, &note.state);
    assert_non_null(object);
    return object;
}

static int take_state(void *argument, uint64_t first, uint64_t count, const float *values,
                      fmq_error_t *err)
{
    (void)err;
    memcpy((float *)argument + first, values, (size_t)count * sizeof *values);
    return 0;
}

static void who_holds_a_state_reads_it_when_the_server_has_long_gone_on(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 1, 4);
    fmq_link_options_t options = {
        .endpoint = f.endpoint, .name = "watcher", .role = FMQ_ROLE_OBSERVER, .store = f.store};
    fmq_link_t *observer = fmq_link_open(&options, NULL);
    assert_non_null(observer);
    fake_start_server(&f);
    fmq_object_t *first = hold_first_state(observer);
    fmq_link_close(&observer, 0);
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    float *taken = malloc((size_t)f.elements * sizeof *taken);
    assert_int_equal(fmq_state_read(first, f.schema, take_state, taken, NULL), 0);
    assert_memory_equal(taken, f.initial, (size_t)f.elements * sizeof *taken);
    free(taken);
    fmq_object_drop(&first);
    fake_close(&f);
}

static void a_client_that_never_offers_is_left_behind_at_the_deadline(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 3, 3);
    f.settings.limits.deadline_ms = 1500;
    f.settings.limits.quorum = 2;
    for (uint32_t k = 1; k <= 3; k++)
        fake_add(&f, k, k == 2 ? FAKE_SILENT : FAKE_HONEST, 1, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_check(&f, fake_expected(&f, (uint32_t[]){ALL3, 0xa, 0xa}, 3));
    fake_close(&f);
}

static void updates_that_are_no_good_are_left_out(void **state)
{
    (void)state;
    static const fake_behaviour_t bad[] = {FAKE_NOT_FINITE, FAKE_MALFORMED, FAKE_FAILING,
                                           FAKE_GARBLED, FAKE_WITHOUT};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        federation_t f;
        fake_open(&f, 3, 3);
        for (uint32_t k = 1; k <= 3; k++)
            fake_add(&f, k, k == 3 ? bad[i] : FAKE_HONEST, 1, 0);
        fake_start_server(&f);
        assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
        fake_check(&f, fake_expected(&f, (uint32_t[]){ALL3, 0x6, 0x6}, 3));
        fake_close(&f);
    }
}

static void rounds_without_any_update_end_the_run_with_an_error(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 1, 50);
    fake_add(&f, 1, FAKE_NOT_FINITE, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 11);
    assert_non_null(strstr(f.reason, "3 rounds in a row"));
    char text[512];
    for (int i = 0; i < 400 && !*fake_client_done(f.clients[0], text); i++)
        zclock_sleep(5);
    assert_non_null(strstr(fake_client_done(f.clients[0], text), "3 rounds in a row"));
    fake_close(&f);
}

static void count_stalled(void *argument, fmq_log_level_t level, const char *line)
{
    (void)level;
    *(int *)argument += strstr(line, "client-stalled client=2") != NULL;
}

static uint64_t at_most_200(void *argument, uint32_t client, uint64_t shard)
{
    (void)argument, (void)client;
    return shard > 200 ? shard : 200;
}

static void a_count_of_examples_that_cannot_be_leaves_its_client_out(void **state)
{
    (void)state;
    static const fake_behaviour_t bad[] = {FAKE_BOASTING, FAKE_ENDLESS};
    for (size_t i = 0; i < 4; i++) {
        federation_t f;
        fake_open(&f, 2, 3);
        f.settings.method = fmq_strategy_find(i >= 2 ? "local" : "FedAvg", NULL);
        for (uint32_t k = 1; k <= 2; k++)
            fake_add(&f, k, k == 2 ? bad[i % 2] : FAKE_HONEST, 1, 0);
        fake_prepare(&f);
        f.options.samples_max = at_most_200;
        fake_start_prepared(&f);
        assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
        if (i < 2)
            fake_check(&f, fake_expected(&f, (uint32_t[]){0x6, 0x2, 0x2}, 3));
        fake_close(&f);
    }
}

static void measurements_that_cannot_be_decide_nothing(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 2, 3);
    f.settings.eval_freq = 1;
    for (uint32_t k = 1; k <= 2; k++)
        fake_add(&f, k, k == 2 ? FAKE_ABSURD : FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    char *text = read_text(&f, "metrics.jsonl");
    if (strstr(text, "e+300") || strstr(text, "e300") || strstr(text, "val_acc") ||
        !strstr(text, "\"source\":\"clients\",\"form\":\"weighted_avg\",\"metrics\":{\"val_loss"))
        fail_msg("%s", text);
    free(text);
    fake_close(&f);
}

/* Silent: it never gets on.  Lying: what it offers can never be fetched.  Both are
 * there all the time, and nothing but their progress tells. */
static void a_client_that_does_not_get_on_is_left_out_and_not_asked_before_it_speaks(void **state)
{
    (void)state;
    static const fake_behaviour_t bad[] = {FAKE_SILENT, FAKE_LYING};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        federation_t f;
        int stalled = 0;
        fmq_log_t *log = fmq_log_new(count_stalled, &stalled, FMQ_LOG_WARNING);
        fake_open(&f, 3, 4);
        f.settings.limits.progress_ms = 2500;
        for (uint32_t k = 1; k <= 3; k++)
            fake_add(&f, k, k == 2 ? bad[i] : FAKE_HONEST, 1, 0);
        fake_prepare(&f);
        f.options.log = log;
        fake_start_prepared(&f);
        assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
        fake_check(&f, fake_expected(&f, (uint32_t[]){ALL3, 0xa, 0xa, 0xa}, 4));
        assert_int_equal(stalled, 1); /* and not in every round anew */
        fake_close(&f);
        fmq_log_destroy(&log);
    }
}

static void one_that_is_slow_but_gets_on_is_waited_for(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 2, 1);
    f.settings.limits.progress_ms = 2000;
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    fake_add(&f, 2, FAKE_STEPPING, 0, 4500);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0x6}, 1));
    fake_close(&f);
}

/* None of these rounds gave anything: that is no run that has finished, and it
 * can be gone on with when the clients are better. */
static void a_short_run_without_any_update_has_not_finished(void **state)
{
    (void)state;
    static const fake_behaviour_t bad[] = {FAKE_NOT_FINITE, FAKE_GARBLED, FAKE_WITHOUT};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        federation_t f;
        uint32_t rounds = i == 0 ? 1 : 2;
        fake_open(&f, 2, rounds);
        for (uint32_t k = 1; k <= 2; k++)
            fake_add(&f, k, bad[i], 0, 0);
        fake_start_server(&f);
        assert_int_equal(fake_wait(&f, LIMIT_MS), 11);
        assert_non_null(strstr(f.reason, "brought no usable update (client "));
        char path[256];
        assert_int_not_equal(access(test_path(path, f.folder, "adapter"), F_OK), 0);
        fake_end_server(&f);
        for (uint32_t k = 1; k <= 2; k++)
            fake_add(&f, k, FAKE_HONEST, 0, 0);
        fake_start_server(&f);
        assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
        assert_int_equal(fake_client_trained(f.clients[0]), 1);
        fake_check(&f, fake_expected(&f, (uint32_t[]){i == 0 ? 0x6 : 0, 0x6}, rounds));
        fake_close(&f);
    }
}

static void one_usable_update_is_enough_for_a_run_to_finish(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 2, 2);
    fake_add(&f, 1, FAKE_NOT_FINITE, 0, 0);
    fake_add(&f, 2, FAKE_FAILING, 1, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0x4, 0}, 2));
    fake_close(&f);
}

static void a_last_state_that_nobody_can_measure_is_no_good_end(void **state)
{
    (void)state;
    for (uint32_t blind = 1; blind <= 2; blind++) {
        federation_t f;
        fake_open(&f, 2, 2);
        f.settings.eval_freq = 1;
        for (uint32_t k = 1; k <= 2; k++)
            fake_add(&f, k, k <= blind ? FAKE_BLIND : FAKE_HONEST, 2, 0);
        fake_start_server(&f);
        assert_int_equal(fake_wait(&f, LIMIT_MS), blind == 2 ? 11 : 0);
        if (blind == 2)
            assert_non_null(strstr(f.reason, "no client could measure the last state (client "));
        fake_check(&f, fake_expected(&f, all_three, 2));
        fake_close(&f);
    }
}

/* It says FAILED to a server that has not asked it yet. */
static void a_client_whose_task_failed_is_ready_for_a_server_that_comes_back(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 2, 4);
    f.settings.limits.quorum = 2;
    fake_add(&f, 1, FAKE_HONEST, 0, 700);
    fake_add(&f, 2, FAKE_FAILING, 1, 0);
    fake_start_server(&f);
    wait_for_rounds(&f, 1);
    zclock_sleep(300); /* client 2 has failed at round 1, client 1 is at it */
    fake_interrupt(&f);
    fake_start_server(&f); /* waits for both */
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_close(&f);
}

static void a_client_that_dies_is_gone_without_and_one_that_joins_late_takes_part(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 3, 6);
    f.settings.limits.min_ready = 2;
    f.settings.limits.grace_ms = 100;
    fake_add(&f, 1, FAKE_HONEST, 0, 20);
    fake_add(&f, 2, FAKE_DYING, 1, 0);
    fake_start_server(&f);
    wait_for_rounds(&f, 3); /* rounds 1 and 2 have closed without client 2 */
    fake_add(&f, 3, FAKE_HONEST, 0, 20);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    uint32_t late = fake_client_trained(f.clients[2]);
    assert_in_range(late, 1, 4);
    uint32_t who[6];
    for (uint32_t round = 0; round < 6; round++)
        who[round] = (round >= 1 ? 0x2u : 0x6u) | (round >= 6 - late ? 0x8u : 0);
    fake_check(&f, fake_expected(&f, who, 6));
    fake_close(&f);
}

static void a_client_that_comes_back_is_asked_again(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 2, 3);
    f.settings.limits.grace_ms = 5000;
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    fake_add(&f, 2, FAKE_DYING, 1, 0);
    fake_start_server(&f);
    wait_for_rounds(&f, 2);
    zclock_sleep(100);
    fake_add(&f, 2, FAKE_HONEST, 0, 0);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0x6, 0x6, 0x6}, 3));
    fake_close(&f);
}

static void metrics_are_merged_written_and_decide_the_best_state(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 3, 4);
    f.settings.eval_freq = 2;
    f.settings.training = 2;
    for (uint32_t k = 1; k <= 3; k++)
        fake_add(&f, k, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    for (int k = 0; k < 3; k++)
        assert_int_equal(fake_client_measured(f.clients[k]), 2);
    char *text = read_text(&f, "metrics.jsonl");
    static const char *const lines[] = {
        "{\"round\":1,\"source\":\"clients\",\"form\":\"weighted_avg\",\"metrics\":{\"train_avg",
        "{\"round\":2,\"source\":\"clients\",\"form\":\"weighted_avg\",\"metrics\":{\"val_loss",
        "{\"round\":2,\"source\":\"clients\",\"form\":\"fairness\"",
        "{\"round\":2,\"source\":\"client-2\",\"form\":\"raw\"",
        "{\"round\":4,\"source\":\"unseen\",\"form\":\"weighted_avg\"",
        "{\"round\":4,\"source\":\"client-3\",\"form\":\"raw\""};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(text, lines[i]))
            fail_msg("no line %s in\n%s", lines[i], text);
    assert_null(strstr(text, "\"round\":3,\"source\":\"clients\",\"form\":\"fairness\""));
    free(text);
    char path[256];
    assert_int_equal(access(test_path(path, f.folder, "best/best.state"), F_OK), 0);
    assert_int_equal(access(test_path(path, f.folder, "best/adapter/state.bin"), F_OK), 0);
    fake_close(&f);
}

static void count_missing_keys(void *argument, fmq_log_level_t level, const char *line)
{
    (void)level;
    *(int *)argument += strstr(line, "best-key-missing") != NULL;
}

static void a_deciding_metric_that_nobody_measures_is_missed_once(void **state)
{
    (void)state;
    federation_t f;
    int missed = 0;
    fmq_log_t *log = fmq_log_new(count_missing_keys, &missed, FMQ_LOG_WARNING);
    assert_non_null(log);
    fake_open(&f, 2, 3);
    f.settings.eval_freq = 1;
    strcpy(f.settings.best_key, "val_nothing");
    for (uint32_t k = 1; k <= 2; k++)
        fake_add(&f, k, FAKE_HONEST, 0, 0);
    fake_prepare(&f);
    f.options.log = log;
    fake_start_prepared(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_int_equal(fake_client_measured(f.clients[0]), 3);
    assert_int_equal(missed, 1);
    fake_close(&f);
    fmq_log_destroy(&log);
}

static void an_early_stop_ends_the_run_with_what_was_reached(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 2, 40);
    f.settings.eval_freq = 1;
    f.settings.early_stop = (fmq_early_stop_rule_t){.mode = FMQ_EARLY_STOP_BEST, .patience = 2};
    for (uint32_t k = 1; k <= 2; k++) /* the state, and with it the loss, only grows */
        fake_add(&f, k, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_string_equal(f.reason, "early stop");
    assert_int_equal(fake_client_trained(f.clients[0]), 3);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0x6, 0x6, 0x6}, 3));
    fake_close(&f);
}

static void states_are_saved_where_and_when_they_should_be(void **state)
{
    (void)state;
    federation_t f;
    char path[256], save_to[256];
    fake_open(&f, 1, 5);
    f.settings.save_to = test_path(save_to, f.folder, "made/for/it/model");
    f.settings.save_freq = 2;
    f.settings.eval_freq = 5;
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    static const char *const there[] = {"made/for/it/2_model/state.bin",
                                        "made/for/it/4_model/state.bin",
                                        "made/for/it/final_model/state.bin",
                                        "made/for/it/model/state.bin",
                                        "adapter/state.bin",
                                        "checkpoints/round-000005.state",
                                        "checkpoints/round-000004.state"};
    static const char *const gone[] = {"made/for/it/3_model", "checkpoints/round-000003.state",
                                       "journal/round-000003"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        if (access(test_path(path, f.folder, there[i]), F_OK) != 0)
            fail_msg("'%s' is missing", there[i]);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        if (access(test_path(path, f.folder, gone[i]), F_OK) == 0)
            fail_msg("'%s' is still there", gone[i]);
    fake_close(&f);
}

static void with_method_local_nothing_is_exchanged(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 2, 3);
    f.settings.method = fmq_strategy_find("local", NULL);
    f.settings.eval_freq = 1;
    for (uint32_t k = 1; k <= 2; k++)
        fake_add(&f, k, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_int_equal(fake_client_trained(f.clients[0]), 3);
    assert_int_equal(fake_client_measured(f.clients[0]), 3);
    char path[256];
    assert_int_not_equal(access(test_path(path, f.folder, "adapter"), F_OK), 0);
    fake_close(&f);
}

static void a_run_of_no_rounds_saves_the_state_it_began_with(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 1, 0);
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_check(&f, fake_expected(&f, all_three, 0));
    fake_close(&f);
}

static void a_run_made_with_another_model_is_not_resumed(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 1, 2);
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    fake_end_server(&f);
    f.options.model.bytes[0] = 1;
    fake_start_prepared(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 7);
    assert_non_null(strstr(f.reason, "another base model"));
    fake_close(&f);
}

static void a_directory_that_cannot_be_written_is_an_error_and_not_a_hang(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 1, 2);
    char path[256];
    FILE *file = fopen(test_path(path, f.folder, "metrics.jsonl"), "w");
    assert_non_null(file);
    fclose(file);
    fake_prepare(&f);
    f.options.directory = path;
    fake_start_prepared(&f);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 4);
    assert_non_null(strstr(f.reason, "metrics.jsonl"));
    fake_close(&f);
}

/* A method whose rounds ask everybody to measure, refuse one of them, and only then train. */
typedef struct {
    uint32_t heard[2]; /* of exchange, a bit a client */
} asking_t;
static asking_t asking;

static size_t asking_exchanges(const void *self, fmq_exchange_t out[FMQ_EXCHANGES_MAX])
{
    (void)self;
    out[0] = (fmq_exchange_t){.task = FMQ_TASK_EVALUATE,
                              .who = FMQ_WHO_EVERYBODY,
                              .accept = FMQ_ACCEPT_REPORT,
                              .close = FMQ_CLOSE_NEXT};
    out[1] = (fmq_exchange_t){.task = FMQ_TASK_TRAIN};
    return 2;
}

static int asking_accept(void *self, size_t exchange, uint32_t client,
                         const fmq_message_report_t *report, fmq_error_t *why)
{
    (void)self;
    assert_int_equal(report->phase, exchange == 0 ? FMQ_REPORT_MEASURED : FMQ_REPORT_OFFER);
    asking.heard[exchange] |= 1u << client;
    return exchange == 1 && client == 2 ? fmq_error_set(why, FMQ_ERR_LIMIT, "not this one") : 0;
}

static void a_round_may_be_several_exchanges_and_its_method_may_refuse_answers(void **state)
{
    (void)state;
    federation_t f;
    fake_open(&f, 3, 2);
    fmq_strategy_ops_t method = *fmq_strategy_find("FedAvg", NULL);
    method.exchanges = asking_exchanges;
    method.accept = asking_accept;
    asking = (asking_t){.heard = {0}};
    f.settings.method = &method;
    for (uint32_t k = 1; k <= 3; k++)
        fake_add(&f, k, FAKE_HONEST, 0, 0);
    fake_start_server(&f);
    assert_int_equal(fake_wait(&f, 20000), 0);
    assert_int_equal(asking.heard[0], 0xe);
    assert_int_equal(asking.heard[1], 0xe);
    fake_check(&f, fake_expected(&f, (uint32_t[]){0xa, 0xa}, 2));
    fake_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_digested_twice_in_one_process),
        cmocka_unit_test(a_large_state_lies_on_the_disk_alone_while_clients_train),
        cmocka_unit_test(three_clients_and_five_rounds_give_the_weighted_mean),
        cmocka_unit_test(the_order_of_arrival_changes_no_byte),
        cmocka_unit_test(a_sample_is_the_same_in_every_run_and_others_stay_idle),
        cmocka_unit_test(an_interrupted_run_goes_on_to_the_same_bytes),
        cmocka_unit_test(a_failure_elsewhere_is_the_reason_that_everybody_hears),
        cmocka_unit_test(a_damaged_checkpoint_falls_back_and_reaches_the_same_bytes),
        cmocka_unit_test(an_observer_reads_the_states_and_writes_nothing),
        cmocka_unit_test(who_holds_a_state_reads_it_when_the_server_has_long_gone_on),
        cmocka_unit_test(a_client_that_never_offers_is_left_behind_at_the_deadline),
        cmocka_unit_test(updates_that_are_no_good_are_left_out),
        cmocka_unit_test(rounds_without_any_update_end_the_run_with_an_error),
        cmocka_unit_test(a_count_of_examples_that_cannot_be_leaves_its_client_out),
        cmocka_unit_test(measurements_that_cannot_be_decide_nothing),
        cmocka_unit_test(a_client_that_does_not_get_on_is_left_out_and_not_asked_before_it_speaks),
        cmocka_unit_test(one_that_is_slow_but_gets_on_is_waited_for),
        cmocka_unit_test(a_short_run_without_any_update_has_not_finished),
        cmocka_unit_test(one_usable_update_is_enough_for_a_run_to_finish),
        cmocka_unit_test(a_last_state_that_nobody_can_measure_is_no_good_end),
        cmocka_unit_test(a_client_whose_task_failed_is_ready_for_a_server_that_comes_back),
        cmocka_unit_test(a_client_that_dies_is_gone_without_and_one_that_joins_late_takes_part),
        cmocka_unit_test(a_client_that_comes_back_is_asked_again),
        cmocka_unit_test(a_deciding_metric_that_nobody_measures_is_missed_once),
        cmocka_unit_test(metrics_are_merged_written_and_decide_the_best_state),
        cmocka_unit_test(an_early_stop_ends_the_run_with_what_was_reached),
        cmocka_unit_test(states_are_saved_where_and_when_they_should_be),
        cmocka_unit_test(with_method_local_nothing_is_exchanged),
        cmocka_unit_test(a_run_of_no_rounds_saves_the_state_it_began_with),
        cmocka_unit_test(a_run_made_with_another_model_is_not_resumed),
        cmocka_unit_test(a_directory_that_cannot_be_written_is_an_error_and_not_a_hang),
        cmocka_unit_test(a_round_may_be_several_exchanges_and_its_method_may_refuse_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
