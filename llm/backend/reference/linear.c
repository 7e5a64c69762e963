/*
 * linear.c - matrix products: frozen weights and dense general products.
 *
 * The reference keeps a frozen weight as plain fp32 [out][in], a quantized one
 * as it is stored; the narrow forms are fp32 that was rounded to them.
 */
#include "llm/backend/reference/reference.h"

#include <stdlib.h>
#include <string.h>

#include "llm/backend/forms.h"
#include "llm/backend/half.h"

struct llm_matrix {
    size_t out, in;
    float *rows; /* owned, [out][in]; NULL when quantized */
    unsigned bits;
    bool input_major;
    size_t group;
    uint8_t *codes; /* owned, as llm_quantized_t has them */
    float *scales;  /* owned */
};

/* (code - 2^(bits-1)) scale of element (r, c) of [rows][columns]. */
static float dequantized(const llm_matrix_t *w, size_t r, size_t c, size_t columns)
{
    const uint8_t *row = w->codes + r * (columns * w->bits / 8);
    int code = w->bits == 8 ? row[c] : row[c / 2] >> 4 * (c % 2) & 15;
    size_t groups = (columns + w->group - 1) / w->group;
    return (float)(code - (1 << (w->bits - 1))) * w->scales[r * groups + c / w->group];
}

static double weight(const llm_matrix_t *w, size_t o, size_t i)
{
    if (w->rows)
        return (double)w->rows[o * w->in + i];
    return (double)(w->input_major ? dequantized(w, i, o, w->out) : dequantized(w, o, i, w->in));
}

static void matrix_destroy(llm_backend_t *be, llm_matrix_t **matrix_p)
{
    (void)be;
    if (!matrix_p || !*matrix_p)
        return;
    free((*matrix_p)->rows);
    free((*matrix_p)->codes);
    free((*matrix_p)->scales);
    free(*matrix_p);
    *matrix_p = NULL;
}

static llm_matrix_t *matrix_new(llm_backend_t *be, const void *data, fmq_dtype_t dtype, size_t out,
                                size_t in, bool input_major)
{
    if (in && out > LLM_BACKEND_BYTES_MAX / sizeof(float) / in)
        return NULL;
    llm_matrix_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->out = out;
    self->in = in;
    self->rows = malloc(out * in * sizeof(float) + 1);
    if (!self->rows) {
        matrix_destroy(be, &self);
        return NULL;
    }
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            self->rows[o * in + i] =
                llm_float_at(data, dtype, input_major ? i * out + o : o * in + i);
    return self;
}

/* The numbers that the codes of a row of W stand for. */
static void round_row(float *row, size_t in, llm_matrix_form_t form)
{
    uint8_t codes[LLM_FORM_GROUP];
    for (size_t i = 0; form == LLM_FORM_BF16 && i < in; i++)
        row[i] = fmq_float_of_bf16(fmq_bf16_of_float(row[i]));
    for (size_t i = 0; form > LLM_FORM_BF16 && i < in; i += LLM_FORM_GROUP) {
        size_t n = in - i < LLM_FORM_GROUP ? in - i : LLM_FORM_GROUP;
        float scale = llm_form_encode(form, codes, row + i, n);
        for (size_t j = 0; j < n; j++)
            row[i + j] = llm_form_value(form, codes[j], scale);
    }
}

/* A form is a rounding here: what it saves is of no use to a reference. */
static llm_matrix_t *matrix_new_form(llm_backend_t *be, const void *data, fmq_dtype_t dtype,
                                     size_t out, size_t in, bool input_major,
                                     llm_matrix_form_t form)
{
    llm_matrix_t *self = matrix_new(be, data, dtype, out, in, input_major);
    for (size_t o = 0; self && o < out; o++)
        round_row(self->rows + o * in, in, form);
    return self;
}

static size_t scales_of(const llm_matrix_t *w)
{
    size_t rows = w->input_major ? w->in : w->out, columns = w->input_major ? w->out : w->in;
    return rows * ((columns + w->group - 1) / w->group);
}

