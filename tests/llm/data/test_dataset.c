/*
 * test_dataset.c - token stores over a tokenizer of bytes.  What a dataset does
 * with ids does not depend on how they come about; tokenizers have tests of
 * their own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/dataset.h"
#include "tests/llm/data/byte_tokenizer.h"

static llm_records_t *one_record(const char *instruction, const char *output)
{
    llm_records_t *records = llm_records_new();
    assert_int_equal(llm_records_add(records,
                                     &(llm_record_t){.instruction = instruction, .output = output},
                                     NULL),
                     0);
    return records;
}

static size_t prompt_bytes(const char *instruction)
{
    char *prompt = llm_prompt_format(
        &(llm_record_t){.instruction = instruction, .input = "", .output = "", .category = ""},
        NULL);
    size_t size = strlen(prompt);
    free(prompt);
    return size;
}

static llm_dataset_t *make(const llm_records_t *records, const llm_part_t *part, size_t tok_len)
{
    fmq_error_t err;
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *dataset = llm_dataset_new(records, part, &tokenizer, tok_len, &err);
    if (!dataset)
        fail_msg("%s", err.text);
    return dataset;
}

static void an_example_is_prompt_answer_and_end(void **state)
{
    (void)state;
    llm_records_t *records = one_record("Add.", "two");
    llm_dataset_t *dataset = make(records, NULL, 1000);
    assert_int_equal(llm_dataset_size(dataset), 1);
    llm_example_t example = llm_dataset_at(dataset, 0);
    size_t prompt = 1 + prompt_bytes("Add.");
    assert_int_equal(example.prompt, prompt);
    assert_int_equal(example.size, prompt + 4);
    assert_int_equal(example.ids[0], BYTE_BOS);
    static const int32_t answer[] = {'t', 'w', 'o', BYTE_EOS};
    assert_memory_equal(example.ids + prompt, answer, sizeof answer);
    assert_int_equal(llm_dataset_longest(dataset), prompt + 4);
    assert_int_equal(llm_dataset_tokens(dataset), prompt + 4);
    llm_dataset_destroy(&dataset);
    llm_dataset_destroy(&dataset); /* does nothing */
    llm_records_destroy(&records);
}

