/*
 * test_records.c - records from JSON and JSON Lines, what is said about broken
 * ones, and their way to a shard and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/rng.h"
#include "tests/llm/data/records_room.h"

static void assert_record(const llm_record_t *record, const char *instruction, const char *input,
                          const char *output, const char *category)
{
    assert_string_equal(record->instruction, instruction);
    assert_string_equal(record->input, input);
    assert_string_equal(record->output, output);
    assert_string_equal(record->category, category);
}

static int parse(room_t *room, const char *text)
{
    return llm_records_parse(room->records, "m.json", text, strlen(text), NULL, &room->err);
}

static void added_texts_are_copied(void **state)
{
    room_t *room = *state;
    char text[] = "say it";
    assert_int_equal(
        llm_records_add(room->records, &(llm_record_t){.instruction = text}, &room->err), 0);
    text[0] = 'p';
    assert_int_equal(llm_records_size(room->records), 1);
    assert_record(llm_records_at(room->records, 0), "say it", "", "", "");
}

static void many_records_keep_their_order_and_their_texts(void **state)
{
    room_t *room = *state;
    char text[32];
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(text, sizeof text, "question number %d", i);
        assert_int_equal(llm_records_add(room->records, &(llm_record_t){.instruction = text}, NULL),
                         0);
    }
    for (int i = 0; i < 100000; i += 997) {
        (void)snprintf(text, sizeof text, "question number %d", i);
        assert_string_equal(llm_records_at(room->records, (size_t)i)->instruction, text);
    }
}

static void what_is_not_utf8_becomes_replacement_characters(void **state)
{
    room_t *room = *state;
    static const char *const pairs[][2] = {
        {"caf\xC3\xA9", "caf\xC3\xA9"},
        {"a\x80z", "a\xEF\xBF\xBDz"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},                                /* overlong */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},                /* surrogate */
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},                                /* an emoji */
        {"\xF0\x9F\x98", "\xEF\xBF\xBD"},                                        /* cut off */
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"} /* too high */
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(
            llm_records_add(room->records, &(llm_record_t){.output = pairs[i][0]}, NULL), 0);
        assert_string_equal(llm_records_at(room->records, i)->output, pairs[i][1]);
    }
}

static void a_field_beyond_the_limit_is_refused(void **state)
{
    room_t *room = *state;
    char *text = malloc(LLM_RECORD_TEXT_MAX + 2);
    memset(text, 'x', LLM_RECORD_TEXT_MAX + 1);
    text[LLM_RECORD_TEXT_MAX + 1] = '\0';
    assert_int_equal(llm_records_add(room->records, &(llm_record_t){.output = text}, &room->err),
                     -1);
    assert_int_equal(room->err.code, FMQ_ERR_LIMIT);
    assert_int_equal(llm_records_size(room->records), 0);
    free(text);
}

static void a_list_gives_one_record_an_object(void **state)
{
    room_t *room = *state;
    assert_int_equal(parse(room, "\xEF\xBB\xBF [ {\"instruction\": \"a ]}\\\" {[\", \"input\": "
                                 "\"b\", \"output\": \"c\", \"category\": \"d\"}\n ,\n"
                                 "{\"instruction\":\"e\",\"output\":\"f\"} ] \n"),
                     0);
    assert_int_equal(llm_records_size(room->records), 2);
    assert_record(llm_records_at(room->records, 0), "a ]}\" {[", "b", "c", "d");
    assert_record(llm_records_at(room->records, 1), "e", "", "f", "");
}

static void lines_give_one_record_each_and_blank_ones_none(void **state)
{
    room_t *room = *state;
    assert_int_equal(parse(room, "{\"instruction\":\"a\",\"input\":null,\"output\":\"b\"}\r\n\n"
                                 "  {\"instruction\":\"c\",\"output\":42}\n"
                                 "{\"instruction\":\"d\",\"output\":true}"),
                     0);
    assert_int_equal(llm_records_size(room->records), 3);
    assert_record(llm_records_at(room->records, 0), "a", "", "b", "");
    assert_record(llm_records_at(room->records, 1), "c", "", "42", "");
    assert_record(llm_records_at(room->records, 2), "d", "", "true", "");
}

