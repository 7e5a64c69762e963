/*
 * test_half.c - every F16 and BF16 there and back, and rounding on the way.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/hub/half.h"

typedef void widen_t(const void *in, size_t count, float *out);
typedef void narrow_t(const float *in, size_t count, void *out);

static void round_trip(widen_t *widen, narrow_t *narrow)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        uint16_t half = (uint16_t)bits, again;
        float value;
        widen(&half, 1, &value);
        narrow(&value, 1, &again);
        if (isnan(value)) {
            float still;
            widen(&again, 1, &still);
            assert_true(isnan(still));
        } else {
            assert_int_equal(again, half);
        }
    }
}

static uint16_t f16_of(float value)
{
    uint16_t half;
    llm_half_to_f16(&value, 1, &half);
    return half;
}

static uint16_t bf16_of(float value)
{
    uint16_t half;
    llm_half_to_bf16(&value, 1, &half);
    return half;
}

static void every_f16_survives_widening(void **state)
{
    (void)state;
    round_trip(llm_half_from_f16, llm_half_to_f16);
}

static void every_bf16_survives_widening(void **state)
{
    (void)state;
    round_trip(llm_half_from_bf16, llm_half_to_bf16);
}

static void f16_values_are_those_of_the_standard(void **state)
{
    (void)state;
    static const struct {
        uint16_t half;
        float value;
    } pairs[] = {{0x3c00, 1},           {0xc000, -2},       {0x7bff, 65504},
                 {0x0400, 0x1p-14f},    {0x0001, 0x1p-24f}, {0x03ff, 0x1.ff8p-15f},
                 {0x3555, 0.33325195f}, {0x7c00, INFINITY}, {0x8000, -0.0f}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        float value;
        llm_half_from_f16(&pairs[i].half, 1, &value);
        assert_memory_equal(&value, &pairs[i].value, sizeof value);
    }
}

static void narrowing_rounds_ties_to_even_and_overflows_to_infinity(void **state)
{
    (void)state;
    assert_int_equal(f16_of(1 + 0x1p-11f), 0x3c00);
    assert_int_equal(f16_of(1 + 3 * 0x1p-11f), 0x3c02);
    assert_int_equal(f16_of(1 + 0x1p-11f + 0x1p-20f), 0x3c01);
    assert_int_equal(f16_of(65519.0f), 0x7bff);
    assert_int_equal(f16_of(65520.0f), 0x7c00);
    assert_int_equal(f16_of(-1e30f), 0xfc00);
    assert_int_equal(f16_of(0x1p-25f), 0);
    assert_int_equal(f16_of(0x1.8p-25f), 1);
    assert_int_equal(f16_of(0x1.ffep-15f), 0x0400); /* a carry out of the subnormals */
    assert_int_equal(bf16_of(1 + 0x1p-8f), 0x3f80);
    assert_int_equal(bf16_of(1 + 3 * 0x1p-8f), 0x3f82);
    assert_int_equal(bf16_of(3.4e38f), 0x7f80);
}

static void buffers_need_no_alignment(void **state)
{
    (void)state;
    unsigned char bytes[9] = {0};
    static const uint16_t halves[4] = {0x3c00, 0x4000, 0x4200, 0x4400};
    memcpy(bytes + 1, halves, sizeof halves);
    float out[4];
    llm_half_from_f16(bytes + 1, 4, out);
    for (int i = 0; i < 4; i++)
        assert_true(out[i] == (float)(i + 1));
    llm_half_to_bf16(out, 4, bytes + 1);
    llm_half_from_bf16(bytes + 1, 4, out);
    assert_true(out[3] == 4.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_survives_widening),
        cmocka_unit_test(every_bf16_survives_widening),
        cmocka_unit_test(f16_values_are_those_of_the_standard),
        cmocka_unit_test(narrowing_rounds_ties_to_even_and_overflows_to_infinity),
        cmocka_unit_test(buffers_need_no_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
