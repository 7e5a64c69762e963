/*
 * test_checkpoint.c - where a run stands: saved, verified, fallen back from.
 */
#include "actors_test.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actors/storage/checkpoint.h"
#include "actors/storage/directory.h"
#include "actors/storage/file.h"

#define GOLDENS FEDMQ_SOURCE_DIR "/tests/actors/goldens"

typedef struct {
    char folder[64];
    fmq_schema_t *schema;
    float *state, *back;
} fixture_t;

/* Where fixture's state is written from, or read to. */
static fmq_sections_t sections_of(const fixture_t *fixture, bool back)
{
    fmq_sections_t sections = {.size = 0};
    (void)fmq_sections_add(&sections, FMQ_SECTION_STATE, fixture->schema,
                           back ? fixture->back : fixture->state);
    return sections;
}

/* A schema of one tensor. */
static fmq_schema_t *test_schema_of(const char *name, uint64_t elements)
{
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    assert_int_equal(fmq_schema_add(schema, name, 1, &elements, NULL), 0);
    return schema;
}

static int setup(void **state)
{
    fixture_t *fixture = calloc(1, sizeof *fixture);
    test_folder_make(fixture->folder);
    fixture->schema = test_schema();
    fixture->state = test_vector(fixture->schema, 5);
    fixture->back = test_vector(fixture->schema, 6);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;
    test_folder_remove(fixture->folder);
    fmq_schema_destroy(&fixture->schema);
    free(fixture->state);
    free(fixture->back);
    free(fixture);
    return 0;
}

static fmq_checkpoint_t a_checkpoint(uint32_t round)
{
    fmq_checkpoint_t checkpoint = {.round = round, .epoch = 2, .empty_rounds = 1};
    strcpy(checkpoint.run, "00112233445566778899aabbccddeeff");
    checkpoint.model.bytes[3] = 77;
    checkpoint.early_stop = (fmq_early_stop_t){.any = true, .best = 1.5, .worse = 3, .size = 2};
    checkpoint.early_stop.last[1] = 2.25;
    checkpoint.best = (fmq_best_t){true, 1.5, 4};
    return checkpoint;
}

static int put(const fixture_t *fixture, uint32_t round, fmq_error_t *err)
{
    fmq_checkpoint_t checkpoint = a_checkpoint(round);
    fixture->state[0] = (float)round;
    fmq_sections_t from = sections_of(fixture, false);
    return fmq_checkpoint_put(fixture->folder, &checkpoint, &from, err);
}

static int newest(const fixture_t *fixture, uint32_t *round, uint32_t *skipped, fmq_error_t *err)
{
    fmq_sections_t to = sections_of(fixture, true);
    fmq_checkpoint_search_t search = {fixture->folder, &to, NULL};
    fmq_checkpoint_t checkpoint = {.round = 999};
    int rc = fmq_checkpoint_newest(&search, &checkpoint, skipped, err);
    *round = checkpoint.round;
    return rc;
}

static void all_of_it_comes_back(void **state)
{
    const fixture_t *fixture = *state;
    char path[256];
    assert_int_equal(put(fixture, 12, NULL), 0);
    fmq_checkpoint_t back, expected = a_checkpoint(12);
    fmq_sections_t to = sections_of(fixture, true);
    test_path(path, fixture->folder, "round-000012.state");
    assert_int_equal(fmq_checkpoint_load(path, &to, &back, NULL), 0);
    assert_memory_equal(fixture->back, fixture->state,
                        fmq_schema_elements(fixture->schema) * sizeof(float));
    assert_string_equal(back.run, expected.run);
    assert_int_equal(back.round, 12);
    assert_int_equal(back.epoch, 2);
    assert_int_equal(back.empty_rounds, 1);
    assert_memory_equal(&back.model, &expected.model, sizeof back.model);
    assert_true(back.early_stop.best == 1.5);
    assert_int_equal(back.early_stop.worse, 3);
    assert_int_equal(back.early_stop.size, 2);
    assert_true(back.early_stop.last[1] == 2.25);
    assert_true(back.best.any && back.best.value == 1.5 && back.best.round == 4);
}

static void the_newest_is_found_and_old_ones_are_pruned(void **state)
{
    const fixture_t *fixture = *state;
    uint32_t round, skipped;
    assert_int_equal(newest(fixture, &round, &skipped, NULL), 0);
    for (uint32_t r = 8; r <= 11; r++)
        assert_int_equal(put(fixture, r, NULL), 0);
    assert_int_equal(newest(fixture, &round, &skipped, NULL), 1);
    assert_int_equal(round, 11);
    assert_int_equal(skipped, 0);
    assert_true(fixture->back[0] == 11);
    fmq_checkpoint_prune(fixture->folder, 10);
    char path[256];
    assert_int_not_equal(access(test_path(path, fixture->folder, "round-000009.state"), F_OK), 0);
    assert_int_equal(access(test_path(path, fixture->folder, "round-000010.state"), F_OK), 0);
    fmq_checkpoint_forget(fixture->folder, 10);
    assert_int_equal(newest(fixture, &round, &skipped, NULL), 1);
    assert_int_equal(round, 10);
}