static void nothing_and_an_empty_list_give_no_records(void **state)
{
    room_t *room = *state;
    assert_int_equal(parse(room, ""), 0);
    assert_int_equal(parse(room, " \n\n"), 0);
    assert_int_equal(parse(room, "[]"), 0);
    assert_int_equal(llm_records_size(room->records), 0);
}

static void dotted_keys_reach_into_objects_and_lists(void **state)
{
    room_t *room = *state;
    const char *text = "{\"q\":{\"text\":\"why\"},\"answers\":[{\"t\":\"x\"},{\"t\":\"y\"}],"
                       "\"a.b\":\"plain\",\"a\":{\"b\":\"deep\"}}";
    llm_record_keys_t keys = {.instruction = "q.text",
                              .input = "answers.7.t",
                              .output = "answers.1.t",
                              .category = "a.b"};
    assert_int_equal(llm_records_parse(room->records, "m", text, strlen(text), &keys, &room->err),
                     0);
    assert_record(llm_records_at(room->records, 0), "why", "", "y", "plain");
}

static void packed_files_are_read_like_plain_ones(void **state)
{
    room_t *room = *state;
    const char *path =
        scratch_write(&room->scratch, "a/b.jsonl.gz", "{\"instruction\":\"a\",\"output\":\"b\"}\n");
    assert_int_equal(llm_records_load(room->records, path, NULL, &room->err), 0);
    path = scratch_write(&room->scratch, "c.json", "[{\"instruction\":\"c\",\"output\":\"d\"}]");
    assert_int_equal(llm_records_load(room->records, path, NULL, &room->err), 0);
    assert_int_equal(llm_records_size(room->records), 2);
    assert_record(llm_records_at(room->records, 1), "c", "", "d", "");
}

static void a_packed_file_that_was_cut_off_is_an_error(void **state)
{
    room_t *room = *state;
    char line[] = "{\"instruction\":\"a\",\"output\":\"b\"}\n";
    char text[sizeof line * 200] = "";
    for (int i = 0; i < 199; i++)
        memcpy(text + (size_t)i * (sizeof line - 1), line, sizeof line);
    scratch_write(&room->scratch, "x.jsonl.gz", text);
    FILE *file = fopen(room->scratch.path, "rb");
    char bytes[4096];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    assert_int_equal(fclose(file), 0);
    assert_true(size > 40);
    const char *path = scratch_write_bytes(&room->scratch, "cut.jsonl.gz", bytes, size - 12);
    assert_int_equal(llm_records_load(room->records, path, NULL, &room->err), -1);
    assert_int_equal(room->err.code, FMQ_ERR_FORMAT);
    assert_non_null(strstr(room->err.text, "cut.jsonl.gz"));
    assert_int_equal(llm_records_size(room->records), 0);
}

