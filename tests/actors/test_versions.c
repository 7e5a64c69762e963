/*
 * test_versions.c - versions of notes grow from life to life, whatever the
 * clock says.
 */
#include "actors_test.h"

#include "actors/storage/file.h"
#include "actors/storage/versions.h"

#define LIFE (UINT64_C(1) << 40) /* versions of one */
#define NOW  INT64_C(1800000000000)
#define YEAR INT64_C(31536000000)

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

static uint64_t begin(const char *directory, int64_t wall_ms)
{
    uint64_t first = 0;
    if (fmq_versions_begin(directory, wall_ms, &first, &err) < 0)
        fail_msg("%s", err.text);
    return first;
}

static void each_life_begins_above_all_that_the_one_before_could_use(void **state)
{
    const char *directory = *state;
    uint64_t first = begin(directory, NOW);
    assert_int_equal(first, (uint64_t)NOW << 20);
    static const int64_t clocks[] = {NOW, NOW - 30000, NOW - YEAR, 0, -5, NOW + 1};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        uint64_t next = begin(directory, clocks[i]);
        assert_true(next >= first + LIFE);
        first = next;
    }
    assert_int_equal(begin(directory, NOW + YEAR), (uint64_t)(NOW + YEAR) << 20);
    assert_true(begin(directory, NOW) >= ((uint64_t)(NOW + YEAR) << 20) + LIFE);
}

static void a_damaged_number_is_refused_by_name(void **state)
{
    const char *directory = *state;
    static const char *const texts[] = {
        "", "x\n", "12", "-3\n", "99999999999999999\n", "1 2\n", "99999999999999999999999\n"};
    char *path = fmq_file_path(&err, "%s/" FMQ_VERSIONS_NAME, directory);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint64_t first = 7;
        assert_int_equal(fmq_file_save(path, texts[i], strlen(texts[i]), &err), 0);
        assert_int_equal(fmq_versions_begin(directory, NOW, &first, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
        assert_non_null(strstr(err.text, path));
        assert_int_equal(first, 7);
    }
    free(path);
}

static void what_cannot_be_remembered_is_not_given(void **state)
{
    (void)state;
    uint64_t first = 7;
    assert_int_equal(fmq_versions_begin("/nonexistent", NOW, &first, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    assert_int_equal(first, 7);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_life_begins_above_all_that_the_one_before_could_use),
        CASE(a_damaged_number_is_refused_by_name),
        CASE(what_cannot_be_remembered_is_not_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
