/*
 * test_personal_state.c - what a client keeps of its own training, on disk.
 */
#include "actors_test.h"

#include <unistd.h>

#include "actors/client/personal_state.h"

#define RUN_A "0123456789abcdef0123456789abcdef"
#define RUN_B "ffffffffffffffff0123456789abcdef"

typedef struct {
    char folder[64], place_path[256];
    fmq_schema_t *schema;
    fmq_personal_place_t place;
    float *back;
    fmq_personal_mark_t mark;
} fixture_t;

static int setup(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    test_folder_make(f->folder);
    f->schema = test_schema();
    f->back = test_vector(f->schema, 99);
    f->place = (fmq_personal_place_t){.directory =
                                          test_path(f->place_path, f->folder, "made/for/client-3"),
                                      .schema = f->schema,
                                      .client = 3,
                                      .actor = "client-3"};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;
    test_folder_remove(f->folder);
    fmq_schema_destroy(&f->schema);
    free(f->back);
    free(f);
    return 0;
}

/* The state of round r is test_vector(r). */
static void save(fixture_t *f, const char *run, uint32_t round, const uint32_t *before)
{
    fmq_error_t err;
    fmq_personal_mark_t mark = {.round = round, .outcome = {.phase = FMQ_REPORT_OFFER}};
    snprintf(mark.run, sizeof mark.run, "%s", run);
    snprintf(mark.outcome.run, sizeof mark.outcome.run, "%s", run);
    mark.outcome.samples = 100 + round;
    fmq_metrics_set(&mark.outcome.metrics, "train_loss", 1.0 / round, NULL);
    float *vector = test_vector(f->schema, round);
    if (fmq_personal_save(&f->place, &mark, vector, before, &err) < 0)
        fail_msg("%s", err.text);
    free(vector);
}

static int load(fixture_t *f, const char *run, uint32_t most)
{
    fmq_error_t err;
    int found = fmq_personal_load(&f->place, run, most, &f->mark, f->back, &err);
    if (found < 0)
        fail_msg("%s", err.text);
    return found;
}

static void assert_is_of_round(const fixture_t *f, uint32_t round)
{
    float *vector = test_vector(f->schema, round);
    assert_int_equal(f->mark.round, round);
    assert_int_equal(f->mark.outcome.samples, 100 + round);
    assert_true(*fmq_metrics_get(&f->mark.outcome.metrics, "train_loss") == 1.0 / round);
    assert_memory_equal(f->back, vector, fmq_schema_elements(f->schema) * sizeof *vector);
    free(vector);
}

static bool has_file(const fixture_t *f, const char *name)
{
    char path[256];
    return access(test_path(path, f->place.directory, name), F_OK) == 0;
}

static void what_is_saved_comes_back_with_what_was_reported(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(load(f, RUN_A, 9), 0); /* not even a folder */
    save(f, RUN_A, 4, NULL);
    assert_int_equal(load(f, RUN_A, 9), 1);
    assert_is_of_round(f, 4);
    assert_int_equal(load(f, RUN_A, 4), 1);
    assert_int_equal(load(f, RUN_A, 3), 0);
    assert_int_equal(load(f, RUN_B, 9), 0);
}

static void the_one_before_is_kept_for_a_server_that_falls_back(void **state)
{
    fixture_t *f = *state;
    save(f, RUN_A, 1, NULL);
    save(f, RUN_A, 3, &(uint32_t){1}); /* it was not sampled in between */
    save(f, RUN_A, 4, &(uint32_t){3});
    assert_false(has_file(f, "round-000001.state"));
    assert_int_equal(load(f, RUN_A, 4), 1);
    assert_is_of_round(f, 4);
    assert_int_equal(load(f, RUN_A, 3), 1);
    assert_is_of_round(f, 3);
    assert_int_equal(load(f, RUN_A, 2), 0);
    save(f, RUN_B, 9, NULL); /* nothing is left of another run */
    assert_false(has_file(f, "round-000003.state"));
    assert_false(has_file(f, "round-000004.state"));
}

static void a_damaged_file_is_passed_over(void **state)
{
    fixture_t *f = *state;
    char path[256];
    save(f, RUN_A, 3, NULL);
    save(f, RUN_A, 4, &(uint32_t){3});
    FILE *file = fopen(test_path(path, f->place.directory, "round-000004.state"), "r+");
    assert_non_null(file);
    fseek(file, 5000, SEEK_SET);
    fputc('!', file);
    fclose(file);
    assert_int_equal(load(f, RUN_A, 9), 1);
    assert_is_of_round(f, 3);
    assert_int_equal(truncate(test_path(path, f->place.directory, "round-000003.state"), 300), 0);
    assert_int_equal(load(f, RUN_A, 9), 0);
}

/* A process that is killed while it saves leaves a file beside. */
static void what_was_not_finished_is_passed_over(void **state)
{
    fixture_t *f = *state;
    fmq_error_t err;
    char path[256];
    save(f, RUN_A, 2, NULL);
    FILE *file = fopen(test_path(path, f->place.directory, "round-000003.state.tmp"), "w");
    assert_non_null(file);
    fputs("half of it", file);
    fclose(file);
    assert_int_equal(fmq_personal_load(&f->place, RUN_A, 9, &f->mark, f->back, &err), 1);
    assert_is_of_round(f, 2);
}

static void a_state_of_somebody_else_is_nobodys(void **state)
{
    fixture_t *f = *state;
    save(f, RUN_A, 2, NULL);
    f->place.client = 4;
    assert_int_equal(load(f, RUN_A, 9), 0);
    f->place.client = 3;
    fmq_schema_t *other = fmq_schema_new(FMQ_F32);
    assert_int_equal(fmq_schema_add(other, "a", 1, (uint64_t[]){5}, NULL), 0);
    f->place.schema = other;
    assert_int_equal(load(f, RUN_A, 9), 0);
    fmq_schema_destroy(&other);
}

static void a_place_that_cannot_be_written_is_an_error(void **state)
{
    fixture_t *f = *state;
    char path[256];
    fmq_error_t err = {0};
    fmq_personal_mark_t mark = {.run = RUN_A, .outcome = {.run = RUN_A}};
    FILE *file = fopen(test_path(path, f->folder, "made"), "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(fmq_personal_save(&f->place, &mark, f->back, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    f->place.directory = NULL; /* a client that has no place keeps nothing */
    assert_int_equal(fmq_personal_save(&f->place, &mark, f->back, NULL, &err), 0);
    assert_int_equal(load(f, RUN_A, 9), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_saved_comes_back_with_what_was_reported),
        TEST(the_one_before_is_kept_for_a_server_that_falls_back),
        TEST(a_damaged_file_is_passed_over),
        TEST(what_was_not_finished_is_passed_over),
        TEST(a_state_of_somebody_else_is_nobodys),
        TEST(a_place_that_cannot_be_written_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