static void broken_json_names_file_line_and_column(void **state)
{
    room_t *room = *state;
    static const struct {
        const char *text, *place, *what;
    } broken[] = {
        {"{\"instruction\":\"a\",\"output\":\"b\"}\n\n{\"instruction\":}",
         "m.json:3:16:", "'}' where a value is expected"},
        {"[{\"instruction\":\"a\",\"output\":\"b\"},\n 7]", "m.json:2:2:", "expected an object"},
        {"[{\"instruction\":\"a\",\"output\":\"b\"}\n {}]", "m.json:2:2:", "expected ',' or ']'"},
        {"[{\"instruction\":\"a\"", "m.json:1:2:", "ends inside"},
        {"[{\"instruction\":\"a\",\"output\":\"b\"}", "m.json:1:34:", "the file ends"},
        {"[] x", "m.json:1:4:", "nothing behind"},
        {"[{\"instruction\":\"a\",\n\"output\":b}]",
         "m.json:2:10:", "'b' where a value is expected"},
        {"hello", "m.json:1:1:", "one JSON object a line"},
        {"\"text\"", "m.json:1:1:", "one JSON object a line"},
        {"[,]", "m.json:1:2:", "expected an object"},
        {"{\"instruction\":\"\xFF\"}", "m.json:1:17:", "0xFF that is not UTF-8"},
        {"[\n{\"output\":\"b\"},\n]", "m.json:2:15:", "a trailing comma"},
        {"[{\"output\":\"b\",}]", "m.json:1:15:", "a trailing comma"},
        {"{\"output\":\"b\"},\n{\"output\":\"b\"}", "m.json:1:15:", "behind the end"},
        {"{\"output\":\"b\"}\n{\"output\":\"b\"\n{\"output\":\"b\"}",
         "m.json:2:1:", "the line ends inside"},
        {"{\n\"output\":\"b\"", "m.json:1:1:", "the file ends inside"},
        {"{'output':'b'}", "m.json:1:2:", "a single quote"},
        {"[// nothing\n{\"output\":\"b\"}]", "m.json:1:2:", "a comment"},
        {"{\"output\":\"b\" # so\n}", "m.json:1:15:", "a comment"},
        {"{\"output\":NaN}", "m.json:1:11:", "'NaN'"},
        {"{\"output\":-Infinity}", "m.json:1:11:", "no infinite numbers"},
        {"{\"output\":None}", "m.json:1:11:", "null"},
        {"{\"output\":\"a\nb\"}", "m.json:1:13:", "a line ends inside a string"},
        {"{\"output\":\"C:\\dir\"}", "m.json:1:14:", "a backslash is written as two"},
        {"[[\"a\",\"b\"]]", "m.json:1:2:", "this is a list"},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assert_int_equal(parse(room, broken[i].text), -1);
        assert_int_equal(room->err.code, FMQ_ERR_FORMAT);
        if (strncmp(room->err.text, broken[i].place, strlen(broken[i].place)) != 0 ||
            !strstr(room->err.text, broken[i].what))
            fail_msg("case %zu says: %s", i, room->err.text);
        assert_int_equal(llm_records_size(room->records), 0);
    }
}

static void a_record_without_texts_names_the_keys_of_both_sides(void **state)
{
    room_t *room = *state;
    assert_int_equal(parse(room, "{\"instruction\":\"a\"}\n{\"question\":\"a\",\"reply\":\"b\"}"),
                     -1);
    assert_int_equal(room->err.code, FMQ_ERR_FORMAT);
    assert_non_null(strstr(room->err.text, "m.json:2:1"));
    assert_non_null(strstr(room->err.text, "'instruction'"));
    assert_non_null(strstr(room->err.text, "question, reply"));
    assert_int_equal(llm_records_size(room->records), 0);
}

static void a_list_where_a_text_belongs_is_refused_with_advice(void **state)
{
    room_t *room = *state;
    assert_int_equal(parse(room, "{\"instruction\":\"a\",\"output\":[\"b\"]}"), -1);
    assert_non_null(strstr(room->err.text, "output=output.0 in fedmq.data_fields"));
}

static void a_number_is_kept_as_it_is_written_also_in_a_shard(void **state)
{
    room_t *room = *state;
    assert_int_equal(parse(room, "[{\"instruction\":19.99,\"input\":1.0,\"output\":1e5,"
                                 "\"category\":-0},{\"output\":12345678901234567890123},"
                                 "{\"output\":0.1},{\"output\":1E400}]"),
                     0);
    size_t size = 0;
    char *shard = llm_records_encode(room->records, &size, &room->err);
    llm_records_t *back = llm_records_new();
    assert_int_equal(llm_records_decode(back, "shard", shard, size, &room->err), 0);
    assert_record(llm_records_at(back, 0), "19.99", "1.0", "1e5", "-0");
    assert_record(llm_records_at(back, 1), "", "", "12345678901234567890123", "");
    assert_record(llm_records_at(back, 2), "", "", "0.1", "");
    assert_record(llm_records_at(back, 3), "", "", "1E400", "");
    llm_records_destroy(&back);
    free(shard);
}

static void what_is_no_text_has_one_rule_each(void **state)
{
    room_t *room = *state;
    assert_int_equal(parse(room, "{\"instruction\":true,\"input\":false,\"output\":null}\n"
                                 "{\"instruction\":\"a\\u0000b\",\"output\":\"\\ud83d\"}\n"
                                 "{\"instruction\":\"first\",\"instruction\":\"last\"}\n"
                                 "{\"instruction\":\"q\",\"x\\u0000y\":{},\"output\":\"\"}\n"),
                     0);
    assert_record(llm_records_at(room->records, 0), "true", "false", "", "");
    assert_record(llm_records_at(room->records, 1),
                  "a\xEF\xBF\xBD"
                  "b",
                  "", "\xEF\xBF\xBD", "");
    assert_record(llm_records_at(room->records, 2), "last", "", "", "");
    assert_record(llm_records_at(room->records, 3), "q", "", "", "");
}

