/*
 * test_half_kernels.c - the kernels of BF16 activations, for every instruction
 * set that this machine has: conversions to the bit, packings element by
 * element, tiles against sums in double.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "llm/backend/cpu/cpu.h"

#define WIDTH 64 /* at least any instruction set's */

static const llm_cpu_half_kernels_t *half; /* under test */

static uint32_t next_number(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state;
}

/* Small numbers that BF16 holds. */
static void fill(uint16_t *to, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++)
        to[i] = fmq_bf16_of_float((float)(int32_t)next_number(&seed) * 0x1p-31f);
}

static void every_half_is_widened_exactly(void **state)
{
    (void)state;
    static uint16_t from[65536];
    static float to[65536];
    for (uint32_t i = 0; i < 65536; i++)
        from[i] = (uint16_t)i;
    half->widen(to, from, 65536);
    for (uint32_t i = 0; i < 65536; i++)
        assert_int_equal(fmq_bits_of_float(to[i]), i << 16);
}

static void floats_are_narrowed_by_the_rule_of_the_house(void **state)
{
    (void)state;
    enum { N = 1 << 16 };
    static float from[N];
    static uint16_t to[N];
    static const uint32_t tails[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1234, 0xfedc};
    for (size_t t = 0; t < sizeof tails / sizeof tails[0]; t++) {
        for (uint32_t i = 0; i < N; i++)
            from[i] = fmq_float_of_bits(i << 16 | tails[t]);
        half->narrow(to, from, N);
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(to[i], fmq_bf16_of_float(from[i]));
    }
}

static void nothing_is_touched_behind_an_odd_end(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++) {
        float wide[72], from[72];
        uint16_t narrow[72], halves[72];
        for (size_t i = 0; i < 72; i++) {
            wide[i] = from[i] = 7.0f;
            narrow[i] = halves[i] = 0x3f80;
        }
        half->widen(wide, halves, n);
        half->narrow(narrow, from, n);
        for (size_t i = 0; i < 72; i++) {
            assert_true(wide[i] == (i < n ? 1.0f : 7.0f));
            assert_int_equal(narrow[i], i < n ? 0x40e0 : 0x3f80);
        }
    }
}

static void rows_are_packed_in_pairs(void **state)
{
    (void)state;
    enum { LD = 67 };
    uint16_t from[9 * LD], to[5 * WIDTH * 2];
    fill(from, 9 * LD, 1);
    for (size_t rows = 1; rows <= 9; rows++)
        for (size_t columns = 1; columns <= half->width; columns++) {
            memset(to, 0xff, sizeof to);
            half->pack_pairs(to, from, LD, rows, columns);
            for (size_t r = 0; r < (rows + 1) / 2 * 2; r++)
                for (size_t c = 0; c < half->width; c++)
                    assert_int_equal(to[r / 2 * 2 * half->width + 2 * c + r % 2],
                                     r < rows && c < columns ? from[r * LD + c] : 0);
        }
}

static void rows_are_turned_in_pairs(void **state)
{
    (void)state;
    enum { LD = 41, LDT = 74, ROWS = 70 };
    static uint16_t from[ROWS * LD], to[40 * LDT];
    fill(from, ROWS * LD, 2);
    for (size_t rows = 1; rows <= ROWS; rows += 3)
        for (size_t columns = 1; columns <= 40; columns += 13) {
            memset(to, 0xff, sizeof to);
            half->turn_pairs(to, LDT, from, LD, rows, columns);
            for (size_t c = 0; c < columns; c++) {
                for (size_t r = 0; r < (rows + 1) / 2 * 2; r++)
                    assert_int_equal(to[c * LDT + r], r < rows ? from[r * LD + c] : 0);
                assert_int_equal(to[c * LDT + (rows + 1) / 2 * 2], 0xffff);
            }
        }
}

static void check_tile(size_t rows, size_t columns, size_t pairs, bool add)
{
    enum { LD = 130, PAIRS = 65 };
    uint16_t a[14 * LD], b[PAIRS * WIDTH * 2];
    float acc[14 * WIDTH];
    fill(a, 14 * LD, 3);
    fill(b, PAIRS * WIDTH * 2, 4);
    for (size_t i = 0; i < 14 * WIDTH; i++)
        acc[i] = 0.25f;
    llm_cpu_pair_tile_t tile = {a, LD, b, rows, columns, pairs, add};
    half->tile(acc, &tile);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            double sum = add ? 0.25 : 0, size = 0.25;
            for (size_t k = 0; k < 2 * pairs; k++) {
                double x = (double)fmq_float_of_bf16(a[r * LD + k]);
                double y = (double)fmq_float_of_bf16(b[k / 2 * 2 * half->width + 2 * c + k % 2]);
                sum += x * y;
                size += fabs(x * y);
            }
            assert_true(fabs((double)acc[r * half->width + c] - sum) < 1e-6 * size);
        }
}

