/*
 * test_pairs.c - products of BF16 pairs with every form of a weight, on shapes
 * beside every panel, block and stretch, against sums in double; the same bytes
 * at any number of threads, and for a row whatever rows are beside it.
 *
 * A machine without the instruction skips.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "gradcheck.h"
#include "llm/backend/cpu/cpu.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define NMSE_MAX     1e-5 /* BF16 rounds at 2^-9: 1.3e-6 for a result, as much for a weight */

/* One product: rows first .. first + count of [out][in], M rows, ragged strides. */
typedef struct {
    size_t M, out, in, first, count;
    llm_matrix_form_t form;
    bool backward, narrow, add;
} product_t;

typedef struct {
    float *weight; /* [out][in], what the matrix stands for */
    float *from, *to, *bias;
    uint16_t *half_from, *half_to;
    size_t from_stride, to_stride;
} data_t;

static float *floats(size_t n, uint64_t seed, bool rounded)
{
    float *values = malloc(n * sizeof *values + 1);
    assert_non_null(values);
    random_floats(values, n, seed);
    for (size_t i = 0; i < n && rounded; i++)
        values[i] = fmq_float_of_bf16(fmq_bf16_of_float(values[i]));
    return values;
}

static uint16_t *halves(const float *values, size_t n)
{
    uint16_t *half = malloc(n * sizeof *half + 1);
    assert_non_null(half);
    for (size_t i = 0; i < n; i++)
        half[i] = fmq_bf16_of_float(values[i]);
    return half;
}

static void data_init(data_t *d, const product_t *p)
{
    d->from_stride = (p->backward ? p->count : p->in) + 3;
    d->to_stride = (p->backward ? p->in : p->count) + 5;
    d->weight = floats(p->out * p->in, 61, false);
    d->from = floats(p->M * d->from_stride, 62, true);
    d->to = floats(p->M * d->to_stride, 63, true);
    d->bias = floats(p->count, 64, false);
    d->half_from = halves(d->from, p->M * d->from_stride);
    d->half_to = halves(d->to, p->M * d->to_stride);
}

static void data_release(data_t *d)
{
    free(d->weight);
    free(d->from);
    free(d->to);
    free(d->bias);
    free(d->half_from);
    free(d->half_to);
}

static llm_matrix_t *matrix_on(llm_backend_t *be, const product_t *p, const data_t *d)
{
    llm_matrix_t *w =
        be->ops->matrix_new_form(be, d->weight, FMQ_F32, p->out, p->in, false, p->form);
    assert_non_null(w);
    return w;
}

/* The product on be, as floats with d's stride; nothing but columns is written. */
static float *result_of(llm_backend_t *be, const llm_matrix_t *w, const product_t *p,
                        const data_t *d)
{
    size_t n = p->M * d->to_stride;
    float *wide = malloc(n * sizeof *wide);
    uint16_t *half = malloc(n * sizeof *half);
    assert_true(wide && half);
    memcpy(wide, d->to, n * sizeof *wide);
    memcpy(half, d->half_to, n * sizeof *half);
    llm_cpu_product_t product = {.first = p->first, .count = p->count, .M = p->M, .add = p->add};
    product.from = (llm_pairs_rows_t){.read = p->narrow ? (const void *)d->half_from : d->from,
                                      .stride = d->from_stride,
                                      .narrow = p->narrow};
    product.to = (llm_pairs_rows_t){
        .write = p->narrow ? (void *)half : wide, .stride = d->to_stride, .narrow = p->narrow};
    product.bias = p->backward || p->add ? NULL : d->bias;
    if (p->backward)
        llm_cpu_pairs_backward(llm_cpu(be), w, &product);
    else
        llm_cpu_pairs_forward(llm_cpu(be), w, &product);
    for (size_t i = 0; i < n && p->narrow; i++)
        wide[i] = fmq_float_of_bf16(half[i]);
    free(half);
    return wide;
}

