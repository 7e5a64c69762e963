/*
 * test_json_text.c - the grammar of JSON, class by class: what is valid is
 * read, what is not is refused at its place, and what RFC 8259 leaves open has
 * one rule.  Every place that reads JSON stands on this reader; records are
 * tried as members of an object here, too.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm/hub/json.h"
#include "llm/hub/json_text.h"
#include "tests/llm/hub/scratch.h"

#define TEXT(bytes) bytes, sizeof bytes - 1

typedef struct {
    const char *bytes;
    size_t size;
} input_t;

static json_t *read_as(const char *bytes, size_t size, unsigned how, llm_json_flaw_t *flaw)
{
    char *exact = malloc(size ? size : 1); /* so that a sanitizer sees an overrun */
    assert_non_null(exact);
    if (size)
        memcpy(exact, bytes, size);
    json_t *value = llm_json_read(exact, size, how, flaw);
    free(exact);
    return value;
}

static const input_t valid[] = {
    {TEXT("[]")},
    {TEXT(" [ ] ")},
    {TEXT("{}")},
    {TEXT("[\"\"]")},
    {TEXT("[[] ]")},
    {TEXT("[1,null,true,false,\"x\",{\"y\":[]}]")},
    {TEXT("null")},
    {TEXT("true")},
    {TEXT("false")},
    {TEXT("\"alone\"")},
    {TEXT("42")},
    {TEXT("-0.1")},
    {TEXT("[0]")},
    {TEXT("[-0]")},
    {TEXT("[0e1]")},
    {TEXT("[0e+1]")},
    {TEXT("[1E22]")},
    {TEXT("[1E-2]")},
    {TEXT("[1E+2]")},
    {TEXT("[123.456e78]")},
    {TEXT("[-123]")},
    {TEXT("[0.0000000000000000000000000000000000000000000000000000000000000000000000000000001]")},
    {TEXT("[123456789012345678901234567890123456789012345678901234567890123456789012345]")},
    {TEXT("{\"a\":1,\"b\":2}")},
    {TEXT("{\"\":0}")},
    {TEXT("{\"a\\u0000b\":42}")},
    {TEXT("{\"long key that does not fit a small buffer, and an escape \\n in it, too\":\"v\"}")},
    {TEXT("{\"a\":[]\n}")},
    {TEXT("[\"\\u0060\\u012a\\u12AB\"]")},
    {TEXT("[\"\\uD801\\udc37\"]")},
    {TEXT("[\"\\ud83d\\ude39\\ud83d\\udc8d\"]")},
    {TEXT("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]")},
    {TEXT("[\"\\\\u0000\"]")},
    {TEXT("[\"\\u0000\"]")},
    {TEXT("[\"\\uFFFF\\uFDD0\\uDBFF\\uDFFE\"]")},
    {TEXT("[\"a/*b*/c//d#e\"]")},
    {TEXT("[\"\x7F\"]")},
    {TEXT("[\"\xE2\x80\xA8\xE2\x80\xA9\"]")},
    {TEXT("[\"\xC3\xA9\xF0\x9D\x84\x9E\xF4\x8F\xBF\xBF\"]")},
    {TEXT("\t\r\n [1 , 2\t]\r\n")},
    {TEXT("[\"\\u0012\\u0026\\u003A\"]")},
};

