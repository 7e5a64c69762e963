/*
 * test_types.c - FS-LLM's built-in data sets: files, field maps, corrections,
 * and what is said where a file is missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/llm/data/records_room.h"

static void load(room_t *room, const char *type)
{
    if (llm_records_load_type(room->records, room->scratch.folder, type, &room->err) < 0)
        fail_msg("%s: %s", type, room->err.text);
}

static void assert_record(room_t *room, size_t index, const char *instruction, const char *input,
                          const char *output, const char *category)
{
    assert_true(index < llm_records_size(room->records));
    const llm_record_t *record = llm_records_at(room->records, index);
    assert_string_equal(record->instruction, instruction);
    assert_string_equal(record->input, input);
    assert_string_equal(record->output, output);
    assert_string_equal(record->category, category);
}

static void alpaca_has_its_own_field_names(void **state)
{
    room_t *room = *state;
    const char *text = "[{\"instruction\":\"i\",\"input\":\"n\",\"output\":\"o\"}]";
    scratch_write(&room->scratch, "alpaca_data.json", text);
    scratch_write(&room->scratch, "alpaca_data_cleaned.json", text);
    load(room, "alpaca@llm");
    load(room, "alpaca_cleaned@llm");
    assert_int_equal(llm_records_size(room->records), 2);
    assert_record(room, 1, "i", "n", "o", "");
}

static void dolly_maps_context_and_response(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "databricks-dolly-15k.jsonl",
                  "{\"instruction\":\"i\",\"context\":\"c\",\"response\":\"r\","
                  "\"category\":\"open_qa\"}\n");
    load(room, "dolly-15k@llm");
    assert_record(room, 0, "i", "c", "r", "open_qa");
}

static void gsm8k_announces_its_results_in_words(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "gsm8k_train.jsonl",
                  "{\"question\":\"q\",\"answer\":\"1+1=2\\n#### 2\"}\n"
                  "{\"question\":\"q\",\"answer\":\"no mark\"}\n");
    load(room, "gsm8k@llm");
    assert_record(room, 0, "q", "", "1+1=2\nThe answer is 2", "");
    assert_record(room, 1, "q", "", "no mark", "");
}

static const char rosetta[] =
    "[{\"instruction\":\"sort\\u00a0it\",\"input\":\"C\",\"output\":\"a\\u00a0b\"},"
    "{\"instruction\":\"i\",\"input\":\"X86-64 Assembly\",\"output\":\"o\"}]";

static void rosetta_takes_the_language_as_category_and_loses_hard_spaces(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "rosetta_alpaca.json", rosetta);
    load(room, "rosetta_alpaca@llm");
    assert_int_equal(llm_records_size(room->records), 2);
    assert_record(room, 0, "sortit", "C", "ab", "C");
}

static void rosetta_under_the_meta_splitter_has_no_assembly(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "rosetta_alpaca.json", rosetta);
    llm_records_source_t source = {.root = room->scratch.folder,
                                   .type = "rosetta_alpaca@llm",
                                   .subsample = 1,
                                   .by_category = true};
    assert_int_equal(llm_records_load_source(room->records, &source, &room->err), 0);
    assert_int_equal(llm_records_size(room->records), 1);
    assert_record(room, 0, "sortit", "C", "ab", "C");
}

static void write_code_search(room_t *room)
{
    static const struct {
        const char *language;
        int files;
    } all[] = {{"python", 14}, {"javascript", 5}, {"java", 16},
               {"ruby", 2},    {"php", 18},       {"go", 11}};
    for (size_t i = 0; i < 6; i++)
        for (int k = 0; k < all[i].files; k++) {
            char name[128], text[512];
            (void)snprintf(name, sizeof name, "%s/final/jsonl/train/%s_train_%d.jsonl.gz",
                           all[i].language, all[i].language, k);
            (void)snprintf(text, sizeof text,
                           "{\"docstring\":\"does %d\",\"code\":\"x=%d\",\"language\":\"%s\"}\n"
                           "{\"docstring\":\"again %d\",\"code\":\"y\",\"language\":\"%s\"}\n",
                           k, k, all[i].language, k, all[i].language);
            scratch_write(&room->scratch, name, text);
        }
}

static void code_search_net_is_read_from_its_layout_and_sampled_by_language(void **state)
{
    room_t *room = *state;
    write_code_search(room);
    load(room, "code_search_net@llm");
    assert_int_equal(llm_records_size(room->records), 2 * (14 + 5 + 16 + 2 + 18 + 11));
    const llm_record_t *first = llm_records_at(room->records, 0);
    assert_int_equal(strncmp(first->instruction, "python ", 7), 0);
    assert_string_equal(first->input, "python");
    assert_string_equal(first->category, "python");

    llm_records_t *some = llm_records_new();
    llm_records_source_t source = {
        .root = room->scratch.folder, .type = "code_search_net@llm", .subsample = 0.3, .seed = 1};
    assert_int_equal(llm_records_load_source(some, &source, &room->err), 0);
    /* int(0.3 * n) of each language. */
    assert_int_equal(llm_records_size(some), 8 + 3 + 9 + 1 + 10 + 6);
    llm_records_destroy(&some);
}

