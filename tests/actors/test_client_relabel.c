/*
 * test_client_relabel.c - labels that a client's model writes: which records
 * get one, what it says, and when it is left alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/client/relabel.h"
#include "fedmq/llm/generate.h"

#define RECORDS 12

static struct {
    llm_backend_t *loader;
    llm_model_t *model;
    llm_tokenizer_t *tokenizer;
    fmq_devices_t *permits;
    fmq_context_t context;
    llm_records_t *records;
    size_t asked, stop_at;
} f;

static int set_up(void **state)
{
    static const char path[] = FEDMQ_SOURCE_DIR "/configs/quickstart/model";
    fmq_error_t err;
    (void)state;
    f.loader = llm_backend_cpu_new(1, &err);
    f.model = llm_model_open(path, f.loader, &err);
    f.tokenizer = llm_tokenizer_open(path, &err);
    f.permits = fmq_devices_new(1, 1, &err);
    f.context = (fmq_context_t){.model = f.model, .tokenizer = f.tokenizer, .permits = f.permits};
    f.records = llm_records_new();
    for (int i = 0; i < RECORDS; i++) {
        char question[64], answer[32];
        snprintf(question, sizeof question, "Reverse the word number %d.", i);
        snprintf(answer, sizeof answer, "answer %d", i);
        llm_record_t record = {.instruction = question, .output = answer, .category = "words"};
        llm_records_add(f.records, &record, NULL);
    }
    return f.model && f.tokenizer && f.permits ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    llm_records_destroy(&f.records);
    fmq_devices_destroy(&f.permits);
    llm_tokenizer_destroy(&f.tokenizer);
    llm_model_destroy(&f.model);
    llm_backend_destroy(&f.loader);
    return 0;
}

static int on_label(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    (void)argument, (void)steps, (void)tokens;
    f.asked++;
    return f.stop_at > 0 && step >= f.stop_at;
}

static int never(void *argument)
{
    (void)argument;
    return 0;
}

static fmq_relabel_t how(double ratio, uint32_t client)
{
    f.asked = f.stop_at = 0;
    return (fmq_relabel_t){.context = &f.context,
                           .ratio = ratio,
                           .tokens_max = 12,
                           .tok_len = 128,
                           .seed = 5,
                           .client = client,
                           .progress = on_label,
                           .stop = never};
}

static llm_records_t *run(const fmq_relabel_t *self, fmq_relabel_stats_t *stats)
{
    fmq_error_t err = {0};
    llm_records_t *out = fmq_relabel_run(self, f.records, stats, &err);
    if (!out)
        fail_msg("%s", err.text);
    assert_int_equal(llm_records_size(out), llm_records_size(f.records));
    return out;
}

static bool is_replaced(const llm_records_t *out, size_t index)
{
    const llm_record_t *before = llm_records_at(f.records, index);
    const llm_record_t *after = llm_records_at(out, index);
    assert_string_equal(before->instruction, after->instruction);
    assert_string_equal(before->category, after->category);
    return strcmp(before->output, after->output) != 0;
}

/* The records that were replaced, as bits. */
static uint32_t replaced(const llm_records_t *out)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < RECORDS; i++)
        bits |= (uint32_t)is_replaced(out, i) << i;
    return bits;
}

/* What the model says, asked by hand. */
static char *answer_of(const llm_record_t *record)
{
    fmq_error_t err;
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_NONE};
    llm_adapter_t *none = llm_adapter_new(llm_model_shape(f.model), &spec, &err);
    llm_generator_t *generator = llm_generator_new(f.model, none, 200, f.loader, &err);
    llm_sampling_t greedy = {.new_tokens_max = 12, .top_p = 1};
    greedy.ends = llm_tokenizer_ends(f.tokenizer, &greedy.ends_size);
    llm_ids_t prompt = {0}, answer = {0};
    char *text = llm_prompt_format(record, &err);
    assert_int_equal(llm_tokenizer_encode(f.tokenizer, text, strlen(text), true, &prompt, &err), 0);
    assert_int_equal(llm_generator_run(generator, prompt.ids, prompt.size, &greedy, &answer, &err),
                     0);
    free(text);
    text = llm_tokenizer_decode(f.tokenizer, answer.ids, answer.size, true, NULL, &err);
    llm_ids_release(&prompt);
    llm_ids_release(&answer);
    llm_generator_destroy(&generator);
    llm_adapter_destroy(&none);
    return text;
}

