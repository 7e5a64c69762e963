/*
 * test_real.c - the elementary functions that runs depend on: as near as the C
 * library's, like them at the edges, and with the bits that were recorded.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/real.h"
#include "fedmq/base/rng.h"

#define TRIES 20000

/* Distance in units of the last place of the expected value. */
static double units(double actual, double expected)
{
    int exponent;
    frexp(expected, &exponent);
    return fabs(actual - expected) / fmax(ldexp(DBL_EPSILON / 2, exponent), 0x1p-1074);
}

static void check(const char *name, double x, double actual, double expected, double most)
{
    if (!(units(actual, expected) <= most))
        fail_msg("%s(%a) is %a, expected about %a", name, x, actual, expected);
}

static fmq_rng_t stream(void)
{
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = 5, .purpose = FMQ_RNG_TEST});
    return rng;
}

static void values_are_those_of_the_c_library_to_about_a_unit(void **state)
{
    (void)state;
    fmq_rng_t rng = stream();
    for (int i = 0; i < TRIES; i++) {
        double x = fmq_rng_uniform(&rng) * 2 - 1;
        double positive = ldexp(x + 1.0000001, (int)fmq_rng_below(&rng, 2000) - 1000);
        check("log", positive, fmq_log(positive), log(positive), 2);
        check("log", 1 + x / 8, fmq_log(1 + x / 8), log(1 + x / 8), 2);
        check("exp", x * 700, fmq_exp(x * 700), exp(x * 700), 2);
        check("exp", x, fmq_exp(x), exp(x), 2);
        check("sin", x * 4, fmq_sin(x * 4), sin(x * 4), 2);
        check("cos", x * 4, fmq_cos(x * 4), cos(x * 4), 2);
        check("sin", x * 1e5, fmq_sin(x * 1e5), sin(x * 1e5), 2);
        check("cos", x * 1e5, fmq_cos(x * 1e5), cos(x * 1e5), 2);
        check("pow", x, fmq_pow(x + 1.5, x), pow(x + 1.5, x), 4);
        check("pow", x, fmq_pow(10000, x / 2), pow(10000, x / 2), 12);
    }
}

static void whole_powers_are_exact_where_they_fit(void **state)
{
    (void)state;
    assert_true(fmq_pow(0.999, 1) == 0.999);
    assert_true(fmq_pow(3, 33) == 5559060566555523.0);
    assert_true(fmq_pow(-2, 5) == -32 && fmq_pow(-2, -2) == 0.25);
    assert_true(fmq_pow(0.5, 1074) == 0x1p-1074);
    check("pow", 0.999, fmq_pow(0.999, 10000), pow(0.999, 10000), 10000);
}

/* The same at the edges: NaN, infinities, zeros with their sign. */
static bool alike(double a, double b)
{
    if (isnan(b) || isinf(b) || b == 0)
        return isnan(b) ? isnan(a) : a == b && !signbit(a) == !signbit(b);
    return units(a, b) <= 1000; /* nearness is measured above */
}

static void edges_are_those_of_the_c_library(void **state)
{
    (void)state;
    static const double edges[] = {0.0, -0.0,  1.0,    -1.0,     0.5,       -0.5, 2.0,      3.0,
                                   -3,  1e300, -1e300, INFINITY, -INFINITY, NAN,  0x1p-1074};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        double x = edges[i];
        assert_true(alike(fmq_log(x), log(x)));
        assert_true(alike(fmq_exp(x), exp(x)));
        if (!(fabs(x) > 1e8) || isinf(x))
            assert_true(alike(fmq_sin(x), sin(x)) && alike(fmq_cos(x), cos(x)));
        for (size_t j = 0; j < sizeof edges / sizeof edges[0]; j++)
            if (!alike(fmq_pow(x, edges[j]), pow(x, edges[j])))
                fail_msg("pow(%a, %a) is %a", x, edges[j], fmq_pow(x, edges[j]));
    }
    assert_true(fabs(fmq_cos(1e200)) <= 1 && fabs(fmq_sin(-1e17)) <= 1);
}

static void bits_are_those_that_were_recorded(void **state)
{
    (void)state;
    fmq_rng_t rng = stream();
    uint64_t sum = 0;
    for (int i = 0; i < TRIES; i++) {
        double x = fmq_rng_uniform(&rng);
        double values[] = {fmq_log(x), fmq_exp(x), fmq_sin(9 * x), fmq_cos(9 * x), fmq_pow(x, .7)};
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
            uint64_t bits;
            memcpy(&bits, &values[j], sizeof bits);
            sum = (sum ^ bits) * UINT64_C(0x100000001b3);
        }
    }
    assert_int_equal(sum, UINT64_C(0x622a68ca07fa72e5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_c_library_to_about_a_unit),
        cmocka_unit_test(whole_powers_are_exact_where_they_fit),
        cmocka_unit_test(edges_are_those_of_the_c_library),
        cmocka_unit_test(bits_are_those_that_were_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
