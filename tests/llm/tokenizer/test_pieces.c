/*
 * test_pieces.c - patterns found, and texts split, replaced and prefixed, as
 * the documentation of HF tokenizers has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "llm/tokenizer/pieces.h"

/* The spans of a text after one step, with '|' between. */
static void becomes(const llm_step_t *step, const char *text, const char *expected)
{
    llm_pieces_t pieces;
    llm_step_t copy = *step;
    const llm_steps_t steps = {.steps = &copy, .size = 1};
    fmq_error_t err = {0};
    char got[1024] = "";
    size_t used = 0;
    assert_int_equal(llm_pieces_init(&pieces, &err), 0);
    assert_int_equal(llm_pieces_add(&pieces, text, strlen(text), true, &err), 0);
    if (llm_steps_run(&steps, &pieces, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < pieces.now.size; i++) {
        llm_span_t span = pieces.now.spans[i];
        used += (size_t)snprintf(got + used, sizeof got - used, "%s%.*s", i ? "|" : "",
                                 (int)(span.end - span.begin), pieces.now.text.data + span.begin);
    }
    assert_string_equal(got, expected);
    llm_pieces_release(&pieces);
}

static void compile(llm_pattern_t *pattern, const char *expression)
{
    fmq_error_t err = {0};
    if (llm_pattern_expression(pattern, expression, strlen(expression), &err) < 0)
        fail_msg("%s", err.text);
}

static void splits_to(const char *expression, llm_split_t split, bool invert, const char *text,
                      const char *expected)
{
    llm_step_t step = {.kind = LLM_STEP_SPLIT, .split = split, .invert = invert};
    compile(&step.pattern, expression);
    becomes(&step, text, expected);
    llm_pattern_release(&step.pattern);
}

static void every_behaviour_splits_as_documented(void **state)
{
    (void)state;
    static const char text[] = "the-final--countdown";
    splits_to("-", LLM_SPLIT_REMOVED, false, text, "the|final|countdown");
    splits_to("-", LLM_SPLIT_ISOLATED, false, text, "the|-|final|-|-|countdown");
    splits_to("-", LLM_SPLIT_WITH_PREVIOUS, false, text, "the-|final-|-|countdown");
    splits_to("-", LLM_SPLIT_WITH_NEXT, false, text, "the|-final|-|-countdown");
    splits_to("-", LLM_SPLIT_CONTIGUOUS, false, text, "the|-|final|--|countdown");
}

static void delimiters_at_the_ends_make_no_empty_pieces(void **state)
{
    (void)state;
    splits_to("-", LLM_SPLIT_REMOVED, false, "--a--", "a");
    splits_to("-", LLM_SPLIT_ISOLATED, false, "-a-", "-|a|-");
    splits_to("-", LLM_SPLIT_WITH_PREVIOUS, false, "-a-", "-|a-");
    splits_to("-", LLM_SPLIT_WITH_NEXT, false, "-a-", "-a|-");
    splits_to("-", LLM_SPLIT_CONTIGUOUS, false, "--a--", "--|a|--");
    splits_to("-", LLM_SPLIT_REMOVED, false, "--", "");
    splits_to("-", LLM_SPLIT_ISOLATED, false, "", "");
}

static void an_inverted_pattern_keeps_what_matches(void **state)
{
    (void)state;
    splits_to("\\w+|[^\\w\\s]+", LLM_SPLIT_REMOVED, true, "Hi, you  there!", "Hi|,|you|there|!");
    splits_to("[a-z]+", LLM_SPLIT_WITH_NEXT, true, "1a2b3", "1a|2b|3");
}

static void empty_matches_do_not_stop_a_split(void **state)
{
    (void)state;
    splits_to("x*", LLM_SPLIT_ISOLATED, false, "axxb", "a|xx|b");
    splits_to("(?=B)", LLM_SPLIT_ISOLATED, false, "aBcB", "a|Bc|B");
    splits_to("x*", LLM_SPLIT_REMOVED, false, "\xc3\xa9\xe6\xbc\xa2", "\xc3\xa9|\xe6\xbc\xa2");
}

static void classes_are_unicodes_and_not_pcres(void **state)
{
    (void)state;
    /* U+180E is white space to PCRE2's \s but not to Unicode since 6.3. */
    splits_to("\\s", LLM_SPLIT_REMOVED, false,
              "a\xe1\xa0\x8e"
              "b c",
              "a\xe1\xa0\x8e"
              "b|c");
    splits_to("[\\s]", LLM_SPLIT_REMOVED, false,
              "a\xc2\x85"
              "b\xe3\x80\x80"
              "c",
              "a|b|c");
    splits_to("\\S+", LLM_SPLIT_ISOLATED, false, "a b", "a| |b");
    /* A combining mark belongs to a word in Oniguruma and Rust. */
    splits_to("\\w+", LLM_SPLIT_ISOLATED, false, "e\xcc\x81 x", "e\xcc\x81| |x");
    splits_to("[\\w]+", LLM_SPLIT_ISOLATED, false, "e\xcc\x81 x", "e\xcc\x81| |x");
    splits_to("\\W+", LLM_SPLIT_REMOVED, false, "e\xcc\x81, x", "e\xcc\x81|x");
    splits_to("[[:upper:]]", LLM_SPLIT_WITH_NEXT, false, "aBcD", "a|Bc|D");
    /* Oniguruma's table of Latin-1 has fractions as words, but not in a class. */
    splits_to("\\w", LLM_SPLIT_REMOVED, false, "a\xc2\xbd\xe2\x91\xa0", "\xe2\x91\xa0");
    splits_to("[\\w]", LLM_SPLIT_REMOVED, false, "a\xc2\xbd", "\xc2\xbd");
    splits_to("[[:punct:]]", LLM_SPLIT_REMOVED, false, "a+b", "a|b");
    /* An ideographic comma is of Han's extensions only. */
    splits_to("\\p{Han}+", LLM_SPLIT_REMOVED, false, "\xe6\xbc\xa2\xe3\x80\x81", "\xe3\x80\x81");
    splits_to("\\P{Han}", LLM_SPLIT_REMOVED, false, "\xe6\xbc\xa2\xe3\x80\x81", "\xe6\xbc\xa2");
    splits_to("\\p{^L}", LLM_SPLIT_REMOVED, false, "a1b", "a|b");
    splits_to("\\b", LLM_SPLIT_ISOLATED, false, "ab, c", "ab|, |c");
    splits_to("^b", LLM_SPLIT_ISOLATED, false, "a\nb", "a\n|b"); /* ^ is of every line */
}

static void what_the_syntaxes_read_differently_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *expression, *named;
        fmq_error_code_t code;
    } cases[] = {
        {"[a&&b]", "&&", FMQ_ERR_UNSUPPORTED},
        {"[a[b]]", "class within a class", FMQ_ERR_UNSUPPORTED},
        {"[[:graph:]]", "class within a class", FMQ_ERR_UNSUPPORTED},
        {"[\\W]", "\\W", FMQ_ERR_UNSUPPORTED},
        {"\\h+", "\\h", FMQ_ERR_UNSUPPORTED},
        {"\\p{L}{1,2}+", "}+", FMQ_ERR_UNSUPPORTED},
        {"(a", "wrong at", FMQ_ERR_FORMAT},
        {"\\p{Nothing}", "wrong at", FMQ_ERR_FORMAT},
        {"\\p{L", "without a name", FMQ_ERR_UNSUPPORTED},
        {"*", "wrong at", FMQ_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_pattern_t pattern;
        fmq_error_t err = {0};
        const char *text = cases[i].expression;
        assert_int_equal(llm_pattern_expression(&pattern, text, strlen(text), &err), -1);
        if (err.code != cases[i].code || !strstr(err.text, cases[i].named))
            fail_msg("'%s': %s", text, err.text);
    }
    static char longest[LLM_PATTERN_SIZE_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    llm_pattern_t pattern;
    fmq_error_t err = {0};
    assert_int_equal(llm_pattern_expression(&pattern, longest, sizeof longest - 1, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
}

static void an_expression_that_explodes_ends_with_an_error(void **state)
{
    (void)state;
    llm_pattern_t pattern;
    compile(&pattern, "(?:a+)+$");
    void *match = llm_pattern_match_new(NULL);
    char text[64];
    memset(text, 'a', sizeof text);
    text[63] = 'b';
    llm_search_t search = {.pattern = &pattern, .match = match, .text = text, .size = sizeof text};
    fmq_error_t err = {0};
    assert_int_equal(llm_pattern_next(&search, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    llm_pattern_match_free(match);
    llm_pattern_release(&pattern);
}

static void literals_are_found_one_after_another(void **state)
{
    (void)state;
    llm_step_t step = {.kind = LLM_STEP_SPLIT, .split = LLM_SPLIT_ISOLATED};
    assert_int_equal(llm_pattern_literal(&step.pattern, "aa", 2, NULL), 0);
    becomes(&step, "aaaaab", "aa|aa|ab");
    becomes(&step, "a", "a");
    becomes(&step, "", "");
    llm_pattern_release(&step.pattern);
    assert_int_equal(llm_pattern_literal(&step.pattern, "", 0, NULL), 0);
    becomes(&step, "abc", "abc"); /* an empty literal is nowhere */
    llm_pattern_release(&step.pattern);
}

static void replacing_works_for_literals_and_expressions(void **state)
{
    (void)state;
    llm_step_t step = {.kind = LLM_STEP_REPLACE};
    assert_int_equal(llm_text_append(&step.content, "<>", 2, NULL), 0);
    assert_int_equal(llm_pattern_literal(&step.pattern, " ", 1, NULL), 0);
    becomes(&step, " a  b ", "<>a<><>b<>");
    llm_pattern_release(&step.pattern);
    compile(&step.pattern, "[xy]+");
    becomes(&step, "axyxbz", "a<>bz");
    becomes(&step, "", "");
    llm_pattern_release(&step.pattern);
    llm_text_release(&step.content);
}

static void a_prefix_goes_where_its_conditions_hold(void **state)
{
    (void)state;
    llm_step_t step = {.kind = LLM_STEP_PREFIX};
    assert_int_equal(llm_text_append(&step.content, "_", 1, NULL), 0);
    becomes(&step, "a", "_a");
    becomes(&step, "_a", "__a");
    becomes(&step, "", "");
    step.if_absent = true;
    becomes(&step, "_a", "_a");
    llm_text_release(&step.content);
}

static void only_the_first_piece_of_a_text_is_first(void **state)
{
    (void)state;
    llm_step_t list[2] = {{.kind = LLM_STEP_SPLIT, .split = LLM_SPLIT_REMOVED},
                          {.kind = LLM_STEP_PREFIX, .if_first = true}};
    const llm_steps_t steps = {.steps = list, .size = 2};
    assert_int_equal(llm_text_append(&list[1].content, "_", 1, NULL), 0);
    compile(&list[0].pattern, "\\s");
    static const char *const cases[][2] = {{"a b", "_ab"}, {" a b", "ab"}};
    for (size_t i = 0; i < 2; i++) {
        llm_pieces_t pieces;
        assert_int_equal(llm_pieces_init(&pieces, NULL), 0);
        assert_int_equal(llm_pieces_add(&pieces, cases[i][0], strlen(cases[i][0]), true, NULL), 0);
        assert_int_equal(llm_steps_run(&steps, &pieces, NULL), 0);
        assert_int_equal(llm_text_terminate(&pieces.now.text, NULL), 0);
        assert_string_equal(pieces.now.text.data, cases[i][1]);
        llm_pieces_release(&pieces);
    }
    llm_pattern_release(&list[0].pattern);
    llm_text_release(&list[1].content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_behaviour_splits_as_documented),
        cmocka_unit_test(delimiters_at_the_ends_make_no_empty_pieces),
        cmocka_unit_test(an_inverted_pattern_keeps_what_matches),
        cmocka_unit_test(empty_matches_do_not_stop_a_split),
        cmocka_unit_test(classes_are_unicodes_and_not_pcres),
        cmocka_unit_test(what_the_syntaxes_read_differently_is_refused),
        cmocka_unit_test(an_expression_that_explodes_ends_with_an_error),
        cmocka_unit_test(literals_are_found_one_after_another),
        cmocka_unit_test(replacing_works_for_literals_and_expressions),
        cmocka_unit_test(a_prefix_goes_where_its_conditions_hold),
        cmocka_unit_test(only_the_first_piece_of_a_text_is_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