/* The same in double, of the floats that the matrix stands for. */
static float *expected_of(llm_backend_t *be, const llm_matrix_t *w, const product_t *p,
                          const data_t *d)
{
    float *rows = malloc(p->out * p->in * sizeof *rows);
    float *to = malloc(p->M * d->to_stride * sizeof *to);
    assert_true(rows && to);
    for (size_t o = 0; o < p->out; o++)
        llm_cpu_widen_output(rows + o * p->in, w, o);
    (void)be;
    memcpy(to, d->to, p->M * d->to_stride * sizeof *to);
    size_t columns = p->backward ? p->in : p->count, K = p->backward ? p->count : p->in;
    for (size_t m = 0; m < p->M; m++)
        for (size_t c = 0; c < columns; c++) {
            double sum = 0;
            for (size_t k = 0; k < K; k++)
                sum +=
                    (double)d->from[m * d->from_stride + k] *
                    (double)
                        rows[p->backward ? (p->first + k) * p->in + c : (p->first + c) * p->in + k];
            sum += p->add ? (double)to[m * d->to_stride + c] : 0;
            sum += !p->add && !p->backward ? (double)d->bias[c] : 0;
            to[m * d->to_stride + c] = (float)sum;
        }
    free(rows);
    return to;
}

static void describe(char *text, size_t size, const product_t *p)
{
    snprintf(text, size, "%s of form %d, %zu x %zu + %zu of %zu x %zu, %s%s",
             p->backward ? "backward" : "forward", (int)p->form, p->M, p->first, p->count, p->out,
             p->in, p->narrow ? "narrow" : "wide", p->add ? ", added" : "");
}

static void agrees(llm_backend_t *be, const product_t *p)
{
    char text[160];
    data_t d;
    describe(text, sizeof text, p);
    data_init(&d, p);
    llm_matrix_t *w = matrix_on(be, p, &d);
    float *actual = result_of(be, w, p, &d), *expected = expected_of(be, w, p, &d);
    double error = nmse(actual, expected, p->M * d.to_stride);
    if (!(error <= NMSE_MAX))
        fail_msg("%s: NMSE %g", text, error);
    size_t columns = p->backward ? p->in : p->count;
    for (size_t m = 0; m < p->M; m++)
        if (memcmp(actual + m * d.to_stride + columns, d.to + m * d.to_stride + columns,
                   (d.to_stride - columns) * sizeof(float)) != 0)
            fail_msg("%s: wrote beyond row %zu", text, m);
    free(actual);
    free(expected);
    be->ops->matrix_destroy(be, &w);
    data_release(&d);
}

/* M, out, in, first, count. */
static const size_t shapes[][5] = {
    {1, 1, 1, 0, 1},      {1, 33, 65, 0, 33},     {3, 64, 64, 0, 64},     {8, 70, 130, 31, 35},
    {9, 95, 97, 0, 95},   {14, 128, 128, 32, 64}, {15, 200, 70, 33, 64},  {29, 17, 400, 3, 11},
    {65, 70, 129, 69, 1}, {2, 40, 1700, 0, 40},   {17, 35, 1700, 1, 33},  {40, 1700, 37, 7, 1690},
    {530, 40, 50, 0, 40}, {260, 33, 832, 0, 33},  {5, 3100, 33, 0, 3100}, {16, 63, 31, 8, 40},
};

static product_t product_of(const size_t shape[5])
{
    return (product_t){
        .M = shape[0], .out = shape[1], .in = shape[2], .first = shape[3], .count = shape[4]};
}

static llm_backend_t *cpu_with(unsigned threads)
{
    fmq_error_t err;
    llm_backend_t *be = llm_backend_cpu_new(threads, &err);
    if (!be)
        fail_msg("%s", err.text);
    return be;
}

/* The room for packed rows is as large as it says, and behind it nothing is
 * written: the gradient of a whole vocabulary has the most pairs of all. */
static void a_whole_vocabulary_stays_within_its_room(void **state)
{
    (void)state;
    product_t p = {.M = 128, .out = 50257, .in = 3, .count = 50257, .form = LLM_FORM_BF16};
    p.narrow = p.backward = true;
    llm_backend_t *be = cpu_with(2);
    llm_cpu_t *cpu = llm_cpu(be);
    free(cpu->packed);
    cpu->packed = llm_cpu_allocate(2 * LLM_CPU_PACKED * sizeof(float));
    assert_non_null(cpu->packed);
    for (size_t i = LLM_CPU_PACKED; i < 2 * LLM_CPU_PACKED; i++)
        cpu->packed[i] = 1.5f;
    agrees(be, &p);
    for (size_t i = LLM_CPU_PACKED; i < 2 * LLM_CPU_PACKED; i++)
        assert_true(cpu->packed[i] == 1.5f);
    llm_backend_destroy(&be);
}

static void every_product_agrees_with_sums_in_double(void **state)
{
    (void)state;
    llm_backend_t *be = cpu_with(2);
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (llm_matrix_form_t form = LLM_FORM_F32; form <= LLM_FORM_NF4; form++)
            for (int way = 0; way < 8; way++) {
                product_t p = product_of(shapes[i]);
                p.form = form;
                p.backward = way & 1;
                p.narrow = way & 2;
                p.add = way & 4;
                agrees(be, &p);
            }
    llm_backend_destroy(&be);
}