static const input_t invalid[] = {
    {TEXT("")},
    {TEXT(" ")},
    {TEXT("[")},
    {TEXT("]")},
    {TEXT("{")},
    {TEXT("}")},
    {TEXT("[1")},
    {TEXT("[1,")},
    {TEXT("[1,]")},
    {TEXT("[1,,2]")},
    {TEXT("[,1]")},
    {TEXT("[,]")},
    {TEXT("[1 2]")},
    {TEXT("[1]]")},
    {TEXT("[1}")},
    {TEXT("{\"a\":1]")},
    {TEXT("[1]x")},
    {TEXT("[1],")},
    {TEXT("[3[4]]")},
    {TEXT("[\"a\":1]")},
    {TEXT("[\"a\"")},
    {TEXT("[\"a")},
    {TEXT("[\"a\\")},
    {TEXT("[\"a\\u12")},
    {TEXT("[:1]")},
    {TEXT("[*]")},
    {TEXT("[a]")},
    {TEXT("[\v1]")},
    {TEXT("[\f]")},
    {TEXT("[1\0]")},
    {TEXT("1\0")},
    {TEXT("{}\0")},
    {TEXT("\0")},
    {TEXT("[nul]")},
    {TEXT("[tru]")},
    {TEXT("[fals]")},
    {TEXT("[nulll]")},
    {TEXT("[TRUE]")},
    {TEXT("[NaN]")},
    {TEXT("[-NaN]")},
    {TEXT("[Infinity]")},
    {TEXT("[-Infinity]")},
    {TEXT("[+1]")},
    {TEXT("[++1]")},
    {TEXT("[-]")},
    {TEXT("[--1]")},
    {TEXT("[- 1]")},
    {TEXT("[-01]")},
    {TEXT("[012]")},
    {TEXT("[00]")},
    {TEXT("[.5]")},
    {TEXT("[-.5]")},
    {TEXT("[1.]")},
    {TEXT("[1.e1]")},
    {TEXT("[0.e]")},
    {TEXT("[1e]")},
    {TEXT("[1e+]")},
    {TEXT("[1eE2]")},
    {TEXT("[1.2.3]")},
    {TEXT("[1+2]")},
    {TEXT("[1 000]")},
    {TEXT("[0x1F]")},
    {TEXT("[1a]")},
    {TEXT("[\xEF\xBC\x91]")},
    {TEXT("[\xE5]")},
    {TEXT("[1\xE5]")},
    {TEXT("[\"\xE5\"]")},
    {TEXT("[\"\xC0\x80\"]")},
    {TEXT("[\"\xED\xA0\x80\"]")},
    {TEXT("[\"\xF4\x90\x80\x80\"]")},
    {TEXT("{\"\xFF\":1}")},
    {TEXT("['a']")},
    {TEXT("{'a':1}")},
    {TEXT("{a:1}")},
    {TEXT("{1:1}")},
    {TEXT("{\"a\"}")},
    {TEXT("{\"a\" 1}")},
    {TEXT("{\"a\":}")},
    {TEXT("{\"a\"::1}")},
    {TEXT("{\"a\":1,}")},
    {TEXT("{\"a\":1,,\"b\":2}")},
    {TEXT("{\"a\":1 \"b\"}")},
    {TEXT("{\"a\",\"b\"}")},
    {TEXT("{,\"a\":1}")},
    {TEXT("{null:1}")},
    {TEXT("{\"a\":1}#")},
    {TEXT("{\"a\":1}//")},
    {TEXT("{\"a\":1}/**/")},
    {TEXT("[1]// so")},
    {TEXT("/**/[1]")},
    {TEXT("[\"\\x00\"]")},
    {TEXT("[\"\\a\"]")},
    {TEXT("[\"\\u00A\"]")},
    {TEXT("[\"\\u{1F600}\"]")},
    {TEXT("[\"\\uD834\\\"]")},
    {TEXT("[\"\\uD834\\uZZZZ\"]")},
    {TEXT("[\"\\ \"]")},
    {TEXT("[\"\\\0\"]")},
    {TEXT("[\"a\0b\"]")},
    {TEXT("[\"a\nb\"]")},
    {TEXT("[\"a\tb\"]")},
    {TEXT("[\"a\x1F\"]")},
    {TEXT("\\u0022a\"")},
    {TEXT("<null>")},
    {TEXT("[<null>]")},
    {TEXT("\xEF\xBB\xBF{}")},
    {TEXT("\xE2\x81\xA0[]")},
};

static void every_valid_text_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++)
        for (unsigned how = 0; how < 8; how++) {
            llm_json_flaw_t flaw;
            json_t *value = read_as(valid[i].bytes, valid[i].size, how, &flaw);
            if (!value)
                fail_msg("'%s' as %u: %s", valid[i].bytes, how, flaw.text);
            json_decref(value);
        }
}

