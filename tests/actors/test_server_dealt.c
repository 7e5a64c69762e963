/*
 * test_server_dealt.c - what clients say of their data is held against what
 * the splitter has dealt, where one did, and in the next life of the server.
 */
#include "fake_federation.h"

#include "actors/storage/dealt.h"
#include "actors/storage/file.h"
#include "fedmq/base/clock.h"
#include "tests/broker/fabric.h"

#define LIMIT_MS 20000
#define TRAIN    200 /* dealt to each client; an honest one uses fewer */
#define VAL      50

static void deal(fmq_link_t *link, uint32_t client, uint64_t train)
{
    unsigned char body[256];
    char topic[FMQ_TOPIC_MAX];
    const fmq_message_shard_t note = {.client = client, .train = train, .val = VAL, .test = VAL};
    size_t size = fmq_message_shard_encode(&note, body, sizeof body, NULL);
    snprintf(topic, sizeof topic, "shard-%u", client);
    assert_int_equal(fmq_link_note(link, "@server", topic, body, size, NULL), 0);
}

/* Client 2 of two lies from round `from` on; the server does not wait for it. */
static void prepare(federation_t *f, uint32_t rounds)
{
    fake_open(f, 2, rounds);
    f->settings.eval_freq = 1;
}

static uint64_t whole_passes(void *argument, uint32_t client, uint64_t shard)
{
    (void)argument, (void)client;
    return shard;
}

static void start(federation_t *f)
{
    fake_prepare(f);
    f->options.samples_max = whole_passes;
    fake_start_prepared(f);
}

static void add_both(federation_t *f, uint32_t from)
{
    fake_add(f, 1, FAKE_HONEST, 0, 0);
    fake_add(f, 2, FAKE_RICH, from, 0);
}

static char *read_text(const federation_t *f, const char *name)
{
    char path[256];
    size_t size;
    return fmq_file_load(test_path(path, f->folder, name), 1u << 20, &size, NULL);
}

/* The server has heard of both clients' shards. */
static void wait_for_dealt(const federation_t *f)
{
    for (int64_t end = fmq_clock_ms() + LIMIT_MS; fmq_clock_ms() < end; zclock_sleep(5)) {
        char *text = read_text(f, FMQ_DEALT_NAME);
        bool both = text && strstr(text, "1 200 50 50\n2 200 50 50\n");
        free(text);
        if (both)
            return;
    }
    fail_msg("the server has not heard what was dealt");
}

static bool left_out(const federation_t *f, const uint32_t *who, uint32_t rounds)
{
    float *result = fake_result(f), *expected = fake_expected(f, who, rounds);
    bool same = memcmp(result, expected, fmq_schema_elements(f->schema) * sizeof *result) == 0;
    free(result);
    free(expected);
    return same;
}

/* Client 2's measurements of rounds 1 and on weigh nothing. */
static void check_metrics(const federation_t *f, bool dropped)
{
    char *text = read_text(f, "metrics.jsonl");
    assert_non_null(text);
    if ((strstr(text, "\"val_total\":1048576") == NULL) != dropped)
        fail_msg("%s", text);
    free(text);
}

static void count_reasons(void *argument, fmq_log_level_t level, const char *line)
{
    (void)level;
    int *seen = argument;
    seen[0] += strstr(line, "report-refused client=2") &&
               strstr(line, "has 1048576 examples; the splitter has dealt it 200");
    seen[1] += strstr(line, "metric-dropped client=2") && strstr(line, "val_total");
}

static void more_than_was_dealt_weighs_nothing(void **state)
{
    (void)state;
    federation_t f;
    int seen[2] = {0};
    fmq_log_t *log = fmq_log_new(count_reasons, seen, FMQ_LOG_WARNING);
    prepare(&f, 3);
    fake_prepare(&f);
    f.options.samples_max = whole_passes;
    f.options.log = log;
    fake_start_prepared(&f);
    fmq_link_t *splitter = fabric_link(f.endpoint, "splitter", FMQ_ROLE_SPLITTER);
    deal(splitter, 1, TRAIN);
    deal(splitter, 2, TRAIN);
    wait_for_dealt(&f);
    add_both(&f, 1);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_true(left_out(&f, (uint32_t[]){0x6, 0x2, 0x2}, 3));
    check_metrics(&f, true);
    assert_int_equal(seen[0], 2);
    assert_true(seen[1] > 0);
    fmq_link_close(&splitter, 0);
    fake_close(&f);
    fmq_log_destroy(&log);
}