static void a_share_of_nothing_changes_nothing_and_asks_for_no_permit(void **state)
{
    (void)state;
    fmq_relabel_stats_t stats;
    fmq_relabel_t self = how(0.0, 1);
    llm_backend_t *taken = fmq_devices_take(f.permits, NULL, NULL); /* the only one */
    llm_records_t *out = run(&self, &stats);
    fmq_devices_give(f.permits, &taken);
    assert_int_equal(stats.chosen, 0);
    assert_int_equal(replaced(out), 0);
    assert_int_equal(f.asked, 0);
    llm_records_destroy(&out);
}

static void a_share_of_one_replaces_every_label_by_what_the_model_says(void **state)
{
    (void)state;
    fmq_relabel_stats_t stats;
    fmq_relabel_t self = how(1.0, 1);
    llm_records_t *out = run(&self, &stats);
    assert_int_equal(stats.chosen, RECORDS);
    assert_int_equal(stats.replaced, RECORDS);
    assert_int_equal(replaced(out), (1u << RECORDS) - 1);
    assert_int_equal(f.asked, RECORDS);
    for (size_t i = 0; i < RECORDS; i += 5) {
        char *expected = answer_of(llm_records_at(f.records, i));
        assert_string_equal(llm_records_at(out, i)->output, expected);
        free(expected);
    }
    llm_records_destroy(&out);
}

static void seed_and_client_alone_say_whose_labels(void **state)
{
    (void)state;
    fmq_relabel_stats_t stats;
    fmq_relabel_t self = how(0.5, 1);
    llm_records_t *first = run(&self, &stats), *again = run(&self, &stats);
    assert_int_equal(stats.chosen, RECORDS / 2);
    assert_int_equal(__builtin_popcount(replaced(first)), RECORDS / 2);
    for (size_t i = 0; i < RECORDS; i++)
        assert_string_equal(llm_records_at(first, i)->output, llm_records_at(again, i)->output);
    self = how(0.5, 2);
    llm_records_t *other = run(&self, &stats);
    assert_int_not_equal(replaced(first), replaced(other));
    self.seed = 6;
    self.client = 1;
    llm_records_destroy(&again);
    again = run(&self, &stats);
    assert_int_not_equal(replaced(first), replaced(again));
    llm_records_destroy(&first);
    llm_records_destroy(&again);
    llm_records_destroy(&other);
}

static void where_the_model_says_nothing_the_label_stays_and_is_counted(void **state)
{
    (void)state;
    fmq_relabel_stats_t stats;
    fmq_relabel_t self = how(1.0, 1);
    self.tok_len = 2; /* no prompt fits */
    llm_records_t *out = run(&self, &stats);
    assert_int_equal(stats.chosen, RECORDS);
    assert_int_equal(stats.replaced, 0);
    assert_int_equal(replaced(out), 0);
    llm_records_destroy(&out);

    /* Plain text has no prompt that could be asked. */
    llm_records_t *kept = f.records, *text = llm_records_new();
    llm_records_add(text, &(llm_record_t){"", "", "once upon a time", ""}, NULL);
    f.records = text;
    self = how(1.0, 1);
    out = run(&self, &stats);
    f.records = kept;
    assert_int_equal(stats.replaced, 0);
    assert_string_equal(llm_records_at(out, 0)->output, "once upon a time");
    llm_records_destroy(&out);
    llm_records_destroy(&text);
}

static int at_once(void *argument)
{
    (void)argument;
    return 1;
}

static void it_can_be_stopped_and_gives_its_permit_back(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    fmq_relabel_stats_t stats = {77, 77};
    fmq_relabel_t self = how(1.0, 1);
    f.stop_at = 3;
    assert_null(fmq_relabel_run(&self, f.records, &stats, &err));
    assert_int_equal(err.code, FMQ_ERR_STOPPED);
    assert_int_equal(f.asked, 3);
    assert_int_equal(stats.chosen, 77);

    llm_backend_t *taken = fmq_devices_take(f.permits, NULL, NULL);
    self = how(1.0, 1);
    self.stop = at_once;
    assert_null(fmq_relabel_run(&self, f.records, &stats, &err));
    assert_int_equal(err.code, FMQ_ERR_STOPPED);
    fmq_devices_give(f.permits, &taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_of_nothing_changes_nothing_and_asks_for_no_permit),
        cmocka_unit_test(a_share_of_one_replaces_every_label_by_what_the_model_says),
        cmocka_unit_test(seed_and_client_alone_say_whose_labels),
        cmocka_unit_test(where_the_model_says_nothing_the_label_stays_and_is_counted),
        cmocka_unit_test(it_can_be_stopped_and_gives_its_permit_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
