/*
 * cases_quantized.c - products with weights of small integers and of narrow
 * forms: bits, groups and orders beside every panel and stretch; each against
 * the matrix of the floats that the weights stand for, to the byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "cases.h"
#include "gradcheck.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A weight in both forms. */
typedef struct {
    size_t out, in, rows, columns;
    bool input_major;
    llm_quantized_t data;
    uint8_t *codes; /* owned, as the pointers in data and below */
    char *scales;   /* one byte behind the start of its memory: unaligned */
    float *floats;
} weight_t;

static void weight_init(weight_t *self, const size_t shape[2], unsigned bits, size_t group,
                        bool input_major)
{
    *self = (weight_t){.out = shape[0], .in = shape[1], .input_major = input_major};
    self->rows = input_major ? self->in : self->out;
    self->columns = input_major ? self->out : self->in;
    size_t width = self->columns * bits / 8, groups = (self->columns + group - 1) / group;
    self->codes = malloc(self->rows * width);
    self->scales = malloc(self->rows * groups * sizeof(float) + 1);
    self->floats = malloc(self->rows * self->columns * sizeof(float));
    float *scales = malloc(self->rows * groups * sizeof(float));
    assert_true(self->codes && self->scales && self->floats && scales);
    random_floats(scales, self->rows * groups, 41);
    memcpy(self->scales + 1, scales, self->rows * groups * sizeof(float));
    for (size_t i = 0; i < self->rows * width; i++)
        self->codes[i] = (uint8_t)((i * 2654435761u) >> 13);
    for (size_t r = 0; r < self->rows; r++)
        for (size_t c = 0; c < self->columns; c++) {
            uint8_t byte = self->codes[r * width + c * bits / 8];
            int code = bits == 8 ? byte - 128 : (c % 2 ? byte >> 4 : byte & 15) - 8;
            self->floats[r * self->columns + c] = (float)code * scales[r * groups + c / group];
        }
    free(scales);
    self->data = (llm_quantized_t){self->codes, self->scales + 1, bits, group};
}

static void weight_release(weight_t *self)
{
    free(self->codes);
    free(self->scales);
    free(self->floats);
}

/* Forward, backward, a range of rows both ways, and rows looked up. */
static void products(trace_t *trace, const llm_matrix_t *w, const weight_t *weight, size_t M)
{
    llm_backend_t *be = trace->be;
    size_t out = weight->out, in = weight->in, first = out / 3, count = out - first;
    llm_act_t *x = acts_on(be, M * in, 42), *y = acts_on(be, M * out, 43);
    llm_act_t *rows = zero_acts_on(be, 9 * in);
    float *bias = random_on(be, out, 44);
    int32_t *ids = indices_on(be, 9, out);
    be->ops->linear_forward(be, y, out, x, in, w, bias, M);
    trace_acts(trace, y, M * out, "forward %zux%zux%zu", M, out, in);
    be->ops->linear_backward(be, x, in, y, out, w, M, true);
    trace_acts(trace, x, M * in, "backward %zux%zux%zu", M, out, in);
    be->ops->linear_forward_rows(be, y, out, x, in, w, first, count, M);
    trace_acts(trace, y, M * out, "forward of rows %zux%zux%zu", M, out, in);
    be->ops->linear_backward_rows(be, x, in, y, out, w, first, count, M, false);
    trace_acts(trace, x, M * in, "backward of rows %zux%zux%zu", M, out, in);
    be->ops->matrix_gather(be, rows, w, ids, 9);
    trace_acts(trace, rows, 9 * in, "rows of %zux%zu", out, in);
    be->ops->release(be, x);
    be->ops->release(be, y);
    be->ops->release(be, bias);
    be->ops->release(be, rows);
    be->ops->release(be, ids);
}

/* The products of w, which are to the byte those of wide; with BF16, where
 * scales may come after the sums, nearly those. */
static void same_products(trace_t *trace, const llm_matrix_t *w, const llm_matrix_t *wide,
                          const weight_t *weight, size_t M)
{
    size_t before = trace->size;
    products(trace, w, weight, M);
    trace_t other = {.be = trace->be};
    products(&other, wide, weight, M);
    for (size_t i = 0; i < other.size; i++) {
        const trace_entry_t *a = &trace->entries[before + i], *b = &other.entries[i];
        if (trace->be->ops->act == FMQ_BF16)
            assert_true(nmse(a->data, b->data, a->count) < 1e-4);
        else
            assert_memory_equal(a->data, b->data, a->count * sizeof(float));
    }
    trace_release(&other);
}