static void a_flip_of_any_byte_or_a_cut_falls_back_to_the_generation_before(void **state)
{
    const fixture_t *fixture = *state;
    char path[256];
    test_path(path, fixture->folder, "round-000002.state");
    assert_int_equal(put(fixture, 1, NULL), 0);
    assert_int_equal(put(fixture, 2, NULL), 0);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    uint32_t round, skipped;
    for (long at = 0; at < size; at += at < 300 ? 1 : 40009) {
        fseek(file, at, SEEK_SET);
        int byte = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(byte ^ 0x10, file);
        fflush(file);
        assert_int_equal(newest(fixture, &round, &skipped, NULL), 1);
        assert_int_equal(round, 1);
        assert_int_equal(skipped, 1);
        assert_true(fixture->back[0] == 1);
        fseek(file, at, SEEK_SET);
        fputc(byte, file);
        fflush(file);
    }
    fclose(file);
    assert_int_equal(truncate(path, size - 1), 0);
    assert_int_equal(newest(fixture, &round, &skipped, NULL), 1);
    assert_int_equal(round, 1);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(newest(fixture, &round, &skipped, NULL), 1);
    assert_int_equal(round, 1);
}

static void when_none_is_intact_it_says_so(void **state)
{
    const fixture_t *fixture = *state;
    char path[256];
    assert_int_equal(put(fixture, 3, NULL), 0);
    assert_int_equal(truncate(test_path(path, fixture->folder, "round-000003.state"), 40), 0);
    uint32_t round, skipped;
    fmq_error_t err;
    assert_int_equal(newest(fixture, &round, &skipped, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    assert_non_null(strstr(err.text, fixture->folder));
}

static void a_checkpoint_of_another_adapter_is_a_mismatch(void **state)
{
    const fixture_t *fixture = *state;
    assert_int_equal(put(fixture, 3, NULL), 0);
    fmq_schema_t *other = fmq_schema_new(FMQ_F32);
    assert_int_equal(fmq_schema_add(other, "x", 1, (const uint64_t[]){72003}, NULL), 0);
    fmq_sections_t to = {.size = 0};
    (void)fmq_sections_add(&to, FMQ_SECTION_STATE, other, fixture->back);
    fmq_checkpoint_search_t search = {fixture->folder, &to, NULL};
    fmq_checkpoint_t checkpoint;
    uint32_t skipped;
    fmq_error_t err;
    assert_int_equal(fmq_checkpoint_newest(&search, &checkpoint, &skipped, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    fmq_schema_destroy(&other);
}

static void an_emulator_comes_back_beside_the_state(void **state)
{
    const fixture_t *fixture = *state;
    fmq_schema_t *schema = test_schema_of("e", 3);
    float emulator[3] = {1, 2, 3}, back[3] = {0};
    char path[256];
    test_path(path, fixture->folder, "file");
    fmq_checkpoint_t checkpoint = a_checkpoint(7), found;
    checkpoint.prepared = 41;
    fmq_sections_t from = sections_of(fixture, false), to = sections_of(fixture, true);
    (void)fmq_sections_add(&from, FMQ_SECTION_EMULATOR, schema, emulator);
    (void)fmq_sections_add(&to, FMQ_SECTION_EMULATOR, schema, back);
    assert_int_equal(fmq_checkpoint_save(path, &checkpoint, &from, NULL), 0);
    assert_int_equal(fmq_checkpoint_load(path, &to, &found, NULL), 0);
    assert_memory_equal(back, emulator, sizeof back);
    assert_memory_equal(fixture->back, fixture->state,
                        fmq_schema_elements(fixture->schema) * sizeof(float));
    assert_int_equal(found.prepared, 41);
    assert_int_equal(found.round, 7);
    fmq_schema_destroy(&schema);
}

static void with_and_without_an_emulator_are_not_the_same_run(void **state)
{
    const fixture_t *fixture = *state;
    fmq_schema_t *schema = test_schema_of("e", 3), *other = test_schema_of("e", 4);
    float emulator[4] = {0};
    char path[256];
    test_path(path, fixture->folder, "file");
    fmq_checkpoint_t checkpoint = a_checkpoint(7), found;
    fmq_error_t err;
    fmq_sections_t plain = sections_of(fixture, false), offsite = plain, third = plain;
    (void)fmq_sections_add(&offsite, FMQ_SECTION_EMULATOR, schema, emulator);
    (void)fmq_sections_add(&third, FMQ_SECTION_EMULATOR, other, emulator);
    assert_int_equal(fmq_checkpoint_save(path, &checkpoint, &plain, NULL), 0);
    assert_int_equal(fmq_checkpoint_load(path, &offsite, &found, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "holds no 'emulator'"));
    assert_int_equal(fmq_checkpoint_save(path, &checkpoint, &offsite, NULL), 0);
    assert_int_equal(fmq_checkpoint_load(path, &plain, &found, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "holds also 'emulator'"));
    assert_int_equal(fmq_checkpoint_load(path, &third, &found, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    fmq_schema_destroy(&schema);
    fmq_schema_destroy(&other);
}

/* Files that earlier programs have written: versions 1 and 3 hold a state, 2 and
 * 4 an emulator too; from 2 on there is a number of blocks, from 3 on a meaning. */
static void files_of_all_older_versions_are_still_read(void **state)
{
    (void)state;
    static const float expected[] = {1.5F, -2.25F, 3.0F}, expected_emulator[] = {-0.5F, 8.0F};
    fmq_schema_t *schema = test_schema_of("w", 3), *other = test_schema_of("e", 2);
    for (int version = 1; version <= 4; version++) {
        char path[512];
        bool offsite = version % 2 == 0;
        float vector[3] = {0}, emulator[2] = {0};
        uint64_t offset = 0;
        fmq_checkpoint_t found;
        fmq_error_t err;
        fmq_sections_t to = {.size = 0};
        (void)snprintf(path, sizeof path, "%s/checkpoint-%d.state", GOLDENS, version);
        if (offsite) /* the order in the file does not matter */
            (void)fmq_sections_add(&to, FMQ_SECTION_EMULATOR, other, emulator);
        (void)fmq_sections_add(&to, FMQ_SECTION_STATE, schema, vector);
        if (fmq_checkpoint_load(path, &to, &found, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(vector, expected, sizeof vector);
        if (offsite)
            assert_memory_equal(emulator, expected_emulator, sizeof emulator);
        assert_string_equal(found.run, "00112233445566778899aabbccddeeff");
        assert_int_equal(found.round, 7);
        assert_int_equal(found.epoch, 2);
        assert_int_equal(found.empty_rounds, 1);
        assert_int_equal(found.model.bytes[3], 77);
        assert_true(found.early_stop.best == 1.5 && found.early_stop.last[1] == 2.25);
        assert_true(found.best.any && found.best.value == 1.25 && found.best.round == 4);
        assert_int_equal(found.prepared, version == 1 ? 0 : 4);
        assert_string_equal(found.meaning, version < 3 ? "" : "adapter=lora r=8 lora_alpha=16");
        assert_int_equal(fmq_checkpoint_locate(path, FMQ_SECTION_STATE, schema, &offset, NULL), 0);
        FILE *file = fopen(path, "rb");
        assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
        assert_int_equal(fread(vector, sizeof vector, 1, file), 1);
        assert_memory_equal(vector, expected, sizeof vector);
        (void)fclose(file);
    }
    fmq_schema_destroy(&schema);
    fmq_schema_destroy(&other);
}

/* What a method keeps: vectors of its own, and numbers. */
static void what_a_method_keeps_comes_back_by_name(void **state)
{
    const fixture_t *fixture = *state;
    fmq_schema_t *small = test_schema_of("m", 3);
    float moments[3] = {1, 2, 3}, back[3] = {0};
    char steps[] = "41 steps", room[16] = "", path[256];
    fmq_checkpoint_t checkpoint = a_checkpoint(7), found;
    fmq_sections_t from = sections_of(fixture, false), to = {.size = 0};
    test_path(path, fixture->folder, "file");
    (void)fmq_sections_add(&from, "method.m", small, moments);
    (void)fmq_sections_add_bytes(&from, "method.steps", steps, sizeof steps, 0);
    assert_int_equal(fmq_checkpoint_save(path, &checkpoint, &from, NULL), 0);
    (void)fmq_sections_add_bytes(&to, "method.steps", room, 0, sizeof room);
    (void)fmq_sections_add(&to, "method.m", small, back);
    (void)fmq_sections_add(&to, FMQ_SECTION_STATE, fixture->schema, fixture->back);
    fmq_sections_add_bytes(&to, "method.newer", room, 0, 0)->optional = true;
    assert_int_equal(fmq_checkpoint_load(path, &to, &found, NULL), 0);
    assert_memory_equal(back, moments, sizeof back);
    assert_string_equal(room, "41 steps");
    assert_int_equal(fmq_sections_find(&to, "method.steps")->size, sizeof steps);
    assert_true(fmq_sections_find(&to, "method.steps")->found);
    assert_false(fmq_sections_find(&to, "method.newer")->found);
    assert_memory_equal(fixture->back, fixture->state,
                        fmq_schema_elements(fixture->schema) * sizeof(float));
    fmq_schema_destroy(&small);
}

static void what_another_method_kept_is_refused_or_passed_over_by_name(void **state)
{
    const fixture_t *fixture = *state;
    char steps[] = "41 steps", path[256];
    fmq_checkpoint_t checkpoint = a_checkpoint(7), found;
    fmq_error_t err;
    fmq_sections_t from = sections_of(fixture, false), to = sections_of(fixture, true);
    test_path(path, fixture->folder, "file");
    (void)fmq_sections_add_bytes(&from, "method.steps", steps, sizeof steps, 0);
    assert_int_equal(fmq_checkpoint_save(path, &checkpoint, &from, NULL), 0);
    assert_int_equal(fmq_checkpoint_load(path, &to, &found, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "holds also 'method.steps'"));
    to.passed_over = FMQ_SECTION_METHOD;
    assert_int_equal(fmq_checkpoint_load(path, &to, &found, &err), 0);
    (void)fmq_sections_add_bytes(&to, "method.steps", path, 0, sizeof steps - 1);
    assert_int_equal(fmq_checkpoint_load(path, &to, &found, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_int_equal(
        fmq_checkpoint_save("unused", &checkpoint, &(fmq_sections_t){.size = 17}, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_INTERNAL);
}

/* The same tensors, and another scaling. */
static void what_the_numbers_mean_comes_back_and_is_compared(void **state)
{
    const fixture_t *fixture = *state;
    static const char meaning[] = "adapter=lora r=8 lora_alpha=16";
    fmq_checkpoint_t checkpoint = a_checkpoint(7), found;
    fmq_sections_t from = sections_of(fixture, false), to = sections_of(fixture, true);
    char path[256];
    fmq_error_t err;
    test_path(path, fixture->folder, "file");
    strcpy(checkpoint.meaning, meaning);
    assert_int_equal(fmq_checkpoint_save(path, &checkpoint, &from, NULL), 0);
    assert_int_equal(fmq_checkpoint_load(path, &to, &found, NULL), 0);
    assert_string_equal(found.meaning, meaning);
    assert_int_equal(fmq_checkpoint_compare(&found, meaning, path, &err), 0);
    assert_int_equal(fmq_checkpoint_compare(&found, "adapter=lora r=8 lora_alpha=32", path, &err),
                     -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "'lora_alpha' 16, here it is 32"));
    found.meaning[0] = '\0'; /* an older version says nothing */
    assert_int_equal(fmq_checkpoint_compare(&found, meaning, path, &err), 0);
}

static void a_full_disk_is_an_error_and_the_one_before_stays(void **state)
{
    const fixture_t *fixture = *state;
    assert_int_equal(put(fixture, 1, NULL), 0);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 100000; /* the state has 288,012 bytes */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fmq_error_t err;
    int rc = put(fixture, 2, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    assert_non_null(strstr(err.text, "checkpoint"));
    char path[256];
    assert_int_not_equal(access(test_path(path, fixture->folder, "round-000002.state.tmp"), F_OK),
                         0);
    uint32_t round, skipped;
    assert_int_equal(newest(fixture, &round, &skipped, NULL), 1);
    assert_int_equal(round, 1);
}

static void small_files_are_saved_and_loaded_whole(void **state)
{
    const fixture_t *fixture = *state;
    char path[256];
    size_t size;
    fmq_error_t err;
    test_path(path, fixture->folder, "deep/er/file");
    assert_int_equal(fmq_file_save(path, "abc", 3, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    char inner[256];
    assert_int_equal(fmq_directory_make(test_path(inner, fixture->folder, "deep/er"), &err), 0);
    assert_int_equal(fmq_file_save(path, "abc", 3, &err), 0);
    char *text = fmq_file_load(path, 3, &size, &err);
    assert_string_equal(text, "abc");
    free(text);
    assert_null(fmq_file_load(path, 2, &size, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_null(fmq_file_load("no such file", 2, &size, &err));
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(all_of_it_comes_back),
        TEST(the_newest_is_found_and_old_ones_are_pruned),
        TEST(a_flip_of_any_byte_or_a_cut_falls_back_to_the_generation_before),
        TEST(when_none_is_intact_it_says_so),
        TEST(a_checkpoint_of_another_adapter_is_a_mismatch),
        TEST(an_emulator_comes_back_beside_the_state),
        TEST(with_and_without_an_emulator_are_not_the_same_run),
        TEST(files_of_all_older_versions_are_still_read),
        TEST(what_a_method_keeps_comes_back_by_name),
        TEST(what_another_method_kept_is_refused_or_passed_over_by_name),
        TEST(what_the_numbers_mean_comes_back_and_is_compared),
        TEST(a_full_disk_is_an_error_and_the_one_before_stays),
        TEST(small_files_are_saved_and_loaded_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
