/*
 * test_quantization.c - weights at 8 and 4 bits: how far off they are, how
 * they are stored, and emulators made of them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "llm/offsite/quantize.h"
#include "tests/llm/offsite/workshop.h"

#define UP_SIZE (20 * 16) /* of small_shape("llama") */

static int code_at(const uint8_t *codes, uint64_t columns, uint32_t bits, uint64_t row, uint64_t i)
{
    if (bits == 8)
        return codes[row * columns + i];
    return codes[row * (columns / 2) + i / 2] >> (4 * (i % 2)) & 15;
}

static void check_bound(uint64_t rows, uint64_t columns, llm_quantization_t how)
{
    uint64_t groups = llm_quantization_groups(&how, columns);
    float *values = malloc(rows * columns * sizeof *values);
    uint8_t *codes = malloc(rows * columns);
    float *scales = malloc(rows * groups * sizeof *scales);
    for (uint64_t i = 0; i < rows * columns; i++)
        values[i] = (float)((double)((i * 2654435761u) % 2001) / 1000.0 - 1.0);
    assert_int_equal(llm_quantize(values, rows, columns, &how, codes, scales), 0);
    for (uint64_t r = 0; r < rows; r++) {
        for (uint64_t i = 0; i < columns; i++) {
            float scale = scales[r * groups + i / how.group];
            int code = code_at(codes, columns, how.bits, r, i);
            float back = (float)(code - (1 << (how.bits - 1))) * scale;
            assert_true(code > 0); /* symmetric: -2^(bits-1) is not used */
            assert_true(fabsf(back - values[r * columns + i]) <= 0.5001f * scale);
        }
    }
    free(values);
    free(codes);
    free(scales);
}

static void no_weight_is_off_by_more_than_half_a_scale(void **state)
{
    (void)state;
    const uint32_t bits[] = {8, 4}, groups[] = {1, 16, 64, 1024};
    for (size_t b = 0; b < 2; b++) {
        for (size_t g = 0; g < 4; g++) {
            check_bound(3, 100, (llm_quantization_t){bits[b], groups[g]});
            check_bound(7, 64, (llm_quantization_t){bits[b], groups[g]});
            check_bound(1, 2, (llm_quantization_t){bits[b], groups[g]});
        }
    }
}

static void a_scale_is_the_largest_magnitude_of_its_group(void **state)
{
    (void)state;
    const float values[] = {1.1f, -2.0f, 0.0f, 14.0f, 0.0f, 0.0f, 7.0f, -7.0f};
    uint8_t codes[4];
    float scales[4];
    assert_int_equal(llm_quantize(values, 1, 8, &(llm_quantization_t){4, 2}, codes, scales), 0);
    assert_true(scales[0] == 2.0f / 7.0f && scales[1] == 2.0f);
    assert_true(scales[2] == 0.0f && scales[3] == 1.0f);
    /* 1.1 / (2 / 7) = 3.85; low half first. */
    assert_memory_equal(codes,
                        ((const uint8_t[]){12 | 1 << 4, 8 | 15 << 4, 8 | 8 << 4, 15 | 1 << 4}), 4);
}

static void numbers_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        float values[] = {1.0f, bad[i], 2.0f, 3.0f};
        uint8_t codes[4];
        float scales[2];
        assert_int_equal(llm_quantize(values, 1, 4, &(llm_quantization_t){8, 2}, codes, scales),
                         -1);
    }
}

static llm_emulator_spec_t quantized(uint32_t bits, uint32_t group)
{
    llm_emulator_spec_t spec = small_spec(1, 3, 0.0);
    spec.strategy = LLM_QUANTIZATION;
    spec.bits = bits;
    spec.group = group;
    return spec;
}

static double distance(const float *a, const float *b, size_t count)
{
    double sum = 0.0, square = 0.0;
    for (size_t i = 0; i < count; i++) {
        double away = (double)a[i] - (double)b[i];
        sum += away * away;
        square += (double)b[i] * (double)b[i];
    }
    return sqrt(sum / square);
}

static void check_close(const llm_offsite_t *offsite, const char *name, size_t count, double most)
{
    float *theirs = workshop_read(offsite->teacher, 1, name, count);
    float *mine = workshop_read(offsite->student, 1, name, count);
    double away = distance(mine, theirs, count);
    if (!(away > 0.0 && away < most))
        fail_msg("'%s' is %g from the teacher's", name, away);
    free(theirs);
    free(mine);
}

