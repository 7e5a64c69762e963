/*
 * test_error.c - error texts: set, prefixed, cut at their limit, cleared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/error.h"

static void setting_an_error_returns_minus_one_and_formats(void **state)
{
    (void)state;
    fmq_error_t err;
    assert_int_equal(fmq_error_set(&err, FMQ_ERR_IO, "cannot open '%s'", "a"), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    assert_string_equal(err.text, "cannot open 'a'");
    assert_int_equal(fmq_error_set(NULL, FMQ_ERR_IO, "nobody listens"), -1);
}

static void a_copy_says_the_same(void **state)
{
    (void)state;
    fmq_error_t why, err = {0};
    (void)fmq_error_set(&why, FMQ_ERR_TIMEOUT, "100%% of '%s'", "it");
    assert_int_equal(fmq_error_copy(&err, &why), -1);
    assert_int_equal(err.code, FMQ_ERR_TIMEOUT);
    assert_string_equal(err.text, "100% of 'it'");
    assert_int_equal(fmq_error_copy(NULL, &why), -1);
    assert_int_equal(fmq_error_copy(&err, &err), -1);
    assert_string_equal(err.text, why.text);
}

static void a_prefix_keeps_code_and_text(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_error_set(&err, FMQ_ERR_FORMAT, "broken header");
    assert_int_equal(fmq_error_prefix(&err, "'%s'", "m.safetensors"), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    assert_string_equal(err.text, "'m.safetensors': broken header");
}

static void long_texts_are_cut_and_terminated(void **state)
{
    (void)state;
    fmq_error_t err;
    char text[2 * FMQ_ERROR_TEXT_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fmq_error_set(&err, FMQ_ERR_LIMIT, "%s", text);
    assert_int_equal(strlen(err.text), FMQ_ERROR_TEXT_MAX - 1);
    fmq_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.text), FMQ_ERROR_TEXT_MAX - 1);
}

static void every_code_has_a_name_and_an_exit_status_of_its_own(void **state)
{
    (void)state;
    for (int a = FMQ_OK; a <= FMQ_ERR_INTERNAL; a++) {
        assert_string_not_equal(fmq_error_name((fmq_error_code_t)a), "unknown");
        for (int b = a + 1; b <= FMQ_ERR_INTERNAL; b++)
            assert_int_not_equal(fmq_error_exit_status((fmq_error_code_t)a),
                                 fmq_error_exit_status((fmq_error_code_t)b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_an_error_returns_minus_one_and_formats),
        cmocka_unit_test(a_copy_says_the_same),
        cmocka_unit_test(a_prefix_keeps_code_and_text),
        cmocka_unit_test(long_texts_are_cut_and_terminated),
        cmocka_unit_test(every_code_has_a_name_and_an_exit_status_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
