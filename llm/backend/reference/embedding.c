/*
 * embedding.c - rows by index, biases, rotary positions: ops that move or
 * turn rows without mixing tokens.
 */
#include "llm/backend/reference/reference.h"

static void embed_forward(llm_backend_t *be, llm_act_t *out, const float *table, const int32_t *ids,
                          size_t T, size_t C)
{
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < C; c++)
            llm_reference_put(be, out, t * C + c, (double)table[(size_t)ids[t] * C + c]);
}

/* out[t] = table[ids[t]], so every t adds its gradient to row ids[t]. */
static void embed_backward(llm_backend_t *be, float *dtable, const llm_act_t *dout,
                           const int32_t *ids, size_t T, size_t C)
{
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < C; c++)
            dtable[(size_t)ids[t] * C + c] += (float)llm_reference_get(be, dout, t * C + c);
}

/* y[m][n] has bias[n] added to it in every row, so dbias[n] += sum_m dy[m][n]. */
static void bias_backward(llm_backend_t *be, float *dbias, const llm_act_t *dy, size_t dy_stride,
                          size_t M, size_t N)
{
    for (size_t n = 0; n < N; n++) {
        double sum = 0;
        for (size_t m = 0; m < M; m++)
            sum += llm_reference_get(be, dy, m * dy_stride + n);
        dbias[n] = (float)((double)dbias[n] + sum);
    }
}

/* The pair (a, b) = (x[j], x[j + D/2]) is turned by the angle of (position, j):
 * a' = a cos - b sin, b' = b cos + a sin.  A rotation's transpose is its
 * inverse, so backward turns the gradient by the opposite angle. */
static void rope(llm_backend_t *be, llm_act_t *x, const int32_t *positions, const float *table,
                 const llm_rope_t *how, bool inverse)
{
    size_t half = how->rotary / 2;
    for (size_t t = 0; t < how->T; t++)
        for (size_t h = 0; h < how->heads; h++) {
            const float *cosine = table + (size_t)positions[t] * how->rotary;
            size_t head = t * how->stride + h * how->D;
            for (size_t j = 0; j < half; j++) {
                size_t first = how->interleaved ? head + 2 * j : head + j;
                size_t second = how->interleaved ? first + 1 : first + half;
                double sine = (double)(inverse ? -cosine[half + j] : cosine[half + j]);
                double a = llm_reference_get(be, x, first);
                double b = llm_reference_get(be, x, second);
                llm_reference_put(be, x, first, a * (double)cosine[j] - b * sine);
                llm_reference_put(be, x, second, b * (double)cosine[j] + a * sine);
            }
        }
}

static void gather_rows(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, const int32_t *rows,
                        size_t n, size_t C)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < C; c++)
            llm_reference_put(be, out, i * C + c,
                              llm_reference_get(be, x, (size_t)rows[i] * C + c));
}

static void scatter_rows(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                         const int32_t *rows, size_t n, size_t C)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < C; c++) {
            size_t to = (size_t)rows[i] * C + c;
            llm_reference_put(
                be, dx, to, llm_reference_get(be, dx, to) + llm_reference_get(be, dout, i * C + c));
        }
}

static void copy_rows(llm_backend_t *be, llm_act_t *to, size_t to_stride, const llm_act_t *from,
                      size_t from_stride, size_t M, size_t width)
{
    for (size_t m = 0; m < M; m++)
        for (size_t c = 0; c < width; c++)
            llm_reference_put(be, to, m * to_stride + c,
                              llm_reference_get(be, from, m * from_stride + c));
}

void llm_reference_embedding(llm_ops_t *ops)
{
    ops->embed_forward = embed_forward;
    ops->embed_backward = embed_backward;
    ops->bias_backward = bias_backward;
    ops->rope = rope;
    ops->gather_rows = gather_rows;
    ops->scatter_rows = scatter_rows;
    ops->copy_rows = copy_rows;
}