static void a_tile_is_a_sum_over_pairs(void **state)
{
    (void)state;
    for (size_t rows = 1; rows <= half->tile_rows; rows++) {
        check_tile(rows, half->width, 1, false);
        check_tile(rows, half->width, 32, true);
        check_tile(rows, 1, 65, false);
        check_tile(rows, half->width / 2, 7, true);
    }
    check_tile(1, 1, 0, false);
    check_tile(half->tile_rows, half->width, 0, true);
}

static void probabilities_of_a_row_are_masked_and_rounded(void **state)
{
    (void)state;
    enum { KEYS = 150 };
    float s[3 * WIDTH * KEYS] = {0}, sum;
    uint16_t p[KEYS + 2 * WIDTH];
    size_t width = half->width;
    for (size_t count = 1; count <= KEYS; count += 7) {
        for (size_t j = 0; j < KEYS; j++)
            s[j / width * 3 * width + j % width] = (float)(j % 11) - (j < count ? 0.0f : -100.0f);
        memset(p, 0xff, sizeof p);
        float largest = half->softmax_row(p, s, 3 * width, count, KEYS - 1, 0.5f, &sum);
        double whole = 0;
        assert_true(largest == 0.5f * (float)(count > 10 ? 10 : count - 1));
        for (size_t j = 0; j < count; j++) {
            double e = exp(0.5 * (double)(j % 11) - (double)largest);
            whole += e;
            assert_true(fabs((double)fmq_float_of_bf16(p[j]) - e) <= 0x1.02p-8 * e);
        }
        for (size_t j = count; j < KEYS; j++)
            assert_int_equal(p[j], 0);
        assert_true(fabs((double)sum - whole) < 1e-5 * whole);
    }
}

/* Keys whose scores overflow to -inf, a stretch of them and more, beside one that does not. */
static void a_stretch_without_a_finite_score_has_no_share(void **state)
{
    (void)state;
    enum { D = 40, KEYS = LLM_HALF_KEYS, PARTS = 2 };
    static uint16_t q[D], k[PARTS * KEYS * D], v[PARTS * KEYS * D], out[D];
    float sums[PARTS * D], most[PARTS], mass[PARTS];
    for (size_t d = 0; d < D; d++)
        q[d] = fmq_bf16_of_float(1e30f);
    for (size_t i = 0; i < PARTS * KEYS * D; i++) {
        k[i] = fmq_bf16_of_float(i / D == KEYS + 3 ? 0.0f : -1e30f);
        v[i] = fmq_bf16_of_float((float)(i / D));
    }
    for (size_t p = 0; p < PARTS; p++) {
        llm_cpu_attend_t a = {.q = q, .ld = D, .queries = 1, .D = D, .scale = 0.5f, .step = 1};
        a.k = k + p * KEYS * D;
        a.v = v + p * KEYS * D;
        a.count = p ? KEYS - 1 : KEYS;
        a.sums = sums + p * D;
        a.most = most + p;
        a.mass = mass + p;
        half->attend(&a);
    }
    assert_true(mass[0] == 0.0f && mass[1] == 1.0f);
    half->put_together(out, sums, D, most, mass, PARTS, D);
    for (size_t d = 0; d < D; d++)
        assert_int_equal(out[d], fmq_bf16_of_float(KEYS + 3));
}

int main(void)
{
    static const char *const variants[] = {"avx512bf16", "avx512", "avx2", "portable"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_widened_exactly),
        cmocka_unit_test(floats_are_narrowed_by_the_rule_of_the_house),
        cmocka_unit_test(nothing_is_touched_behind_an_odd_end),
        cmocka_unit_test(rows_are_packed_in_pairs),
        cmocka_unit_test(rows_are_turned_in_pairs),
        cmocka_unit_test(a_tile_is_a_sum_over_pairs),
        cmocka_unit_test(probabilities_of_a_row_are_masked_and_rounded),
        cmocka_unit_test(a_stretch_without_a_finite_score_has_no_share),
    };
    int failed = 0;
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
        setenv("FEDMQ_CPU", variants[v], 1);
        fmq_error_t err;
        llm_backend_t *be = llm_backend_cpu_new(1, &err);
        if (!be) {
            printf("skipped: %s\n", err.text);
            continue;
        }
        half = llm_cpu(be)->half;
        failed += strcmp(half->name, variants[v]) != 0;
        failed += cmocka_run_group_tests_name(half->name, tests, NULL, NULL);
        llm_backend_destroy(&be);
    }
    return failed;
}
