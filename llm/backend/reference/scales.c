/*
 * scales.c - what adapters need beside products: factors of columns, lengths of
 * rows, dropping by a mask, columns by index.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

#include "llm/backend/constants.h"

static void drop(llm_backend_t *be, llm_act_t *out, const uint8_t *mask, const llm_act_t *x,
                 const llm_lora_t *how, bool add)
{
    size_t stride = llm_lora_mask_bytes(1, how->in);
    for (size_t m = 0; m < how->M; m++)
        for (size_t c = 0; c < how->in; c++) {
            size_t i = m * how->in + c;
            bool kept = mask[m * stride + c / 8] >> (c % 8) & 1;
            double value = kept ? llm_reference_get(be, x, i) * (double)llm_lora_keep(how) : 0.0;
            llm_reference_put(be, out, i, value + (add ? llm_reference_get(be, out, i) : 0.0));
        }
}

static void gather_columns(llm_backend_t *be, float *h, const float *a, const int32_t *ids,
                           size_t T, size_t rank, size_t V)
{
    (void)be;
    for (size_t t = 0; t < T; t++)
        for (size_t r = 0; r < rank; r++)
            h[t * rank + r] = a[r * V + (size_t)ids[t]];
}

static void scatter_columns(llm_backend_t *be, float *da, const float *dh, const int32_t *ids,
                            size_t T, size_t rank, size_t V)
{
    (void)be;
    for (size_t t = 0; t < T; t++)
        for (size_t r = 0; r < rank; r++)
            da[r * V + (size_t)ids[t]] += dh[t * rank + r];
}

static void lora_lengths(llm_backend_t *be, float *factors, float *inverse,
                         const llm_lengths_t *how)
{
    double s = (double)how->scaling;
    for (size_t o = 0; o < how->out; o++) {
        const float *b = how->b + o * how->rank;
        double square = (double)how->squares[o];
        for (size_t r = 0; r < how->rank; r++) {
            double row = 2.0 * llm_reference_get(be, how->products, r * how->out + o);
            for (size_t q = 0; q < how->rank; q++)
                row += s * (double)how->gram[r * how->rank + q] * (double)b[q];
            square += s * (double)b[r] * row;
        }
        double one_by = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
        inverse[o] = (float)one_by;
        factors[o] = (float)((double)how->magnitude[o] * one_by);
    }
}

static void scale_columns(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                          size_t x_stride, const float *factors, const float *bias, size_t M,
                          size_t N)
{
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++)
            llm_reference_put(be, y, m * y_stride + n,
                              llm_reference_get(be, x, m * x_stride + n) * (double)factors[n] +
                                  (bias ? (double)bias[n] : 0.0));
}

/* y = f x:  df = sum of dy x,  dx = f dy. */
static void scale_columns_backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride,
                                   float *dfactors, const llm_act_t *dy, size_t dy_stride,
                                   const llm_act_t *x, size_t x_stride, const float *factors,
                                   size_t M, size_t N, bool add)
{
    for (size_t n = 0; n < N; n++) {
        double sum = 0.0;
        for (size_t m = 0; m < M && dfactors; m++)
            sum += llm_reference_get(be, dy, m * dy_stride + n) *
                   llm_reference_get(be, x, m * x_stride + n);
        if (dfactors)
            dfactors[n] = (float)((double)dfactors[n] + sum);
        for (size_t m = 0; m < M && dx; m++)
            llm_reference_put(be, dx, m * dx_stride + n,
                              llm_reference_get(be, dy, m * dy_stride + n) * (double)factors[n] +
                                  (add ? llm_reference_get(be, dx, m * dx_stride + n) : 0.0));
    }
}

static void row_squares(llm_backend_t *be, float *squares, const llm_act_t *x, size_t M, size_t N)
{
    for (size_t m = 0; m < M; m++) {
        double sum = 0.0;
        for (size_t n = 0; n < N; n++)
            sum += llm_reference_get(be, x, m * N + n) * llm_reference_get(be, x, m * N + n);
        squares[m] = (float)sum;
    }
}

static void add_product(llm_backend_t *be, float *y, const float *a, const float *b, size_t n)
{
    (void)be;
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)y[i] + (double)a[i] * (double)b[i]);
}

void llm_reference_scales(llm_ops_t *ops)
{
    ops->drop = drop;
    ops->gather_columns = gather_columns;
    ops->scatter_columns = scatter_columns;
    ops->lora_lengths = lora_lengths;
    ops->scale_columns = scale_columns;
    ops->scale_columns_backward = scale_columns_backward;
    ops->row_squares = row_squares;
    ops->add_product = add_product;
}