static void objects_over_several_lines_are_read_one_behind_the_other(void **state)
{
    room_t *room = *state;
    assert_int_equal(parse(room, "{\n  \"instruction\": \"a }\",\n  \"output\": \"b\"\n}\n"
                                 "{\"instruction\": \"c\"}\r\n{\r\n\"output\": \"d\"}"),
                     0);
    assert_int_equal(llm_records_size(room->records), 3);
    assert_record(llm_records_at(room->records, 0), "a }", "", "b", "");
    assert_record(llm_records_at(room->records, 2), "", "", "d", "");
}

static void a_list_inside_an_object_is_named_with_its_key(void **state)
{
    room_t *room = *state;
    static const char *const texts[] = {
        "{\n \"version\": \"1.0\",\n \"data\": [\n {\"output\": \"b\"}\n ]\n}\n",
        "{\"version\":\"1.0\",\"data\":[{\"output\":\"b\"}]}"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(parse(room, texts[i]), -1);
        assert_non_null(strstr(room->err.text, "a list of objects in 'data'"));
        assert_non_null(strstr(room->err.text, "one object a line"));
    }
}

static void columns_and_conversations_are_told_what_to_do(void **state)
{
    room_t *room = *state;
    static const char *const cases[][2] = {
        {"{\"instruction\":[\"a\",\"b\"],\"output\":[\"c\",\"d\"]}", "columns"},
        {"{\"instruction\":{\"0\":\"a\"},\"output\":{\"0\":\"b\"}}", "columns"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"content\":\"b\"}]}",
         "instruction=messages.0.content, output=messages.1.content"},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"}]}",
         "instruction=conversations.0.value"}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(parse(room, cases[i][0]), -1);
        if (!strstr(room->err.text, cases[i][1]))
            fail_msg("case %zu says: %s", i, room->err.text);
    }
}

static void a_file_of_another_kind_is_told_what_it_is(void **state)
{
    room_t *room = *state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *what;
    } kinds[] = {
        {"PK\3\4\24\0\0\0", 8, "zip"},
        {"PAR1\25\4\25", 7, "Parquet"},
        {"ARROW1\0\0", 8, "Arrow"},
        {"\x80\4\x95\1", 4, "pickle"},
        {"\xFF\xFE[\0{\0", 6, "UTF-16"},
        {"\xFE\xFF\0[\0{", 6, "UTF-16"},
        {"[\0{\0\"\0", 6, "UTF-16"},
        {"\0[\0{\0\"", 6, "UTF-16"},
        {"\xFF\xFE\0\0[\0\0\0", 8, "UTF-32"},
        {"BZh91AY", 7, "bzip2"},
        {"\xFD"
         "7zXZ\0\0",
         7, "xz"},
        {"\x28\xB5\x2F\xFD\1", 5, "zstd"},
        {"instruction,output\na,b\n", 23, "CSV"},
        {"\xEF\xBB\xBFinstruction;output\r\na;b\n", 27, "CSV"},
        {"instruction\toutput\na\tb\n", 23, "TSV"},
        {"<!DOCTYPE html><html>", 21, "web page"},
        {"version https://git-lfs.github.com/spec/v1\noid", 46, "Git LFS"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *path =
            scratch_write_bytes(&room->scratch, "k.json", kinds[i].bytes, kinds[i].size);
        assert_int_equal(llm_records_load(room->records, path, NULL, &room->err), -1);
        assert_int_equal(room->err.code, FMQ_ERR_FORMAT);
        if (!strstr(room->err.text, kinds[i].what) || !strstr(room->err.text, "k.json"))
            fail_msg("case %zu says: %s", i, room->err.text);
    }
    const char *path = scratch_write_bytes(&room->scratch, "k.txt", "\xFF\xFEh\0i\0", 6);
    llm_records_source_t source = {.root = "", .type = "k.txt@llm", .subsample = 1, .file = path};
    assert_int_equal(llm_records_load_source(room->records, &source, &room->err), -1);
    assert_non_null(strstr(room->err.text, "UTF-16"));
}