static void a_record_without_an_answer_is_dropped_and_counted(void **state)
{
    (void)state;
    llm_records_t *records = one_record("Add.", "");
    assert_int_equal(llm_records_add(records, &(llm_record_t){.output = ""}, NULL), 0);
    assert_int_equal(
        llm_records_add(records, &(llm_record_t){.instruction = "Add.", .output = " "}, NULL), 0);
    llm_dataset_t *dataset = make(records, NULL, 1000);
    llm_fit_t fit = llm_dataset_fit(dataset);
    assert_int_equal(llm_dataset_size(dataset), 1); /* white space is an answer */
    assert_int_equal(llm_dataset_dropped(dataset), 2);
    assert_int_equal(fit.records, 3);
    assert_int_equal(fit.unanswered, 2);
    assert_int_equal(fit.too_long + fit.cut, 0);
    llm_dataset_destroy(&dataset);
    llm_part_t part = {0};
    assert_int_equal(llm_records_answered(records, &part, NULL), 0);
    assert_int_equal(part.size, 1);
    assert_int_equal(part.items[0], 2);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void what_does_not_fit_is_counted_and_said(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    char text[LLM_FIT_TEXT_BYTES];
    llm_records_t *records = one_record("Add.", "two");
    const llm_record_t more[] = {
        {.instruction = "Add.", .output = "far too long to fit"},
        {.instruction = "Add these many numbers to others.", .output = "x"},
        {.instruction = "Add.", .output = ""}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(llm_records_add(records, &more[i], NULL), 0);
    size_t tok_len = 1 + prompt_bytes("Add.") + 4; /* with "two" and the end, to the token */
    llm_dataset_t *dataset = make(records, NULL, tok_len);
    llm_fit_t fit = llm_dataset_fit(dataset);
    assert_int_equal(fit.records, 4);
    assert_int_equal(fit.cut, 1);
    assert_int_equal(fit.too_long, 1);
    assert_int_equal(fit.unanswered, 1);
    assert_int_equal(llm_fit_used(&fit), llm_dataset_size(dataset));
    llm_fit_text(&fit, "llm.tok_len", 128, text);
    assert_string_equal(text, "2 of 4 records do not fit llm.tok_len 128: 1 dropped, 1 cut; 1 with "
                              "no answer dropped");
    llm_fit_add(&fit, &(llm_fit_t){.records = 995, .too_long = 200, .cut = 85});
    llm_fit_text(&fit, "llm.tok_len", 128, text);
    assert_non_null(strstr(text, "287 of 999 records do not fit llm.tok_len 128: 201 dropped, 86"));
    llm_fit_text(&(llm_fit_t){.records = 9}, "llm.tok_len", 128, text);
    assert_string_equal(text, "");
    assert_int_equal(llm_fit_refuse(&(llm_fit_t){.records = 9, .too_long = 7, .unanswered = 2},
                                    "training records", "llm.tok_len", 64, &err),
                     -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(err.text, "none of the 9 training records"));
    assert_non_null(strstr(err.text, "prompts of 7 fill llm.tok_len 64, 2 have no answer"));
    llm_dataset_destroy(&dataset);
    llm_records_destroy(&records);
}

static void answers_are_cut_at_tok_len_and_those_cut_off_whole_are_counted(void **state)
{
    (void)state;
    llm_records_t *records = one_record("Add.", "a long answer");
    size_t prompt = 1 + prompt_bytes("Add.");
    for (size_t tok_len = prompt - 2; tok_len < prompt + 20; tok_len++) {
        llm_dataset_t *dataset = make(records, NULL, tok_len);
        bool kept = tok_len > prompt;
        assert_int_equal(llm_dataset_size(dataset), kept);
        assert_int_equal(llm_dataset_dropped(dataset), !kept);
        if (kept) {
            llm_example_t example = llm_dataset_at(dataset, 0);
            assert_int_equal(example.size, tok_len < prompt + 14 ? tok_len : prompt + 14);
            assert_int_equal(example.prompt, prompt);
        } else {
            assert_int_equal(llm_dataset_longest(dataset), 0);
            assert_int_equal(llm_dataset_batch_max(dataset, 4), 0);
        }
        llm_dataset_destroy(&dataset);
    }
    llm_records_destroy(&records);
}

static void a_part_chooses_records_and_their_order(void **state)
{
    (void)state;
    llm_records_t *records = llm_records_new();
    static const char *const answers[] = {"a", "bb", "ccc", "dddd"};
    for (size_t i = 0; i < 4; i++)
        llm_records_add(records, &(llm_record_t){.instruction = "i", .output = answers[i]}, NULL);
    uint32_t items[] = {3, 1};
    llm_dataset_t *dataset = make(records, &(llm_part_t){items, 2}, 1000);
    assert_int_equal(llm_dataset_size(dataset), 2);
    for (size_t i = 0; i < 2; i++) {
        llm_example_t example = llm_dataset_at(dataset, i);
        assert_int_equal(example.size - example.prompt, i == 0 ? 5 : 3);
        assert_int_equal(example.ids[example.prompt], i == 0 ? 'd' : 'b');
    }
    llm_dataset_destroy(&dataset);
    llm_records_destroy(&records);
}

static void a_part_that_names_unknown_records_is_an_error(void **state)
{
    (void)state;
    llm_records_t *records = one_record("i", "o");
    uint32_t items[] = {1};
    fmq_error_t err;
    llm_tokenizer_t tokenizer = {0};
    assert_null(llm_dataset_new(records, &(llm_part_t){items, 1}, &tokenizer, 100, &err));
    assert_int_equal(err.code, FMQ_ERR_INTERNAL);
    llm_records_destroy(&records);
}

static void batch_max_is_the_sum_of_the_longest(void **state)
{
    (void)state;
    llm_records_t *records = llm_records_new();
    static const char *const answers[] = {"a", "cccc", "bb"};
    for (size_t i = 0; i < 3; i++)
        llm_records_add(records, &(llm_record_t){.instruction = "i", .output = answers[i]}, NULL);
    llm_dataset_t *dataset = make(records, NULL, 1000);
    size_t prompt = 1 + prompt_bytes("i");
    assert_int_equal(llm_dataset_batch_max(dataset, 0), 0);
    assert_int_equal(llm_dataset_batch_max(dataset, 1), prompt + 5);
    assert_int_equal(llm_dataset_batch_max(dataset, 2), 2 * prompt + 8);
    assert_int_equal(llm_dataset_batch_max(dataset, 3), 3 * prompt + 10);
    assert_int_equal(llm_dataset_batch_max(dataset, 99), 3 * prompt + 10);
    llm_dataset_destroy(&dataset);
    llm_records_destroy(&records);
}

static void text_becomes_blocks_that_follow_one_another(void **state)
{
    (void)state;
    llm_tokenizer_t tokenizer = {0};
    static const char text[] = "0123456789abcdefghijklmn"; /* 24 bytes and BOS */
    for (size_t tok_len = 2; tok_len < 30; tok_len++) {
        llm_dataset_t *dataset = llm_dataset_new_text(text, 24, &tokenizer, tok_len, NULL);
        assert_non_null(dataset);
        size_t last = 25 % tok_len;
        assert_int_equal(llm_dataset_size(dataset), 25 / tok_len + (last > 1));
        size_t at = 0;
        for (size_t i = 0; i < llm_dataset_size(dataset); i++) {
            llm_example_t example = llm_dataset_at(dataset, i);
            assert_int_equal(example.prompt, 0);
            for (size_t k = 0; k < example.size; k++, at++)
                assert_int_equal(example.ids[k], at == 0 ? BYTE_BOS : text[at - 1]);
        }
        assert_int_equal(at, last == 1 ? 24 : 25);
        llm_dataset_destroy(&dataset);
    }
}

static void a_record_of_plain_text_is_learnt_whole(void **state)
{
    (void)state;
    llm_records_t *records = one_record("", "Once upon a time.");
    llm_dataset_t *dataset = make(records, NULL, 10);
    assert_int_equal(llm_dataset_size(dataset), 2);
    assert_int_equal(llm_dataset_at(dataset, 0).prompt, 0);
    assert_int_equal(llm_dataset_at(dataset, 0).size, 10);
    assert_int_equal(llm_dataset_at(dataset, 1).size, 8);
    llm_dataset_destroy(&dataset);
    llm_records_destroy(&records);
}

static void text_without_a_second_token_is_dropped_and_counted(void **state)
{
    (void)state;
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *dataset = llm_dataset_new_text("", 0, &tokenizer, 10, NULL);
    assert_non_null(dataset);
    assert_int_equal(llm_dataset_size(dataset), 0);
    assert_int_equal(llm_dataset_dropped(dataset), 1);
    llm_dataset_destroy(&dataset);
}

static void long_texts_reach_the_tokenizer_in_pieces_without_losing_a_byte(void **state)
{
    (void)state;
    size_t size = 700001;
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++)
        text[i] = i % 61 == 0 && i < 400000 ? '\n' : 'x';
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *dataset = llm_dataset_new_text(text, size, &tokenizer, 512, NULL);
    assert_non_null(dataset);
    assert_true(tokenizer.calls > 1);
    assert_true(tokenizer.largest < size / 2);
    assert_int_equal(llm_dataset_tokens(dataset), size + 1);
    llm_dataset_destroy(&dataset);
    free(text);
}

static void lengths_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    llm_records_t *records = one_record("i", "o");
    llm_tokenizer_t tokenizer = {0};
    static const size_t wrong[] = {0, 1, SIZE_MAX};
    for (size_t i = 0; i < 3; i++) {
        fmq_error_t err;
        assert_null(llm_dataset_new(records, NULL, &tokenizer, wrong[i], &err));
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
        assert_null(llm_dataset_new_text("text", 4, &tokenizer, wrong[i], &err));
    }
    llm_records_destroy(&records);
}

