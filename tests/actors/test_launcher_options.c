/*
 * test_launcher_options.c - command lines are parsed by tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/launcher/options.h"

typedef struct {
    const char *cfg;
    uint64_t id;
    double rate;
    bool quiet;
} values_t;

static const fmq_option_t table[] = {
    {"cfg", FMQ_OPTION_TEXT, offsetof(values_t, cfg), "FILE", "a file"},
    {"id", FMQ_OPTION_COUNT, offsetof(values_t, id), "K", "a number"},
    {"rate", FMQ_OPTION_REAL, offsetof(values_t, rate), "R", "a rate"},
    {"quiet", FMQ_OPTION_FLAG, offsetof(values_t, quiet), NULL, "say nothing"},
    {NULL, FMQ_OPTION_FLAG, 0, NULL, NULL}};

static values_t values;
static fmq_words_t words;
static fmq_error_t err;

static int parse(fmq_words_rule_t rule, const char *const *argv)
{
    int argc = 0;
    fmq_words_release(&words);
    values = (values_t){0};
    while (argv[argc])
        argc++;
    char **copy = calloc((size_t)argc + 1, sizeof *copy);
    for (int i = 0; i < argc; i++)
        memcpy(&copy[i], &argv[i], sizeof copy[i]);
    int result = fmq_options_parse(argc, copy, table, rule, &values, &words, &err);
    free(copy);
    return result;
}

#define PARSE(rule, ...) parse(rule, (const char *const[]){"fedmq", __VA_ARGS__, NULL})

static int tear_down(void **state)
{
    (void)state;
    fmq_words_release(&words);
    return 0;
}

static void options_of_every_kind_are_read(void **state)
{
    (void)state;
    assert_int_equal(
        PARSE(FMQ_WORDS_NONE, "--cfg", "a.yaml", "--id=7", "--rate", "-2.5e-3", "--quiet"), 0);
    assert_string_equal(values.cfg, "a.yaml");
    assert_int_equal(values.id, 7);
    assert_true(values.rate == -2.5e-3);
    assert_true(values.quiet);
    assert_int_equal(words.size, 0);
}

static void pairs_may_have_values_that_begin_with_a_dash(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "--cfg", "a", "federate.sample_client_num", "-1",
                           "--quiet", "outdir", "--odd"),
                     0);
    assert_int_equal(words.size, 4);
    assert_string_equal(words.items[0], "federate.sample_client_num");
    assert_string_equal(words.items[1], "-1");
    assert_string_equal(words.items[3], "--odd");
    assert_true(values.quiet);
}

static void a_key_without_a_value_is_a_mistake_that_names_it(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "a", "1", "train.lr"), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(err.text, "train.lr"));
}

static void a_pair_may_be_an_equation(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "a.b=1", "--quiet", "c", "d=e", "f=--odd=2"), 0);
    assert_int_equal(words.size, 6);
    assert_string_equal(words.items[0], "a.b");
    assert_string_equal(words.items[1], "1");
    assert_string_equal(words.items[2], "c");
    assert_string_equal(words.items[3], "d=e");
    assert_string_equal(words.items[4], "f");
    assert_string_equal(words.items[5], "--odd=2");
    assert_true(values.quiet);
}

static void words_become_pairs_later_too(void **state)
{
    (void)state;
    fmq_words_t pairs;
    assert_int_equal(PARSE(FMQ_WORDS_ANY, "a=1", "b", "2"), 0);
    assert_int_equal(fmq_words_pair(&words, &pairs, &err), 0);
    assert_int_equal(pairs.size, 4);
    assert_string_equal(pairs.items[3], "2");
    fmq_words_release(&pairs);
    assert_int_equal(PARSE(FMQ_WORDS_ANY, "a=1", "b"), 0);
    assert_int_equal(fmq_words_pair(&words, &pairs, &err), -1);
    assert_non_null(strstr(err.text, "'b' has no value"));
    fmq_words_release(&pairs);
}

static void a_file_among_the_pairs_is_told_where_it_belongs(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "my.yaml", "a", "1"), -1);
    assert_non_null(strstr(err.text, "--cfg my.yaml"));
}

static void a_word_where_none_belongs_is_a_mistake(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FMQ_WORDS_NONE, "surplus"), -1);
    assert_non_null(strstr(err.text, "surplus"));
}

static void words_without_pairs_are_taken_one_by_one(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FMQ_WORDS_ANY, "keys", "--quiet", "lora", "x"), 0);
    assert_int_equal(words.size, 3);
    assert_string_equal(words.items[2], "x");
}

static void unknown_options_and_missing_values_are_named(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "--cgf", "a"), -1);
    assert_non_null(strstr(err.text, "--cgf"));
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "--cfg"), -1);
    assert_non_null(strstr(err.text, "--cfg"));
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "--quiet=3"), -1);
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "--quite"), -1);
    assert_non_null(strstr(err.text, "did you mean '--quiet'?"));
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "--zebra"), -1);
    assert_null(strstr(err.text, "did you mean"));
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "--seed", "3"), -1);
    assert_non_null(strstr(err.text, "without dashes, as seed VALUE"));
}

static void what_is_no_number_is_not_taken_for_one(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FMQ_WORDS_NONE, "--id", "seven"), -1);
    assert_non_null(strstr(err.text, "seven"));
    assert_int_equal(PARSE(FMQ_WORDS_NONE, "--id", "-1"), -1);
    assert_int_equal(PARSE(FMQ_WORDS_NONE, "--id", "1.5"), -1);
    assert_int_equal(PARSE(FMQ_WORDS_NONE, "--id", "99999999999999999999999"), -1);
    assert_int_equal(PARSE(FMQ_WORDS_NONE, "--rate", "nan"), -1);
    assert_int_equal(PARSE(FMQ_WORDS_NONE, "--rate", "1x"), -1);
}

static void help_is_noticed_anywhere(void **state)
{
    (void)state;
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "--quiet", "--help"), 0);
    assert_true(words.help);
    assert_int_equal(PARSE(FMQ_WORDS_PAIRS, "-h"), 0);
    assert_true(words.help);
}

static void the_help_text_has_a_line_for_each_option(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    fmq_options_print(table, out);
    fclose(out);
    assert_non_null(strstr(text, "--cfg FILE"));
    assert_non_null(strstr(text, "say nothing\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(options_of_every_kind_are_read, tear_down),
        cmocka_unit_test_teardown(pairs_may_have_values_that_begin_with_a_dash, tear_down),
        cmocka_unit_test_teardown(a_key_without_a_value_is_a_mistake_that_names_it, tear_down),
        cmocka_unit_test_teardown(a_pair_may_be_an_equation, tear_down),
        cmocka_unit_test_teardown(words_become_pairs_later_too, tear_down),
        cmocka_unit_test_teardown(a_file_among_the_pairs_is_told_where_it_belongs, tear_down),
        cmocka_unit_test_teardown(a_word_where_none_belongs_is_a_mistake, tear_down),
        cmocka_unit_test_teardown(words_without_pairs_are_taken_one_by_one, tear_down),
        cmocka_unit_test_teardown(unknown_options_and_missing_values_are_named, tear_down),
        cmocka_unit_test_teardown(what_is_no_number_is_not_taken_for_one, tear_down),
        cmocka_unit_test_teardown(help_is_noticed_anywhere, tear_down),
        cmocka_unit_test_teardown(the_help_text_has_a_line_for_each_option, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
