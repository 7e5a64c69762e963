/*
 * test_prompt.c - the two Alpaca prompts, to the byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "fedmq/llm/records.h"

static char *format(const char *instruction, const char *input, const char *output)
{
    fmq_error_t err;
    char *text = llm_prompt_format(
        &(llm_record_t){
            .instruction = instruction, .input = input, .output = output, .category = ""},
        &err);
    assert_non_null(text);
    return text;
}

static void assert_sha256(const char *text, size_t size, const char *expected)
{
    assert_int_equal(strlen(text), size);
    unsigned char digest[crypto_hash_sha256_BYTES];
    char hex[2 * crypto_hash_sha256_BYTES + 1];
    crypto_hash_sha256(digest, (const unsigned char *)text, size);
    sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    assert_string_equal(hex, expected);
}

static void the_form_with_input_is_alpacas(void **state)
{
    (void)state;
    char *text = format("{instruction}", "{input}", "");
    assert_sha256(text, 224, "28811e9850d9511bab334d167a03a8a37614535fdb28d645492efac8e9951c0f");
    free(text);
}

static void the_form_without_input_is_alpacas(void **state)
{
    (void)state;
    char *text = format("{instruction}", "", "");
    assert_sha256(text, 152, "35101bc36d10997c7d926d8f21f7d173aec6523f3a57d78821b944a89925cdca");
    free(text);
}

static void the_answer_is_no_part_of_the_prompt_and_glued_to_its_colon(void **state)
{
    (void)state;
    char *text = format("Add.", "1 and 1", "2");
    assert_non_null(strstr(text, "### Instruction:\nAdd.\n\n### Input:\n1 and 1\n\n### Response:"));
    assert_string_equal(text + strlen(text) - 9, "Response:");
    free(text);
}

static void plain_text_has_the_empty_prompt(void **state)
{
    (void)state;
    char *text = format("", "", "Once upon a time.");
    assert_string_equal(text, "");
    free(text);
}

static void an_input_without_instruction_still_has_a_prompt(void **state)
{
    (void)state;
    char *text = format("", "1 and 1", "2");
    assert_non_null(strstr(text, "### Instruction:\n\n\n### Input:\n1 and 1\n\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form_with_input_is_alpacas),
        cmocka_unit_test(the_form_without_input_is_alpacas),
        cmocka_unit_test(the_answer_is_no_part_of_the_prompt_and_glued_to_its_colon),
        cmocka_unit_test(plain_text_has_the_empty_prompt),
        cmocka_unit_test(an_input_without_instruction_still_has_a_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
