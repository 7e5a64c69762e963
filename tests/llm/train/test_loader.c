/*
 * test_loader.c - packed batches: what lies where, what is supervised, which
 * order an epoch has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm/train/loader.h"
#include "tests/llm/data/byte_tokenizer.h"

/* size examples; the answer of example i is "<i>" and i % 5 dots. */
static llm_dataset_t *make_dataset(size_t size)
{
    llm_records_t *records = llm_records_new();
    for (size_t i = 0; i < size; i++) {
        char answer[32];
        int used = snprintf(answer, sizeof answer, "%zu", i);
        for (size_t k = 0; k < i % 5; k++)
            answer[used++] = '.';
        answer[used] = '\0';
        assert_int_equal(
            llm_records_add(records, &(llm_record_t){.instruction = "i", .output = answer}, NULL),
            0);
    }
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *dataset = llm_dataset_new(records, NULL, &tokenizer, 1000, NULL);
    assert_non_null(dataset);
    llm_records_destroy(&records);
    return dataset;
}

/* The number that example `sequence` of a batch carries in its answer. */
static size_t number_of(const llm_batch_t *batch, size_t sequence)
{
    size_t number = 0;
    bool digits = false;
    for (size_t i = 0; i < batch->supervised; i++) {
        uint32_t row = (uint32_t)batch->rows[i];
        if (row < batch->starts[sequence] || row >= batch->starts[sequence + 1])
            continue;
        if (batch->targets[i] >= '0' && batch->targets[i] <= '9') {
            number = 10 * number + (size_t)(batch->targets[i] - '0');
            digits = true;
        }
    }
    assert_true(digits);
    return number;
}

static void a_batch_lies_without_gaps_and_supervises_the_answers(void **state)
{
    (void)state;
    llm_dataset_t *dataset = make_dataset(7);
    llm_loader_t *loader = llm_loader_new(dataset, 3, NULL);
    llm_batch_t batch;
    static const size_t sizes[] = {3, 3, 1, 0, 0};
    for (size_t b = 0; b < 5; b++) {
        assert_int_equal(llm_loader_pack(loader, b, &batch), sizes[b]);
        assert_int_equal(batch.sequences, sizes[b]);
        assert_int_equal(batch.starts[0], 0);
        size_t supervised = 0;
        for (size_t s = 0; s < sizes[b]; s++) {
            llm_example_t example = llm_dataset_at(dataset, 3 * b + s);
            uint32_t begin = batch.starts[s];
            assert_int_equal(batch.starts[s + 1] - begin, example.size);
            assert_memory_equal(batch.ids + begin, example.ids, example.size * sizeof(int32_t));
            for (uint32_t t = example.prompt; t < example.size; t++, supervised++) {
                assert_int_equal(batch.rows[supervised], begin + t - 1);
                assert_int_equal(batch.targets[supervised], example.ids[t]);
            }
            assert_int_equal(batch.targets[supervised - 1], BYTE_EOS);
        }
        assert_int_equal(batch.supervised, supervised);
    }
    llm_loader_destroy(&loader);
    llm_loader_destroy(&loader); /* does nothing */
    llm_dataset_destroy(&dataset);
}

static void a_block_of_text_supervises_all_but_its_first_token(void **state)
{
    (void)state;
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *dataset = llm_dataset_new_text("abcdefg", 7, &tokenizer, 4, NULL);
    llm_loader_t *loader = llm_loader_new(dataset, 8, NULL);
    llm_batch_t batch;
    assert_int_equal(llm_loader_pack(loader, 0, &batch), 2);
    static const int32_t rows[] = {0, 1, 2, 4, 5, 6}, targets[] = {'a', 'b', 'c', 'e', 'f', 'g'};
    assert_int_equal(batch.supervised, 6);
    assert_memory_equal(batch.rows, rows, sizeof rows);
    assert_memory_equal(batch.targets, targets, sizeof targets);
    llm_loader_destroy(&loader);
    llm_dataset_destroy(&dataset);
}

/* The numbers of an epoch in the order met. */
static void read_epoch(llm_loader_t *loader, size_t batches, size_t *numbers)
{
    llm_batch_t batch;
    size_t at = 0;
    for (size_t b = 0; b < batches; b++) {
        size_t size = llm_loader_pack(loader, b, &batch);
        for (size_t s = 0; s < size; s++)
            numbers[at++] = number_of(&batch, s);
    }
}

