/*
 * test_splitter_public.c - the server's public records come from emu_align.data
 * and are split the same way each time.
 */
#include <stdbool.h>

#include "actors/splitter/public.h"
#include "actors_test.h"

#define RECORDS 50

typedef struct {
    char folder[64];
    llm_records_t *parts[3];
} stage_t;

static void write_records(const stage_t *self)
{
    char path[256];
    FILE *stream = fopen(test_path(path, self->folder, "public.jsonl"), "w");
    assert_non_null(stream);
    for (int i = 0; i < RECORDS; i++)
        fprintf(stream, "{\"instruction\":\"question %d\",\"output\":\"%d\"}\n", i, i);
    fclose(stream);
}

static fmq_offsite_settings_t settings_of(const stage_t *self)
{
    return (fmq_offsite_settings_t){.public_root = self->folder,
                                    .public_type = "public.jsonl@llm",
                                    .public_train = 0.8,
                                    .public_val = 0.1};
}

static void destroy(llm_records_t *parts[3])
{
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&parts[i]);
}

static int set_up(void **state)
{
    stage_t *self = calloc(1, sizeof *self);
    test_folder_make(self->folder);
    write_records(self);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    stage_t *self = *state;
    destroy(self->parts);
    test_folder_remove(self->folder);
    free(self);
    return 0;
}

static void every_record_has_one_place_and_always_the_same(void **state)
{
    stage_t *self = *state;
    const fmq_offsite_settings_t settings = settings_of(self);
    const size_t sizes[3] = {40, 5, 5};
    bool seen[RECORDS] = {false};
    llm_records_t *again[3];
    fmq_error_t err;
    assert_int_equal(fmq_public_load(&settings, self->parts, &err), 0);
    assert_int_equal(fmq_public_load(&settings, again, &err), 0);
    for (int part = 0; part < 3; part++) {
        assert_int_equal(llm_records_size(self->parts[part]), sizes[part]);
        for (size_t i = 0; i < sizes[part]; i++) {
            const char *output = llm_records_at(self->parts[part], i)->output;
            assert_string_equal(output, llm_records_at(again[part], i)->output);
            assert_false(seen[atoi(output)]);
            seen[atoi(output)] = true;
        }
    }
    destroy(again);
}

static void a_set_that_is_not_there_is_named_with_its_key(void **state)
{
    stage_t *self = *state;
    fmq_offsite_settings_t settings = settings_of(self);
    fmq_error_t err;
    settings.public_type = "other.jsonl@llm";
    assert_int_equal(fmq_public_load(&settings, self->parts, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "emu_align.data"));
    for (int i = 0; i < 3; i++)
        assert_null(self->parts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_record_has_one_place_and_always_the_same, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_set_that_is_not_there_is_named_with_its_key, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