static void an_emulator_has_all_layers_in_few_bits(void **state)
{
    (void)state;
    const struct {
        const char *family, *up;
        uint32_t bits;
        size_t count;
        double most;
    } cases[] = {{"llama", "mlp.up_proj.weight", 8, UP_SIZE, 0.01},
                 {"llama", "mlp.up_proj.weight", 4, UP_SIZE, 0.2},
                 {"gpt2", "mlp.c_fc.weight", 8, 16 * 24, 0.01},
                 {"gpt2", "mlp.c_fc.weight", 4, 16 * 24, 0.2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        workshop_t shop;
        workshop_open(&shop, cases[i].family, 4, NULL);
        llm_emulator_spec_t spec = quantized(cases[i].bits, 16);
        llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
        const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
        assert_int_equal(llm_model_shape(offsite->student)->layers, 4);
        assert_int_equal(workshop_files(&shop), 2);
        check_close(offsite, cases[i].up, cases[i].count, cases[i].most);
        double teacher = small_model_loss(shop.small.model, shop.small.be);
        double student = small_model_loss(offsite->student, shop.small.be);
        assert_true(student != teacher && fabs(student - teacher) < 0.02 * teacher);
        llm_emulator_destroy(&emulator);
        workshop_close(&shop);
    }
}

static void fewer_bits_make_smaller_files(void **state)
{
    (void)state;
    uint64_t bytes[2];
    for (uint32_t i = 0; i < 2; i++) {
        workshop_t shop;
        workshop_open(&shop, "llama", 4, NULL);
        llm_emulator_spec_t spec = quantized(i ? 4 : 8, 16);
        llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
        bytes[i] = workshop_bytes(&shop);
        llm_emulator_destroy(&emulator);
        workshop_close(&shop);
    }
    uint64_t weights = 2 * (16 * 16 + 2 * 8 * 16 + 16 * 16 + 3 * UP_SIZE);
    assert_in_range(bytes[0] - bytes[1], weights / 2, weights / 2 + 64);
}

static void files_are_found_again_and_other_numbers_make_other_files(void **state)
{
    (void)state;
    workshop_t shop;
    workshop_open(&shop, "llama", 4, NULL);
    llm_emulator_spec_t spec = quantized(8, 16);
    llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
    uint64_t times = workshop_times(&shop);
    llm_emulator_t *again = small_emulator(&shop.small, &spec, &shop.how);
    assert_int_equal(workshop_times(&shop), times);
    small_assert_same_digest(llm_emulator_offsite(emulator)->student,
                             llm_emulator_offsite(again)->student);
    llm_emulator_destroy(&again);
    spec.group = 8;
    again = small_emulator(&shop.small, &spec, &shop.how);
    assert_int_equal(workshop_files(&shop), 4);
    llm_emulator_destroy(&again);
    llm_emulator_destroy(&emulator);
    workshop_close(&shop);
}

static void break_weight(const char *name, float *values, uint64_t rows, uint64_t columns)
{
    (void)rows, (void)columns;
    if (strcmp(name, "model.layers.2.mlp.up_proj.weight") == 0)
        values[7] = NAN;
}

static void a_weight_that_cannot_be_quantized_is_named(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    workshop_t shop;
    workshop_open(&shop, "llama", 4, break_weight);
    llm_emulator_spec_t spec = quantized(8, 16);
    assert_null(llm_emulator_new(shop.small.model, &spec, &shop.how, &err));
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    assert_non_null(strstr(err.text, "model.layers.2.mlp.up_proj.weight"));
    assert_int_equal(workshop_files(&shop), 1); /* layer 1 is whole; nothing is half written */
    workshop_close(&shop);
}

static int stop_after_one(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    (void)tokens;
    assert_int_equal(steps, 2);
    *(uint64_t *)argument = step;
    return step == 1;
}

static void making_can_be_stopped_and_goes_on_where_it_was(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    workshop_t shop;
    uint64_t step = 0;
    workshop_open(&shop, "gpt2", 4, NULL);
    llm_emulator_spec_t spec = quantized(4, 64);
    shop.how.progress = stop_after_one;
    shop.how.argument = &step;
    assert_null(llm_emulator_new(shop.small.model, &spec, &shop.how, &err));
    assert_int_equal(err.code, FMQ_ERR_STOPPED);
    assert_int_equal(step, 1);
    assert_int_equal(workshop_files(&shop), 1);
    shop.how.progress = NULL;
    llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
    assert_int_equal(workshop_files(&shop), 2);
    llm_emulator_destroy(&emulator);
    workshop_close(&shop);
}

static void groups_that_are_no_power_of_two_are_refused(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    workshop_t shop;
    workshop_open(&shop, "llama", 4, NULL);
    llm_emulator_spec_t spec = quantized(8, 48);
    assert_null(llm_emulator_new(shop.small.model, &spec, &shop.how, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(err.text, "groups of 48"));
    workshop_close(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_weight_is_off_by_more_than_half_a_scale),
        cmocka_unit_test(a_scale_is_the_largest_magnitude_of_its_group),
        cmocka_unit_test(numbers_that_are_not_finite_are_refused),
        cmocka_unit_test(an_emulator_has_all_layers_in_few_bits),
        cmocka_unit_test(fewer_bits_make_smaller_files),
        cmocka_unit_test(files_are_found_again_and_other_numbers_make_other_files),
        cmocka_unit_test(a_weight_that_cannot_be_quantized_is_named),
        cmocka_unit_test(making_can_be_stopped_and_goes_on_where_it_was),
        cmocka_unit_test(groups_that_are_no_power_of_two_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
