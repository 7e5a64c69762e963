/*
 * test_vocab.c - tokens found by text and by id, and what cannot be added.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/shape.h"
#include "llm/tokenizer/vocab.h"

static void many_tokens_are_found_both_ways(void **state)
{
    (void)state;
    llm_vocab_t vocab = {0};
    char text[32];
    for (uint64_t id = 0; id < 20000; id++) {
        int size = snprintf(text, sizeof text, "t%llu", (unsigned long long)(id * 7919 % 20000));
        assert_int_equal(llm_vocab_add(&vocab, text, (size_t)size, id, NULL), 0);
    }
    assert_int_equal(vocab.size, 20000);
    for (int32_t id = 0; id < 20000; id++) {
        size_t size;
        const char *found = llm_vocab_text(&vocab, id, &size);
        assert_non_null(found);
        assert_int_equal(llm_vocab_find(&vocab, found, size), id);
        /* One byte less is another token or none, never this one. */
        assert_int_not_equal(llm_vocab_find(&vocab, found, size - 1), id);
    }
    assert_int_equal(llm_vocab_find(&vocab, "t20000", 6), -1);
    llm_vocab_release(&vocab);
}

static void ids_may_have_holes(void **state)
{
    (void)state;
    llm_vocab_t vocab = {0};
    size_t size;
    assert_int_equal(llm_vocab_add(&vocab, "far", 3, 1000, NULL), 0);
    assert_int_equal(vocab.size, 1001);
    assert_null(llm_vocab_text(&vocab, 999, &size));
    assert_null(llm_vocab_text(&vocab, 1001, &size));
    assert_null(llm_vocab_text(&vocab, -1, &size));
    assert_int_equal(llm_vocab_add(&vocab, "near", 4, 0, NULL), 0);
    assert_int_equal(llm_vocab_find(&vocab, "far", 3), 1000);
    llm_vocab_release(&vocab);
}

static void a_repeated_text_or_id_is_refused(void **state)
{
    (void)state;
    llm_vocab_t vocab = {0};
    fmq_error_t err = {0};
    assert_int_equal(llm_vocab_add(&vocab, "a", 1, 5, &err), 0);
    assert_int_equal(llm_vocab_add(&vocab, "a", 1, 6, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    assert_non_null(strstr(err.text, "both id 5 and id 6"));
    assert_int_equal(llm_vocab_add(&vocab, "b", 1, 5, &err), -1);
    assert_non_null(strstr(err.text, "both token 'a' and token 'b'"));
    assert_int_equal(llm_vocab_find(&vocab, "b", 1), -1);
    llm_vocab_release(&vocab);
}

static void ids_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    llm_vocab_t vocab = {0};
    fmq_error_t err = {0};
    assert_int_equal(llm_vocab_add(&vocab, "a", 1, LLM_VOCAB_MAX, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_int_equal(llm_vocab_add(&vocab, "a", 1, UINT64_MAX, &err), -1);
    assert_int_equal(vocab.size, 0);
    llm_vocab_release(&vocab);
}

static void empty_texts_and_nul_bytes_are_texts_like_others(void **state)
{
    (void)state;
    llm_vocab_t vocab = {0};
    size_t size = 9;
    assert_int_equal(llm_vocab_find(&vocab, "", 0), -1);
    assert_int_equal(llm_vocab_add(&vocab, "", 0, 0, NULL), 0);
    assert_int_equal(llm_vocab_add(&vocab, "\0", 1, 1, NULL), 0);
    assert_int_equal(llm_vocab_add(&vocab, "\0a", 2, 2, NULL), 0);
    assert_int_equal(llm_vocab_find(&vocab, "", 0), 0);
    assert_int_equal(llm_vocab_find(&vocab, "\0", 1), 1);
    assert_int_equal(llm_vocab_find(&vocab, "\0a", 2), 2);
    assert_non_null(llm_vocab_text(&vocab, 0, &size));
    assert_int_equal(size, 0);
    llm_vocab_release(&vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_tokens_are_found_both_ways),
        cmocka_unit_test(ids_may_have_holes),
        cmocka_unit_test(a_repeated_text_or_id_is_refused),
        cmocka_unit_test(ids_beyond_the_limit_are_refused),
        cmocka_unit_test(empty_texts_and_nul_bytes_are_texts_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