static void every_invalid_text_is_refused_with_a_reason_and_a_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        for (unsigned how = 0; how < 8; how++) {
            llm_json_flaw_t flaw;
            if (read_as(invalid[i].bytes, invalid[i].size, how, &flaw))
                fail_msg("case %zu, '%s' is read", i, invalid[i].bytes);
            assert_true(*flaw.text);
            assert_true(flaw.line >= 1 && flaw.column >= 1);
            assert_true(flaw.column <= invalid[i].size + 1);
        }
}

static void the_place_is_that_of_the_mistake(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t line, column;
        const char *what;
    } cases[] = {
        {"[1,\n 2,\n]", 2, 3, "a trailing comma"},
        {"{\"caf\xC3\xA9\":1,\n\"b\":tru}", 2, 5, "'tru'"},
        {"[\"\xC3\xA9\xC3\xA9\", \xFF]", 1, 8, "0xFF"},
        {"[\"\xC3\xA9z\xFF\"]", 1, 5, "0xFF that is not UTF-8"},
        {"[\"abc", 1, 6, "the text ends"},
        {"[1, # one\n2]", 1, 5, "a comment"},
        {"{'a':1}", 1, 2, "a single quote"},
        {"{\"a\":1,\"a\":2}", 1, 8, "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_json_flaw_t flaw;
        json_t *value = read_as(cases[i].text, strlen(cases[i].text), LLM_JSON_UNIQUE_KEYS, &flaw);
        assert_null(value);
        if (flaw.line != cases[i].line || flaw.column != cases[i].column ||
            !strstr(flaw.text, cases[i].what))
            fail_msg("case %zu: %d:%d: %s", i, (int)flaw.line, (int)flaw.column, flaw.text);
    }
}

static void texts_keep_their_bytes_also_a_nul_in_a_key(void **state)
{
    (void)state;
    static const char text[] = "{\"a\\u0000b\":\"\\u00e9\\uD83D\\uDE00\\u0000!\"}";
    llm_json_flaw_t flaw;
    json_t *object = read_as(TEXT(text), 0, &flaw);
    json_t *value = json_object_getn(object, "a\0b", 3);
    assert_non_null(value);
    assert_int_equal(json_string_length(value), 8);
    assert_memory_equal(json_string_value(value), "\xC3\xA9\xF0\x9F\x98\x80\0!", 8);
    json_decref(object);
}

static void numbers_are_doubles_or_the_text_that_stands_there(void **state)
{
    (void)state;
    llm_json_flaw_t flaw;
    static const char text[] = "[19.99,1e5,-0,12345678901234567890]";
    json_t *reals = read_as(TEXT(text), 0, &flaw);
    json_t *texts = read_as(TEXT(text), LLM_JSON_NUMBERS_AS_TEXT, &flaw);
    assert_true(json_real_value(json_array_get(reals, 0)) == 19.99);
    assert_true(json_real_value(json_array_get(reals, 3)) == 12345678901234567890.0);
    static const char *const expected[] = {"19.99", "1e5", "-0", "12345678901234567890"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(json_string_value(json_array_get(texts, i)), expected[i]);
    json_decref(reals);
    json_decref(texts);
}

/* What RFC 8259 leaves to whoever reads. */
static void what_the_grammar_leaves_open_has_one_rule(void **state)
{
    (void)state;
    llm_json_flaw_t flaw;
    assert_null(read_as(TEXT("[1e400]"), 0, &flaw));
    assert_non_null(strstr(flaw.text, "double"));
    json_t *value = read_as(TEXT("[1e400]"), LLM_JSON_NUMBERS_AS_TEXT, &flaw);
    assert_string_equal(json_string_value(json_array_get(value, 0)), "1e400");
    json_decref(value);
    value = read_as(TEXT("[1e-400]"), 0, &flaw);
    assert_true(json_real_value(json_array_get(value, 0)) == 0);
    json_decref(value);

    value = read_as(TEXT("{\"a\":1,\"a\":2}"), LLM_JSON_NUMBERS_AS_TEXT, &flaw);
    assert_string_equal(json_string_value(json_object_get(value, "a")), "2");
    json_decref(value);
    assert_null(read_as(TEXT("{\"a\":1,\"a\":2}"), LLM_JSON_UNIQUE_KEYS, &flaw));

    static const input_t halves[] = {{TEXT("[\"\\ud800\"]")},
                                     {TEXT("[\"\\udc00x\"]")},
                                     {TEXT("[\"\\ud800\\n\"]")},
                                     {TEXT("[\"\\ud800\\u0041\"]")},
                                     {TEXT("[\"\\ud800\\ud800\"]")}};
    static const char *const mended[] = {"\xEF\xBF\xBD", "\xEF\xBF\xBDx", "\xEF\xBF\xBD\n",
                                         "\xEF\xBF\xBD"
                                         "A",
                                         "\xEF\xBF\xBD\xEF\xBF\xBD"};
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        assert_null(read_as(halves[i].bytes, halves[i].size, 0, &flaw));
        assert_non_null(strstr(flaw.text, "surrogate"));
        value = read_as(halves[i].bytes, halves[i].size, LLM_JSON_MEND, &flaw);
        assert_string_equal(json_string_value(json_array_get(value, 0)), mended[i]);
        json_decref(value);
    }
}