/* Scales of small groups, and of groups of outputs. */
static void stored_integers_agree_with_sums_in_double(void **state)
{
    (void)state;
    enum { OUT = 96, IN = 192, M = 11 };
    static const size_t groups[] = {4, 32, 48, 64, 128};
    llm_backend_t *be = cpu_with(2);
    uint8_t codes[OUT * IN];
    for (size_t i = 0; i < sizeof codes; i++)
        codes[i] = (uint8_t)((i * 2654435761u) >> 13);
    float *scales = floats(OUT * IN, 65, false);
    for (size_t g = 0; g < COUNT(groups) * 8; g++) {
        llm_quantized_t from = {codes, scales, g & 1 ? 4 : 8, groups[g / 8]};
        product_t p = {M, OUT, IN, 0, OUT, LLM_FORM_INT8, g & 2, true, false};
        data_t d;
        data_init(&d, &p);
        llm_matrix_t *w = be->ops->matrix_new_quantized(be, &from, OUT, IN, g & 4);
        assert_non_null(w);
        float *actual = result_of(be, w, &p, &d), *expected = expected_of(be, w, &p, &d);
        double error = nmse(actual, expected, M * d.to_stride);
        if (!(error <= NMSE_MAX))
            fail_msg("%u bits in groups of %zu%s: NMSE %g", from.bits, from.group,
                     g & 4 ? " outputs" : "", error);
        free(actual);
        free(expected);
        be->ops->matrix_destroy(be, &w);
        data_release(&d);
    }
    free(scales);
    llm_backend_destroy(&be);
}

static void threads_never_show(void **state)
{
    (void)state;
    static const unsigned threads[] = {2, 3, 7};
    llm_backend_t *one = cpu_with(1);
    for (size_t t = 0; t < COUNT(threads); t++) {
        llm_backend_t *many = cpu_with(threads[t]);
        for (size_t i = 0; i < COUNT(shapes) * 10; i++) {
            product_t p = product_of(shapes[i / 10]);
            p.form = (llm_matrix_form_t)(i % 5);
            p.backward = i % 10 > 4;
            data_t d;
            data_init(&d, &p);
            llm_matrix_t *w = matrix_on(one, &p, &d);
            float *a = result_of(one, w, &p, &d), *b = result_of(many, w, &p, &d);
            assert_memory_equal(a, b, p.M * d.to_stride * sizeof *a);
            one->ops->matrix_destroy(one, &w);
            free(a);
            free(b);
            data_release(&d);
        }
        llm_backend_destroy(&many);
    }
    llm_backend_destroy(&one);
}

/* Few rows are summed by other loops than many, to the same bytes. */
static void a_row_is_the_same_whatever_rows_are_beside_it(void **state)
{
    (void)state;
    llm_backend_t *be = cpu_with(2);
    for (llm_matrix_form_t form = LLM_FORM_F32; form <= LLM_FORM_NF4; form++)
        for (int way = 0; way < 4; way++) {
            product_t p = {30, 100, 1000, 5, 90, form, way & 1, way & 2, false};
            data_t d;
            data_init(&d, &p);
            llm_matrix_t *w = matrix_on(be, &p, &d);
            float *all = result_of(be, w, &p, &d);
            for (p.M = 1; p.M < 16; p.M++) {
                float *some = result_of(be, w, &p, &d);
                if (memcmp(all, some, p.M * d.to_stride * sizeof *all) != 0)
                    fail_msg("form %d, %zu rows: other bytes than of 30", (int)form, p.M);
                free(some);
            }
            be->ops->matrix_destroy(be, &w);
            free(all);
            data_release(&d);
        }
    llm_backend_destroy(&be);
}

int main(void)
{
    fmq_error_t err;
    llm_backend_t *probe = llm_backend_cpu_new(1, &err);
    if (!probe || !llm_cpu(probe)->pairs) {
        printf("skipped: this machine has no products of BF16 pairs\n");
        return 77;
    }
    llm_backend_destroy(&probe);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_vocabulary_stays_within_its_room),
        cmocka_unit_test(every_product_agrees_with_sums_in_double),
        cmocka_unit_test(stored_integers_agree_with_sums_in_double),
        cmocka_unit_test(threads_never_show),
        cmocka_unit_test(a_row_is_the_same_whatever_rows_are_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