/* Without samples_max: what counts is that it says it has so many. */
static void who_says_nothing_of_its_shard_can_have_used_what_it_was_dealt(void **state)
{
    (void)state;
    federation_t f;
    prepare(&f, 3);
    start(&f);
    fmq_link_t *splitter = fabric_link(f.endpoint, "splitter", FMQ_ROLE_SPLITTER);
    deal(splitter, 1, TRAIN);
    deal(splitter, 2, TRAIN);
    wait_for_dealt(&f);
    fake_add(&f, 1, FAKE_HONEST, 0, 0);
    fake_add(&f, 2, FAKE_BOASTING, 1, 0);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_true(left_out(&f, (uint32_t[]){0x6, 0x2, 0x2}, 3));
    fmq_link_close(&splitter, 0);
    fake_close(&f);
}

static void a_client_cannot_say_what_was_dealt(void **state)
{
    (void)state;
    federation_t f;
    prepare(&f, 3);
    start(&f);
    fmq_link_t *splitter = fabric_link(f.endpoint, "splitter", FMQ_ROLE_SPLITTER);
    fmq_link_t *liar = fabric_link(f.endpoint, "client-9", FMQ_ROLE_CLIENT);
    deal(splitter, 1, TRAIN);
    deal(splitter, 2, TRAIN);
    wait_for_dealt(&f);
    deal(liar, 2, 2 * FAKE_RICHES);
    zclock_sleep(300); /* in which a server would have believed it */
    add_both(&f, 1);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_true(left_out(&f, (uint32_t[]){0x6, 0x2, 0x2}, 3));
    check_metrics(&f, true);
    fmq_link_close(&liar, 0);
    fmq_link_close(&splitter, 0);
    fake_close(&f);
}

static void a_server_that_goes_on_knows_it_without_the_splitter(void **state)
{
    (void)state;
    federation_t f;
    fmq_error_t err;
    const fmq_message_shard_t shards[2] = {{.client = 1, .train = TRAIN, .val = VAL},
                                           {.client = 2, .train = TRAIN, .val = VAL}};
    prepare(&f, 2);
    fmq_dealt_t *before = fmq_dealt_open(f.folder, 2, &err);
    assert_non_null(before);
    assert_true(fmq_dealt_take(before, &shards[0]) && fmq_dealt_take(before, &shards[1]));
    assert_int_equal(fmq_dealt_save(before, &err), 0);
    fmq_dealt_close(&before);
    start(&f);
    add_both(&f, 0);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_true(left_out(&f, (uint32_t[]){0x2, 0x2}, 2));
    check_metrics(&f, true);
    fake_close(&f);
}

/* Nobody knows how many it has: that is what federate.ignore_weight is for. */
static void data_of_a_clients_own_are_not_held_against_what_was_dealt(void **state)
{
    (void)state;
    federation_t f;
    prepare(&f, 2);
    f.settings.own_data = true;
    start(&f);
    fmq_link_t *splitter = fabric_link(f.endpoint, "splitter", FMQ_ROLE_SPLITTER);
    deal(splitter, 1, TRAIN);
    deal(splitter, 2, TRAIN);
    zclock_sleep(300); /* in which a server would have taken it */
    add_both(&f, 0);
    assert_int_equal(fake_wait(&f, LIMIT_MS), 0);
    assert_false(left_out(&f, (uint32_t[]){0x2, 0x2}, 2));
    check_metrics(&f, false);
    assert_null(read_text(&f, FMQ_DEALT_NAME));
    fmq_link_close(&splitter, 0);
    fake_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_than_was_dealt_weighs_nothing),
        cmocka_unit_test(who_says_nothing_of_its_shard_can_have_used_what_it_was_dealt),
        cmocka_unit_test(a_client_cannot_say_what_was_dealt),
        cmocka_unit_test(a_server_that_goes_on_knows_it_without_the_splitter),
        cmocka_unit_test(data_of_a_clients_own_are_not_held_against_what_was_dealt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