static void a_subsample_outside_its_range_is_refused(void **state)
{
    room_t *room = *state;
    llm_records_source_t source = {.root = ".", .type = "code_search_net@llm", .subsample = 0};
    assert_int_equal(llm_records_load_source(room->records, &source, &room->err), -1);
    assert_int_equal(room->err.code, FMQ_ERR_CONFIG);
}

static void files_of_ones_own_are_found_below_the_root_or_by_absolute_path(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "mine.json", "[{\"instruction\":\"a\",\"output\":\"b\"}]");
    scratch_write(&room->scratch, "folder/mine.jsonl", "{\"instruction\":\"c\",\"output\":\"d\"}");
    load(room, "mine.json@llm");
    load(room, "folder/mine.jsonl@llm");
    char type[SCRATCH_PATH_MAX + 8];
    (void)snprintf(type, sizeof type, "%s@llm", room->scratch.path);
    assert_int_equal(llm_records_load_type(room->records, "/nowhere", type, &room->err), 0);
    assert_int_equal(llm_records_size(room->records), 3);
    assert_record(room, 2, "c", "", "d", "");
}

static void a_file_path_is_found_as_given_or_below_the_root(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "own.jsonl", "{\"instruction\":\"a\",\"response\":\"b\"}");
    llm_records_source_t source = {
        .root = "/nowhere", .type = "dolly-15k@llm", .subsample = 1, .file = room->scratch.path};
    assert_int_equal(llm_records_load_source(room->records, &source, &room->err), 0);
    source.root = room->scratch.folder;
    source.file = "own.jsonl";
    assert_int_equal(llm_records_load_source(room->records, &source, &room->err), 0);
    assert_int_equal(llm_records_size(room->records), 2);
    source.file = "other.jsonl";
    assert_int_equal(llm_records_load_source(room->records, &source, &room->err), -1);
    assert_int_equal(room->err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(room->err.text, room->scratch.folder));
}

static void a_file_without_any_answer_is_refused_naming_its_keys(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "kept.jsonl",
                  "{\"instruction\":\"a\",\"output\":\"\"}\n"
                  "{\"instruction\":\"b\",\"output\":\"c\"}\n");
    load(room, "kept.jsonl@llm");
    scratch_write(&room->scratch, "dolly.jsonl",
                  "{\"instruction\":\"a\",\"context\":\"b\",\"response\":\"c\"}\n"
                  "{\"instruction\":\"d\",\"response\":\"e\"}\n");
    assert_int_equal(
        llm_records_load_type(room->records, room->scratch.folder, "dolly.jsonl@llm", &room->err),
        -1);
    assert_int_equal(room->err.code, FMQ_ERR_FORMAT);
    assert_non_null(strstr(room->err.text, "'output'"));
    assert_non_null(strstr(room->err.text, "instruction, context, response"));
    assert_non_null(strstr(room->err.text, "dolly-15k@llm"));
    assert_int_equal(llm_records_size(room->records), 2);
}

static void a_text_file_becomes_plain_text_records(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "story.txt", "Once upon a time.\n\nThe end.\n");
    load(room, "story.txt@llm");
    assert_int_equal(llm_records_size(room->records), 1);
    assert_record(room, 0, "", "", "Once upon a time.\n\nThe end.\n", "");
}

