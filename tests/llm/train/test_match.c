/*
 * test_match.c - how answers are asked for and compared, with a generator that
 * repeats what it was told to say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/generate.h"
#include "fedmq/llm/train.h"
#include "tests/llm/data/byte_tokenizer.h"

struct llm_generator {
    const char *says;
    fmq_error_code_t fails; /* FMQ_OK: it does not */
    char prompt[1024];      /* the last one, without BOS */
    llm_sampling_t how;
    size_t calls;
};

int llm_generator_run(llm_generator_t *self, const int32_t *prompt, size_t count,
                      const llm_sampling_t *how, llm_ids_t *out, fmq_error_t *err)
{
    self->calls++;
    self->how = *how;
    assert_true(count > 0 && count < sizeof self->prompt);
    assert_int_equal(prompt[0], BYTE_BOS);
    for (size_t i = 1; i < count; i++)
        self->prompt[i - 1] = (char)prompt[i];
    self->prompt[count - 1] = '\0';
    if (self->fails != FMQ_OK)
        return fmq_error_set(err, self->fails, "as told");
    for (const char *at = self->says; *at; at++)
        if (llm_ids_append(out, (unsigned char)*at, err) < 0)
            return -1;
    return 0;
}

static llm_records_t *make_records(void)
{
    static const llm_record_t all[] = {{"a", "", "yes", ""},
                                       {"b", "in", " yes\n", ""},
                                       {"c", "", "Yes", ""},
                                       {"d", "", "yes it is", ""},
                                       {"e", "", "", ""}};
    llm_records_t *records = llm_records_new();
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(llm_records_add(records, &all[i], NULL), 0);
    return records;
}

typedef struct {
    size_t calls, exact;
    size_t order[8];
    char answer[64];
} listener_t;

static void listen(void *argument, size_t index, const llm_record_t *record, const char *answer,
                   bool exact)
{
    listener_t *listener = argument;
    assert_non_null(record);
    listener->order[listener->calls++] = index;
    listener->exact += exact;
    strncpy(listener->answer, answer, sizeof listener->answer - 1);
}

static void answers_match_to_the_letter_but_for_space_around_them(void **state)
{
    (void)state;
    llm_records_t *records = make_records();
    llm_tokenizer_t tokenizer = {0};
    llm_generator_t generator = {.says = "  yes \n"};
    listener_t listener = {0};
    uint64_t exact, total;
    assert_int_equal(llm_evaluate_match(&generator, &tokenizer, records, NULL, 17, listen,
                                        &listener, &exact, &total, NULL),
                     0);
    assert_int_equal(total, 5);
    assert_int_equal(exact, 2);
    assert_int_equal(listener.calls, 5);
    assert_int_equal(listener.exact, 2);
    assert_string_equal(listener.answer, "  yes \n");
    assert_int_equal(generator.how.new_tokens_max, 17);
    assert_int_equal(generator.how.ends_size, 2);
    assert_int_equal(generator.how.ends[0], BYTE_EOS);
    assert_int_equal(generator.how.ends[1], BYTE_EOS + 7);
    assert_true(generator.how.temperature == 0);
    llm_records_destroy(&records);
}

static void the_question_is_the_alpaca_prompt(void **state)
{
    (void)state;
    llm_records_t *records = make_records();
    llm_tokenizer_t tokenizer = {0};
    llm_generator_t generator = {.says = ""};
    uint32_t items[] = {1};
    uint64_t exact, total;
    assert_int_equal(llm_evaluate_match(&generator, &tokenizer, records, &(llm_part_t){items, 1}, 5,
                                        NULL, NULL, &exact, &total, NULL),
                     0);
    char *prompt = llm_prompt_format(llm_records_at(records, 1), NULL);
    assert_string_equal(generator.prompt, prompt);
    assert_int_equal(total, 1);
    assert_int_equal(exact, 0);
    free(prompt);
    llm_records_destroy(&records);
}

static void a_prompt_that_does_not_fit_is_answered_wrongly(void **state)
{
    (void)state;
    llm_records_t *records = make_records();
    llm_tokenizer_t tokenizer = {0};
    llm_generator_t generator = {.fails = FMQ_ERR_LIMIT};
    listener_t listener = {0};
    uint64_t exact, total;
    uint32_t items[] = {3, 0};
    assert_int_equal(llm_evaluate_match(&generator, &tokenizer, records, &(llm_part_t){items, 2}, 5,
                                        listen, &listener, &exact, &total, NULL),
                     0);
    assert_int_equal(exact, 0);
    assert_int_equal(total, 2);
    assert_string_equal(listener.answer, "");
    assert_int_equal(listener.order[0], 3);
    assert_int_equal(listener.order[1], 0);
    llm_records_destroy(&records);
}

static void other_failures_end_the_evaluation(void **state)
{
    (void)state;
    llm_records_t *records = make_records();
    llm_tokenizer_t tokenizer = {0};
    llm_generator_t generator = {.fails = FMQ_ERR_NOMEM};
    uint64_t exact = 77, total = 77;
    fmq_error_t err;
    assert_int_equal(llm_evaluate_match(&generator, &tokenizer, records, NULL, 5, NULL, NULL,
                                        &exact, &total, &err),
                     -1);
    assert_int_equal(err.code, FMQ_ERR_NOMEM);
    assert_int_equal(generator.calls, 1);
    assert_int_equal(exact, 77);
    uint32_t items[] = {5};
    assert_int_equal(llm_evaluate_match(&generator, &tokenizer, records, &(llm_part_t){items, 1}, 5,
                                        NULL, NULL, &exact, &total, &err),
                     -1);
    assert_int_equal(err.code, FMQ_ERR_INTERNAL);
    llm_records_destroy(&records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_match_to_the_letter_but_for_space_around_them),
        cmocka_unit_test(the_question_is_the_alpaca_prompt),
        cmocka_unit_test(a_prompt_that_does_not_fit_is_answered_wrongly),
        cmocka_unit_test(other_failures_end_the_evaluation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