static llm_matrix_t *matrix_new_quantized(llm_backend_t *be, const llm_quantized_t *data,
                                          size_t out, size_t in, bool input_major)
{
    if (!out || !in || !data->group || out > LLM_BACKEND_BYTES_MAX / sizeof(float) / in)
        return NULL;
    llm_matrix_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    *self = (llm_matrix_t){
        .out = out, .in = in, .bits = data->bits, .input_major = input_major, .group = data->group};
    size_t codes = out * in * data->bits / 8, scales = scales_of(self) * sizeof(float);
    self->codes = malloc(codes);
    self->scales = malloc(scales);
    if (!self->codes || !self->scales) {
        matrix_destroy(be, &self);
        return NULL;
    }
    memcpy(self->codes, data->codes, codes);
    memcpy(self->scales, data->scales, scales);
    return self;
}

static size_t matrix_bytes(const llm_matrix_t *matrix)
{
    size_t elements = matrix->out * matrix->in;
    return matrix->rows ? elements * sizeof(float)
                        : elements * matrix->bits / 8 + scales_of(matrix) * sizeof(float);
}

/* y = x W^T + bias for rows first .. first + count of W. */
static void product_rows(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                         size_t x_stride, const llm_matrix_t *w, const float *bias, size_t first,
                         size_t count, size_t M)
{
    double start = llm_instance_now();
    for (size_t m = 0; m < M; m++)
        for (size_t o = 0; o < count; o++) {
            double sum = bias ? (double)bias[o] : 0.0;
            for (size_t i = 0; i < w->in; i++)
                sum += llm_reference_get(be, x, m * x_stride + i) * weight(w, first + o, i);
            llm_reference_put(be, y, m * y_stride + o, sum);
        }
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

static void forward_rows(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                         size_t x_stride, const llm_matrix_t *w, size_t first, size_t count,
                         size_t M)
{
    product_rows(be, y, y_stride, x, x_stride, w, NULL, first, count, M);
}

static void forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                    size_t x_stride, const llm_matrix_t *w, const float *bias, size_t M)
{
    product_rows(be, y, y_stride, x, x_stride, w, bias, 0, w->out, M);
}

/* y[m][o] = sum_i x[m][i] W[o][i], so dL/dx[m][i] = sum_o dy[m][o] W[o][i]. */
static void backward_rows(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                          size_t dy_stride, const llm_matrix_t *w, size_t first, size_t count,
                          size_t M, bool add)
{
    double start = llm_instance_now();
    for (size_t m = 0; m < M; m++)
        for (size_t i = 0; i < w->in; i++) {
            double sum = add ? llm_reference_get(be, dx, m * dx_stride + i) : 0.0;
            for (size_t o = 0; o < count; o++)
                sum += llm_reference_get(be, dy, m * dy_stride + o) * weight(w, first + o, i);
            llm_reference_put(be, dx, m * dx_stride + i, sum);
        }
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

static void backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                     size_t dy_stride, const llm_matrix_t *w, size_t M, bool add)
{
    backward_rows(be, dx, dx_stride, dy, dy_stride, w, 0, w->out, M, add);
}

static void matrix_gather(llm_backend_t *be, llm_act_t *out, const llm_matrix_t *w,
                          const int32_t *ids, size_t T)
{
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < w->in; c++)
            llm_reference_put(be, out, t * w->in + c, weight(w, (size_t)ids[t], c));
}

static void gemm(llm_backend_t *be, float *c, const float *a, const float *b, const llm_gemm_t *s)
{
    double start = llm_instance_now();
    for (size_t m = 0; m < s->M; m++)
        for (size_t n = 0; n < s->N; n++) {
            double sum = 0;
            for (size_t k = 0; k < s->K; k++)
                sum += (double)a[s->transpose_a ? k * s->lda + m : m * s->lda + k] *
                       (double)b[s->transpose_b ? n * s->ldb + k : k * s->ldb + n];
            sum *= (double)s->alpha;
            if (s->beta != 0.0f)
                sum += (double)s->beta * (double)c[m * s->ldc + n];
            c[m * s->ldc + n] = (float)sum;
        }
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

void llm_reference_linear(llm_ops_t *ops)
{
    ops->matrix_new = matrix_new;
    ops->matrix_new_quantized = matrix_new_quantized;
    ops->matrix_new_form = matrix_new_form;
    ops->forms = LLM_FORMS_ALL;
    ops->matrix_destroy = matrix_destroy;
    ops->matrix_bytes = matrix_bytes;
    ops->linear_forward = forward;
    ops->linear_forward_rows = forward_rows;
    ops->linear_backward = backward;
    ops->linear_backward_rows = backward_rows;
    ops->matrix_gather = matrix_gather;
    ops->gemm = gemm;
}