static void nesting_has_a_limit_and_no_depth_crashes(void **state)
{
    (void)state;
    enum { DEEP = 200000 };
    char *text = malloc(2 * DEEP);
    llm_json_flaw_t flaw;
    memset(text, '[', LLM_JSON_DEPTH_MAX);
    memset(text + LLM_JSON_DEPTH_MAX, ']', LLM_JSON_DEPTH_MAX);
    json_t *value = llm_json_read(text, 2 * LLM_JSON_DEPTH_MAX, 0, &flaw);
    assert_non_null(value);
    json_decref(value);
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    assert_null(llm_json_read(text, 2 * DEEP, 0, &flaw));
    assert_non_null(strstr(flaw.text, "512 brackets"));
    assert_int_equal(flaw.column, LLM_JSON_DEPTH_MAX + 1);
    assert_null(llm_json_read(text, DEEP, 0, &flaw));
    for (size_t i = 0; i + 5 <= DEEP; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    assert_null(llm_json_read(text, DEEP, 0, &flaw));
    assert_non_null(strstr(flaw.text, "512 brackets"));
    free(text);
}

static void files_of_a_model_may_have_a_mark_and_no_other_kind(void **state)
{
    (void)state;
    scratch_t scratch;
    fmq_error_t err = {0};
    scratch_init(&scratch);
    const char *path = scratch_write(&scratch, "c.json", TEXT("\xEF\xBB\xBF{\"a\": 1}\r\n"));
    json_t *value = llm_json_load(path, 1000, &err);
    assert_non_null(value);
    json_decref(value);
    static const struct {
        const char *bytes;
        size_t size;
        const char *what;
    } others[] = {{TEXT("\xFF\xFE{\0}\0"), "UTF-16"},
                  {TEXT("\x1F\x8B\x08\0\0"), "gzip"},
                  {TEXT("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"},
                  {TEXT("<!DOCTYPE html>"), "web page"},
                  {TEXT("{\"a\": 1,}"), "line 1, column 8: a trailing comma"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        path = scratch_write(&scratch, "d.json", others[i].bytes, others[i].size);
        assert_null(llm_json_load(path, 1000, &err));
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
        if (!strstr(err.text, others[i].what))
            fail_msg("case %zu says: %s", i, err.text);
    }
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_valid_text_is_read),
        cmocka_unit_test(every_invalid_text_is_refused_with_a_reason_and_a_place),
        cmocka_unit_test(the_place_is_that_of_the_mistake),
        cmocka_unit_test(texts_keep_their_bytes_also_a_nul_in_a_key),
        cmocka_unit_test(numbers_are_doubles_or_the_text_that_stands_there),
        cmocka_unit_test(what_the_grammar_leaves_open_has_one_rule),
        cmocka_unit_test(nesting_has_a_limit_and_no_depth_crashes),
        cmocka_unit_test(files_of_a_model_may_have_a_mark_and_no_other_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
