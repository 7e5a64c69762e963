/*
 * test_widening.c - widening of every 16-bit pattern.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/backend/half.h"

/* By the definition: sign, exponent, fraction; NaN is left out. */
static double value_of(uint16_t bits, int fraction_bits, int bias)
{
    int exponent_bits = 15 - fraction_bits;
    int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
    double fraction = bits & ((1 << fraction_bits) - 1);
    double unit = ldexp(1.0, -fraction_bits);
    double size = exponent == 0 ? ldexp(fraction * unit, 1 - bias)
                                : ldexp(1.0 + fraction * unit, exponent - bias);
    if (exponent == (1 << exponent_bits) - 1)
        size = INFINITY;
    return bits & 0x8000 ? -size : size;
}

static void every_f16_is_widened_exactly(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float wide = fmq_float_of_f16((uint16_t)bits);
        if ((bits & 0x7c00) == 0x7c00 && (bits & 0x3ff))
            assert_true(isnan(wide));
        else
            assert_true((double)wide == value_of((uint16_t)bits, 10, 15) &&
                        !!signbit(wide) == !!(bits & 0x8000));
    }
}

static void every_bf16_is_widened_exactly(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float wide = fmq_float_of_bf16((uint16_t)bits);
        if ((bits & 0x7f80) == 0x7f80 && (bits & 0x7f))
            assert_true(isnan(wide));
        else
            assert_true((double)wide == value_of((uint16_t)bits, 7, 127) &&
                        !!signbit(wide) == !!(bits & 0x8000));
    }
}

static void a_stretch_is_widened_like_its_elements(void **state)
{
    (void)state;
    static const fmq_dtype_t dtypes[] = {FMQ_F32, FMQ_F16, FMQ_BF16};
    _Alignas(4) uint16_t data[64];
    for (size_t i = 0; i < 64; i++)
        data[i] = (uint16_t)(i * 409);
    for (size_t d = 0; d < 3; d++) {
        float wide[20];
        llm_floats_at(wide, data, dtypes[d], 5, 20);
        for (size_t i = 0; i < 20; i++)
            assert_true(wide[i] == llm_float_at(data, dtypes[d], 5 + i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_is_widened_exactly),
        cmocka_unit_test(every_bf16_is_widened_exactly),
        cmocka_unit_test(a_stretch_is_widened_like_its_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