static void plain_text_loses_its_mark_and_the_returns_of_its_line_ends(void **state)
{
    room_t *room = *state;
    const char *path = scratch_write(&room->scratch, "w.txt", "\xEF\xBB\xBFone\r\ntwo\rthree\r\n");
    llm_records_source_t source = {.root = "", .type = "w.txt@llm", .subsample = 1, .file = path};
    assert_int_equal(llm_records_load_source(room->records, &source, &room->err), 0);
    assert_record(llm_records_at(room->records, 0), "", "", "one\ntwo\rthree\n", "");
}

static void names_of_fields_are_read_as_people_write_them(void **state)
{
    room_t *room = *state;
    llm_record_fields_t fields;
    const char *path =
        scratch_write(&room->scratch, "f.jsonl", "{\"q\":{\"t\":\"why\"},\"response\":[\"so\"]}\n");
    assert_int_equal(
        llm_record_fields_parse(&fields, " instruction = q.t ,output=response.0", &room->err), 0);
    llm_records_source_t source = {
        .root = "", .type = "dolly-15k@llm", .subsample = 1, .file = path, .keys = &fields.keys};
    assert_int_equal(llm_records_load_source(room->records, &source, &room->err), 0);
    assert_record(llm_records_at(room->records, 0), "why", "", "so", "");
    assert_int_equal(llm_record_fields_parse(&fields, "", &room->err), 0);
    assert_null(fields.keys.output);
    static const char *const wrong[] = {"answer=a", "output", "output=", "=a"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(llm_record_fields_parse(&fields, wrong[i], &room->err), -1);
        assert_int_equal(room->err.code, FMQ_ERR_CONFIG);
    }
}

static void a_missing_file_is_named(void **state)
{
    room_t *room = *state;
    assert_int_equal(llm_records_load(room->records, "/nowhere/x.json", NULL, &room->err), -1);
    assert_int_equal(room->err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(room->err.text, "/nowhere/x.json"));
    assert_int_equal(llm_records_load(room->records, room->scratch.folder, NULL, &room->err), -1);
    assert_int_equal(room->err.code, FMQ_ERR_IO);
}

static void a_shard_comes_back_as_it_went(void **state)
{
    room_t *room = *state;
    static const llm_record_t given[] = {
        {"a \"quoted\"\n", "in\tput", "caf\xC3\xA9 \xF0\x9F\x98\x80", "cat"},
        {"", "", "plain text\n", ""},
        {"q", "", "", ""},
        {"", "", "", ""},
    };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(llm_records_add(room->records, &given[i], NULL), 0);
    size_t size;
    char *shard = llm_records_encode(room->records, &size, &room->err);
    assert_non_null(shard);
    assert_int_equal(strlen(shard), size);
    llm_records_t *back = llm_records_new();
    assert_int_equal(llm_records_decode(back, "shard", shard, size, &room->err), 0);
    assert_int_equal(llm_records_size(back), 4);
    for (size_t i = 0; i < 4; i++)
        assert_record(llm_records_at(back, i), given[i].instruction, given[i].input,
                      given[i].output, given[i].category);
    free(shard);
    shard = llm_records_encode(back, &size, NULL);
    llm_records_destroy(&back);
    assert_int_equal(llm_records_decode(room->records, "shard", shard, size / 2, &room->err), -1);
    assert_int_equal(llm_records_size(room->records), 4);
    free(shard);
}

static void no_records_make_an_empty_shard(void **state)
{
    room_t *room = *state;
    size_t size = 7;
    char *shard = llm_records_encode(room->records, &size, &room->err);
    assert_non_null(shard);
    assert_int_equal(size, 0);
    free(shard);
}

