/*
 * embedding.c - rows by index, biases, rotary positions: ops that move or
 * turn rows without mixing tokens.
 */
#include "llm/backend/reference/reference.h"

static void embed_forward(llm_backend_t *be, float *out, const float *table, const int32_t *ids,
                          size_t T, size_t C)
{
    (void)be;
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < C; c++)
            out[t * C + c] = table[(size_t)ids[t] * C + c];
}

/* out[t] = table[ids[t]], so every t adds its gradient to row ids[t]. */
static void embed_backward(llm_backend_t *be, float *dtable, const float *dout, const int32_t *ids,
                           size_t T, size_t C)
{
    (void)be;
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < C; c++)
            dtable[(size_t)ids[t] * C + c] += dout[t * C + c];
}

static void bias_forward(llm_backend_t *be, float *y, const float *bias, size_t M, size_t N)
{
    (void)be;
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++)
            y[m * N + n] += bias[n];
}

/* dbias[n] += sum_m dy[m][n]. */
static void bias_backward(llm_backend_t *be, float *dbias, const float *dy, size_t M, size_t N)
{
    (void)be;
    for (size_t n = 0; n < N; n++) {
        double sum = 0;
        for (size_t m = 0; m < M; m++)
            sum += (double)dy[m * N + n];
        dbias[n] = (float)((double)dbias[n] + sum);
    }
}

/* The pair (a, b) = (x[j], x[j + D/2]) is turned by the angle of (position, j):
 * a' = a cos - b sin, b' = b cos + a sin.  A rotation's transpose is its
 * inverse, so backward turns the gradient by the opposite angle. */
static void rope(llm_backend_t *be, float *x, size_t stride, const int32_t *positions,
                 const float *table, size_t T, size_t heads, size_t D, bool inverse)
{
    (void)be;
    size_t half = D / 2;
    for (size_t t = 0; t < T; t++)
        for (size_t h = 0; h < heads; h++) {
            const float *cosine = table + (size_t)positions[t] * D;
            float *head = x + t * stride + h * D;
            for (size_t j = 0; j < half; j++) {
                float sine = inverse ? -cosine[half + j] : cosine[half + j];
                float a = head[j];
                float b = head[half + j];
                head[j] = a * cosine[j] - b * sine;
                head[half + j] = b * cosine[j] + a * sine;
            }
        }
}

static void gather_rows(llm_backend_t *be, float *out, const float *x, const int32_t *rows,
                        size_t n, size_t C)
{
    embed_forward(be, out, x, rows, n, C);
}

static void scatter_rows(llm_backend_t *be, float *dx, const float *dout, const int32_t *rows,
                         size_t n, size_t C)
{
    embed_backward(be, dx, dout, rows, n, C);
}

void llm_reference_embedding(llm_ops_t *ops)
{
    ops->embed_forward = embed_forward;
    ops->embed_backward = embed_backward;
    ops->bias_forward = bias_forward;
    ops->bias_backward = bias_backward;
    ops->rope = rope;
    ops->gather_rows = gather_rows;
    ops->scatter_rows = scatter_rows;
}