static void one(trace_t *trace, const weight_t *weight, size_t M)
{
    llm_backend_t *be = trace->be;
    llm_matrix_t *w = be->ops->matrix_new_quantized(be, &weight->data, weight->out, weight->in,
                                                    weight->input_major);
    llm_matrix_t *wide = be->ops->matrix_new(be, weight->floats, FMQ_F32, weight->out, weight->in,
                                             weight->input_major);
    assert_non_null(w);
    assert_non_null(wide);
    if (weight->out % 32 == 0)
        assert_true(be->ops->matrix_bytes(w) <=
                    weight->rows * (weight->columns * weight->data.bits / 8 +
                                    (weight->columns / weight->data.group + 1) * sizeof(float)) +
                        weight->out * sizeof(uint32_t)); /* of whole words */
    same_products(trace, w, wide, weight, M);
    be->ops->matrix_destroy(be, &w);
    be->ops->matrix_destroy(be, &wide);
    assert_null(w);
}

void run_quantized(trace_t *trace)
{
    static const size_t shapes[][2] = {{2, 2},    {7, 64},   {64, 7},   {66, 130},
                                       {130, 66}, {96, 400}, {420, 50}, {40, 3100}};
    static const size_t tokens[] = {1, 5, 15, 66, 130, 197, 9, 33};
    static const size_t groups[] = {64, 32, 4, 64, 128, 64, 16, 64};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (int way = 0; way < 4; way++) {
            bool major = way & 1;
            unsigned bits = way & 2 ? 4 : 8;
            if (bits == 4 && shapes[i][major ? 0 : 1] % 2 != 0)
                continue;
            weight_t weight;
            weight_init(&weight, shapes[i], bits, groups[i], major);
            one(trace, &weight, tokens[i]);
            weight_release(&weight);
        }
}

/* The floats that a matrix stands for, or, where activations are narrower than
 * floats, what is left of them. */
static float *floats_of(llm_backend_t *be, const llm_matrix_t *w, size_t out, size_t in)
{
    int32_t *all = malloc(out * sizeof *all);
    float *host = malloc(out * in * sizeof *host);
    llm_act_t *rows = zero_acts_on(be, out * in);
    assert_true(all && host);
    for (size_t o = 0; o < out; o++)
        all[o] = (int32_t)o;
    int32_t *ids = integers_on(be, all, out);
    be->ops->matrix_gather(be, rows, w, ids, out);
    llm_act_download(be, host, rows, out * in);
    be->ops->release(be, rows);
    be->ops->release(be, ids);
    free(all);
    return host;
}

static void one_form(trace_t *trace, const size_t shape[2], llm_matrix_form_t form,
                     fmq_dtype_t dtype, bool input_major)
{
    llm_backend_t *be = trace->be;
    weight_t weight = {.out = shape[0], .in = shape[1], .rows = shape[0], .columns = shape[1]};
    size_t count = shape[0] * shape[1];
    float *host = malloc(count * sizeof *host);
    uint16_t *half = malloc(count * sizeof *half);
    assert_true(host && half);
    random_floats(host, count, 51);
    for (size_t i = 0; i < count; i++)
        half[i] = dtype == FMQ_F16 ? fmq_f16_of_float(host[i]) : fmq_bf16_of_float(host[i]);
    llm_matrix_t *w = be->ops->matrix_new_form(be, dtype == FMQ_F32 ? (const void *)host : half,
                                               dtype, weight.out, weight.in, input_major, form);
    assert_non_null(w);
    float *floats = floats_of(be, w, weight.out, weight.in);
    llm_matrix_t *wide = be->ops->matrix_new(be, floats, FMQ_F32, weight.out, weight.in, false);
    assert_non_null(wide);
    size_t M = 1 + (size_t)form % 4 + (dtype == FMQ_F32 ? 0 : 19);
    if (be->ops->act == FMQ_F32)
        same_products(trace, w, wide, &weight, M);
    else
        products(trace, w, &weight, M);
    be->ops->matrix_destroy(be, &w);
    be->ops->matrix_destroy(be, &wide);
    free(floats);
    free(host);
    free(half);
}

void run_forms(trace_t *trace)
{
    static const size_t shapes[][2] = {{1, 1},    {7, 65},   {64, 32}, {66, 130},
                                       {35, 391}, {40, 392}, {300, 48}};
    static const fmq_dtype_t dtypes[] = {FMQ_F32, FMQ_BF16, FMQ_F16};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (llm_matrix_form_t form = LLM_FORM_F32; form <= LLM_FORM_NF4; form++)
            for (int way = 0; way < 6; way++)
                one_form(trace, shapes[i], form, dtypes[way / 2], way % 2);
}