static void plain_text_is_cut_at_blank_lines_without_losing_a_byte(void **state)
{
    room_t *room = *state;
    size_t size = 0;
    char *text = malloc(400000), *joined = malloc(400000);
    while (size < 100000)
        size += (size_t)sprintf(text + size, "A line of text, at byte %zu.\n%s", size,
                                size % 7 == 0 ? "\n" : "");
    /* Then a stretch without any newline, of two-byte characters. */
    for (size_t i = 0; i < 100000; i++, size += 2)
        memcpy(text + size, "\xC3\xA9", 2);
    assert_int_equal(llm_records_add_text(room->records, text, size, &room->err), 0);
    size_t back = 0, count = llm_records_size(room->records);
    assert_true(count > 10);
    for (size_t i = 0; i < count; i++) {
        const llm_record_t *record = llm_records_at(room->records, i);
        assert_string_equal(record->instruction, "");
        size_t length = strlen(record->output);
        assert_true(i + 1 == count || length >= LLM_TEXT_RECORD_BYTES);
        memcpy(joined + back, record->output, length);
        back += length;
    }
    assert_int_equal(back, size);
    assert_memory_equal(joined, text, size);
    free(text);
    free(joined);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    room_t *room = *state;
    assert_int_equal(llm_records_add_text(room->records, "a\0b", 3, &room->err), -1);
    assert_int_equal(room->err.code, FMQ_ERR_FORMAT);
}

static void mangled_bytes_never_do_more_than_fail(void **state)
{
    room_t *room = *state;
    static const char *const seeds[] = {
        "[{\"instruction\":\"a\\\"b\",\"input\":null,\"output\":[1,{\"c\":2}]},{\"output\":\"d\"}]",
        "{\"instruction\":\"\\u00e9\",\"output\":\"x\"}\n{\"output\":3.5,\"category\":true}\n"};
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = 1});
    llm_record_keys_t keys = {.output = "output.1.c"};
    size_t taken = 0;
    for (int round = 0; round < 20000; round++) {
        char text[128];
        const char *seed = seeds[round % 2];
        size_t size = strlen(seed);
        memcpy(text, seed, size);
        for (uint32_t i = fmq_rng_below(&rng, 4); i > 0; i--)
            text[fmq_rng_below(&rng, (uint32_t)size)] =
                (char)(fmq_rng_below(&rng, 2)
                           ? fmq_rng_below(&rng, 256)
                           : (uint32_t) "{}[]\",:\\ \n"[fmq_rng_below(&rng, 10)]);
        size -= fmq_rng_below(&rng, 8) ? 0 : fmq_rng_below(&rng, (uint32_t)size);
        size_t before = llm_records_size(room->records);
        int result =
            llm_records_parse(room->records, "m", text, size, round % 3 ? &keys : NULL, &room->err);
        size_t after = llm_records_size(room->records);
        assert_true(result == 0 ? after >= before : after == before);
        taken += result == 0;
    }
    assert_true(taken > 1000 && taken < 19000); /* both ways were gone */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(added_texts_are_copied),
        CASE(many_records_keep_their_order_and_their_texts),
        CASE(what_is_not_utf8_becomes_replacement_characters),
        CASE(a_field_beyond_the_limit_is_refused),
        CASE(a_list_gives_one_record_an_object),
        CASE(lines_give_one_record_each_and_blank_ones_none),
        CASE(nothing_and_an_empty_list_give_no_records),
        CASE(dotted_keys_reach_into_objects_and_lists),
        CASE(packed_files_are_read_like_plain_ones),
        CASE(a_packed_file_that_was_cut_off_is_an_error),
        CASE(broken_json_names_file_line_and_column),
        CASE(a_record_without_texts_names_the_keys_of_both_sides),
        CASE(a_list_where_a_text_belongs_is_refused_with_advice),
        CASE(a_number_is_kept_as_it_is_written_also_in_a_shard),
        CASE(what_is_no_text_has_one_rule_each),
        CASE(objects_over_several_lines_are_read_one_behind_the_other),
        CASE(a_list_inside_an_object_is_named_with_its_key),
        CASE(columns_and_conversations_are_told_what_to_do),
        CASE(a_file_of_another_kind_is_told_what_it_is),
        CASE(plain_text_loses_its_mark_and_the_returns_of_its_line_ends),
        CASE(names_of_fields_are_read_as_people_write_them),
        CASE(a_missing_file_is_named),
        CASE(a_shard_comes_back_as_it_went),
        CASE(no_records_make_an_empty_shard),
        CASE(plain_text_is_cut_at_blank_lines_without_losing_a_byte),
        CASE(bytes_that_are_no_text_are_refused),
        CASE(mangled_bytes_never_do_more_than_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
