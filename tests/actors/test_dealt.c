/*
 * test_dealt.c - what was dealt is remembered, and a file that is not what was
 * written is refused.
 */
#include "actors_test.h"

#include "actors/storage/dealt.h"
#include "actors/storage/file.h"

static fmq_error_t err;
static char folder[64];

static int set_up(void **state)
{
    test_folder_make(folder);
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

static fmq_dealt_t *open_dealt(uint32_t clients)
{
    fmq_dealt_t *dealt = fmq_dealt_open(folder, clients, &err);
    if (!dealt)
        fail_msg("%s", err.text);
    return dealt;
}

static bool take(fmq_dealt_t *dealt, uint32_t client, uint64_t train)
{
    const fmq_message_shard_t note = {
        .client = client, .train = train, .val = 2, .test = UINT64_MAX};
    return fmq_dealt_take(dealt, &note);
}

static void nothing_is_known_and_nothing_written_before_somebody_says_it(void **state)
{
    (void)state;
    char path[256];
    size_t size = 0;
    fmq_dealt_t *dealt = open_dealt(3);
    for (uint32_t k = 0; k <= 4; k++)
        assert_null(fmq_dealt_to(dealt, k));
    assert_null(fmq_dealt_to(NULL, 1));
    assert_int_equal(fmq_dealt_save(dealt, &err), 0);
    assert_null(fmq_file_load(test_path(path, folder, FMQ_DEALT_NAME), 100, &size, &err));
    fmq_dealt_close(&dealt);
}

static void what_was_said_is_known_in_the_next_life(void **state)
{
    (void)state;
    fmq_dealt_t *dealt = open_dealt(3);
    assert_true(take(dealt, 3, 7));
    assert_true(take(dealt, 1, 0));
    assert_false(take(dealt, 1, 0)); /* nothing new */
    assert_true(take(dealt, 3, 9));
    assert_false(take(dealt, 0, 1)); /* the server's own */
    assert_false(take(dealt, 4, 1)); /* none of the run's */
    assert_int_equal(fmq_dealt_save(dealt, &err), 0);
    fmq_dealt_close(&dealt);

    dealt = open_dealt(3);
    const uint64_t *counts = fmq_dealt_to(dealt, 3);
    assert_non_null(counts);
    assert_int_equal(counts[FMQ_DEALT_TRAIN], 9);
    assert_int_equal(counts[FMQ_DEALT_VAL], 2);
    assert_true(counts[FMQ_DEALT_TEST] == UINT64_MAX);
    assert_non_null(fmq_dealt_to(dealt, 1));
    assert_null(fmq_dealt_to(dealt, 2));
    fmq_dealt_close(&dealt);
}

static void a_damaged_file_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const texts[] = {"x",          "1 2 3\n",    "1 2 3 4",
                                        "4 1 1 1\n",  "0 1 1 1\n",  "1 2 3 4 5\n",
                                        "-1 2 3 4\n", "1  2 3 4\n", "1 1 1 1\n1 1 1 1\n",
                                        "\n",         "1 1 1 1\n\n"};
    char path[256];
    test_path(path, folder, FMQ_DEALT_NAME);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(fmq_file_save(path, texts[i], strlen(texts[i]), &err), 0);
        if (fmq_dealt_open(folder, 3, &err))
            fail_msg("'%s' was taken", texts[i]);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
        assert_non_null(strstr(err.text, path));
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nothing_is_known_and_nothing_written_before_somebody_says_it),
        CASE(what_was_said_is_known_in_the_next_life),
        CASE(a_damaged_file_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