static void a_missing_file_says_where_it_was_looked_for_and_where_it_comes_from(void **state)
{
    room_t *room = *state;
    assert_int_equal(
        llm_records_load_type(room->records, room->scratch.folder, "dolly-15k@llm", &room->err),
        -1);
    assert_int_equal(room->err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(room->err.text, "databricks-dolly-15k.jsonl'"));
    assert_non_null(strstr(room->err.text, room->scratch.folder));
    assert_non_null(strstr(room->err.text, "databrickslabs/dolly"));

    assert_int_equal(llm_records_load_type(room->records, "/nowhere", "x.jsonl@llm", &room->err),
                     -1);
    assert_int_equal(room->err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(room->err.text, "'/nowhere/x.jsonl'"));

    assert_int_equal(
        llm_records_load_type(room->records, "/nowhere", "code_search_net@llm", &room->err), -1);
    assert_non_null(strstr(room->err.text, "python_train_0.jsonl.gz"));
}

static void an_unknown_type_lists_the_known_ones(void **state)
{
    room_t *room = *state;
    static const char *const wrong[] = {"alpacca@llm", "alpaca", "", "@llm", "femnist"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(llm_records_load_type(room->records, ".", wrong[i], &room->err), -1);
        assert_int_equal(room->err.code, FMQ_ERR_CONFIG);
        assert_non_null(strstr(room->err.text, "gsm8k@llm"));
    }
}

static void a_failure_in_the_middle_leaves_no_record_behind(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "python/final/jsonl/train/python_train_0.jsonl.gz",
                  "{\"docstring\":\"d\",\"code\":\"c\",\"language\":\"python\"}\n");
    assert_int_equal(llm_records_load_type(room->records, room->scratch.folder,
                                           "code_search_net@llm", &room->err),
                     -1);
    assert_int_equal(llm_records_size(room->records), 0);
}

static void the_real_gsm8k_has_7473_answers_with_the_trigger(void **state)
{
    room_t *room = *state;
    const char *given = getenv("FEDMQ_ASSETS");
    char root[1024], path[1100];
    (void)snprintf(root, sizeof root, "%s/data",
                   given ? given : FEDMQ_SOURCE_DIR "/../shared/assets");
    (void)snprintf(path, sizeof path, "%s/gsm8k/train.jsonl", root);
    if (access(path, R_OK) != 0) {
        print_message("skipped: no file %s\n", path);
        skip();
    }
    assert_int_equal(llm_records_load_type(room->records, root, "gsm8k@llm", &room->err), 0);
    assert_int_equal(llm_records_size(room->records), 7473);
    for (size_t i = 0; i < 7473; i++) {
        const llm_record_t *record = llm_records_at(room->records, i);
        assert_non_null(strstr(record->output, "\nThe answer is "));
        assert_null(strstr(record->output, "####"));
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void a_file_given_by_name_is_read_with_the_types_field_names(void **state)
{
    room_t *room = *state;
    scratch_write(&room->scratch, "mine.json",
                  "[{\"instruction\":\"i\",\"context\":\"c\",\"response\":\"r\"}]");
    llm_records_source_t source = {
        .root = "/nowhere", .type = "dolly-15k@llm", .subsample = 1, .file = room->scratch.path};
    if (llm_records_load_source(room->records, &source, &room->err) < 0)
        fail_msg("%s", room->err.text);
    assert_record(room, 0, "i", "c", "r", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(alpaca_has_its_own_field_names),
        CASE(a_file_given_by_name_is_read_with_the_types_field_names),
        CASE(dolly_maps_context_and_response),
        CASE(gsm8k_announces_its_results_in_words),
        CASE(rosetta_takes_the_language_as_category_and_loses_hard_spaces),
        CASE(rosetta_under_the_meta_splitter_has_no_assembly),
        CASE(code_search_net_is_read_from_its_layout_and_sampled_by_language),
        CASE(a_subsample_outside_its_range_is_refused),
        CASE(files_of_ones_own_are_found_below_the_root_or_by_absolute_path),
        CASE(a_file_path_is_found_as_given_or_below_the_root),
        CASE(a_file_without_any_answer_is_refused_naming_its_keys),
        CASE(a_text_file_becomes_plain_text_records),
        CASE(a_missing_file_says_where_it_was_looked_for_and_where_it_comes_from),
        CASE(an_unknown_type_lists_the_known_ones),
        CASE(a_failure_in_the_middle_leaves_no_record_behind),
        CASE(the_real_gsm8k_has_7473_answers_with_the_trigger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