static void a_tokenizer_that_fails_leaves_no_dataset(void **state)
{
    (void)state;
    llm_records_t *records = one_record("i", "o");
    for (size_t call = 1; call <= 2; call++) {
        fmq_error_t err;
        llm_tokenizer_t tokenizer = {.refused_at = call};
        assert_null(llm_dataset_new(records, NULL, &tokenizer, 100, &err));
        assert_int_equal(err.code, FMQ_ERR_NOMEM);
        assert_non_null(strstr(err.text, "record 0"));
    }
    llm_records_destroy(&records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_example_is_prompt_answer_and_end),
        cmocka_unit_test(a_record_without_an_answer_is_dropped_and_counted),
        cmocka_unit_test(what_does_not_fit_is_counted_and_said),
        cmocka_unit_test(answers_are_cut_at_tok_len_and_those_cut_off_whole_are_counted),
        cmocka_unit_test(a_part_chooses_records_and_their_order),
        cmocka_unit_test(a_part_that_names_unknown_records_is_an_error),
        cmocka_unit_test(batch_max_is_the_sum_of_the_longest),
        cmocka_unit_test(text_becomes_blocks_that_follow_one_another),
        cmocka_unit_test(a_record_of_plain_text_is_learnt_whole),
        cmocka_unit_test(text_without_a_second_token_is_dropped_and_counted),
        cmocka_unit_test(long_texts_reach_the_tokenizer_in_pieces_without_losing_a_byte),
        cmocka_unit_test(lengths_that_make_no_sense_are_refused),
        cmocka_unit_test(a_tokenizer_that_fails_leaves_no_dataset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