static void an_epoch_meets_every_example_once_in_an_order_of_its_own(void **state)
{
    (void)state;
    llm_dataset_t *dataset = make_dataset(50);
    llm_loader_t *loader = llm_loader_new(dataset, 8, NULL);
    const fmq_rng_name_t names[] = {
        {.seed = 1, .purpose = FMQ_RNG_SHUFFLE, .client = 1, .round = 0, .step = 0},
        {.seed = 1, .purpose = FMQ_RNG_SHUFFLE, .client = 1, .round = 0, .step = 1},
        {.seed = 1, .purpose = FMQ_RNG_SHUFFLE, .client = 1, .round = 1, .step = 0},
        {.seed = 1, .purpose = FMQ_RNG_SHUFFLE, .client = 2, .round = 0, .step = 0},
        {.seed = 2, .purpose = FMQ_RNG_SHUFFLE, .client = 1, .round = 0, .step = 0},
    };
    size_t orders[5][50], again[50];
    for (size_t i = 0; i < 5; i++) {
        llm_loader_arrange(loader, &names[i]);
        read_epoch(loader, 7, orders[i]);
        unsigned char seen[50] = {0};
        for (size_t k = 0; k < 50; k++)
            assert_int_equal(seen[orders[i][k]]++, 0);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(orders[i], orders[k], sizeof again);
    }
    llm_loader_arrange(loader, &names[2]);
    read_epoch(loader, 7, again);
    assert_memory_equal(again, orders[2], sizeof again);
    llm_loader_arrange(loader, NULL);
    read_epoch(loader, 7, again);
    for (size_t k = 0; k < 50; k++)
        assert_int_equal(again[k], k);
    llm_loader_destroy(&loader);
    llm_dataset_destroy(&dataset);
}

static void the_largest_batch_is_known_beforehand(void **state)
{
    (void)state;
    llm_dataset_t *dataset = make_dataset(23);
    size_t limit = llm_train_tokens_max(dataset, 5), largest = 0;
    llm_loader_t *loader = llm_loader_new(dataset, 5, NULL);
    for (uint32_t epoch = 0; epoch < 200; epoch++) {
        llm_loader_arrange(loader, &(fmq_rng_name_t){.purpose = FMQ_RNG_SHUFFLE, .step = epoch});
        llm_batch_t batch;
        for (size_t b = 0; llm_loader_pack(loader, b, &batch) > 0; b++) {
            assert_true(batch.starts[batch.sequences] <= limit);
            largest =
                batch.starts[batch.sequences] > largest ? batch.starts[batch.sequences] : largest;
        }
    }
    assert_true(largest + 3 >= limit); /* the bound is met, or nearly */
    llm_loader_destroy(&loader);
    llm_dataset_destroy(&dataset);
}

static void a_batch_size_of_zero_is_refused(void **state)
{
    (void)state;
    llm_dataset_t *dataset = make_dataset(3);
    fmq_error_t err;
    assert_null(llm_loader_new(dataset, 0, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    llm_dataset_destroy(&dataset);
}

static void a_batch_size_beyond_the_data_makes_one_batch(void **state)
{
    (void)state;
    llm_dataset_t *dataset = make_dataset(3);
    llm_loader_t *loader = llm_loader_new(dataset, UINT32_MAX, NULL);
    llm_batch_t batch;
    assert_int_equal(llm_loader_pack(loader, 0, &batch), 3);
    assert_int_equal(llm_loader_pack(loader, 1, &batch), 0);
    llm_loader_destroy(&loader);
    llm_dataset_destroy(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_lies_without_gaps_and_supervises_the_answers),
        cmocka_unit_test(a_block_of_text_supervises_all_but_its_first_token),
        cmocka_unit_test(an_epoch_meets_every_example_once_in_an_order_of_its_own),
        cmocka_unit_test(the_largest_batch_is_known_beforehand),
        cmocka_unit_test(a_batch_size_of_zero_is_refused),
        cmocka_unit_test(a_batch_size_beyond_the_data_makes_one_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
