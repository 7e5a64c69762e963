/*
 * attention.c - causal attention over packed sequences, grouped heads, and
 * one-token decoding.
 *
 * Token i of a sequence sees tokens 0 .. i of it.  Query head h reads key and
 * value head h / (H / KV).  Probabilities are never stored: backward
 * recomputes them from the log-sum-exp that forward kept.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>
#include <string.h>

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static size_t attention_scratch(const llm_backend_t *be, const llm_attention_t *shape)
{
    (void)be;
    (void)shape;
    return 1;
}

/* One query against count keys: lse = log sum_j exp(scale q.k_j) and
 * out = sum_j exp(scale q.k_j - lse) v_j. */
static double attend(float *out, const float *q, const float *k, size_t k_stride, const float *v,
                     size_t v_stride, size_t count, size_t D, float scale)
{
    double largest = -INFINITY;
    for (size_t j = 0; j < count; j++)
        largest = fmax(largest, (double)scale * dot(q, k + j * k_stride, D));
    double sum = 0;
    for (size_t j = 0; j < count; j++)
        sum += exp((double)scale * dot(q, k + j * k_stride, D) - largest);
    double lse = largest + log(sum);
    for (size_t d = 0; d < D; d++)
        out[d] = 0;
    for (size_t j = 0; j < count; j++) {
        double p = exp((double)scale * dot(q, k + j * k_stride, D) - lse);
        for (size_t d = 0; d < D; d++)
            out[d] += (float)(p * (double)v[j * v_stride + d]);
    }
    return lse;
}

static void attention_forward(llm_backend_t *be, float *out, float *lse, const float *q,
                              const float *k, const float *v, const llm_attention_t *shape,
                              float *scratch)
{
    (void)be;
    (void)scratch;
    for (size_t s = 0; s < shape->S; s++)
        for (size_t t = shape->starts[s]; t < shape->starts[s + 1]; t++)
            for (size_t h = 0; h < shape->H; h++) {
                size_t first = shape->starts[s];
                size_t kv = h / (shape->H / shape->KV) * shape->D;
                lse[t * shape->H + h] = (float)attend(
                    out + t * shape->out_stride + h * shape->D,
                    q + t * shape->q_stride + h * shape->D, k + first * shape->k_stride + kv,
                    shape->k_stride, v + first * shape->v_stride + kv, shape->v_stride,
                    t - first + 1, shape->D, shape->scale);
            }
}

/* For one query i and head: p_j = exp(s_j - lse), out = sum_j p_j v_j.
 *   dv_j += p_j dout
 *   dp_j  = dout . v_j,  ds_j = p_j (dp_j - sum_l p_l dp_l),  and the sum is
 *   dout . out, since sum_l p_l (dout . v_l) = dout . sum_l p_l v_l
 *   dq   += scale sum_j ds_j k_j,  dk_j += scale ds_j q. */
static void query_backward(float *dq, float *dk, float *dv, const float *dout, const float *out,
                           double lse, const float *q, const float *k, const float *v,
                           const llm_attention_t *shape, size_t count)
{
    size_t D = shape->D;
    double scale = (double)shape->scale;
    double delta = dot(dout, out, D);
    for (size_t j = 0; j < count; j++) {
        double p = exp(scale * dot(q, k + j * shape->k_stride, D) - lse);
        double ds = p * (dot(dout, v + j * shape->v_stride, D) - delta) * scale;
        for (size_t d = 0; d < D; d++) {
            dq[d] += (float)(ds * (double)k[j * shape->k_stride + d]);
            dk[j * shape->k_stride + d] += (float)(ds * (double)q[d]);
            dv[j * shape->v_stride + d] += (float)(p * (double)dout[d]);
        }
    }
}

static void zero_heads(float *x, size_t stride, size_t T, size_t width)
{
    for (size_t t = 0; t < T; t++)
        memset(x + t * stride, 0, width * sizeof(float));
}

static void attention_backward(llm_backend_t *be, float *dq, float *dk, float *dv,
                               const float *dout, const float *out, const float *lse,
                               const float *q, const float *k, const float *v,
                               const llm_attention_t *shape, float *scratch)
{
    (void)be;
    (void)scratch;
    zero_heads(dq, shape->q_stride, shape->T, shape->H * shape->D);
    zero_heads(dk, shape->k_stride, shape->T, shape->KV * shape->D);
    zero_heads(dv, shape->v_stride, shape->T, shape->KV * shape->D);
    for (size_t s = 0; s < shape->S; s++)
        for (size_t t = shape->starts[s]; t < shape->starts[s + 1]; t++)
            for (size_t h = 0; h < shape->H; h++) {
                size_t kv = h / (shape->H / shape->KV) * shape->D;
                size_t key = shape->starts[s] * shape->k_stride + kv;
                size_t value = shape->starts[s] * shape->v_stride + kv;
                size_t query = t * shape->q_stride + h * shape->D;
                size_t result = t * shape->out_stride + h * shape->D;
                query_backward(dq + query, dk + key, dv + value, dout + result, out + result,
                               (double)lse[t * shape->H + h], q + query, k + key, v + value, shape,
                               t - shape->starts[s] + 1);
            }
}

static void attention_decode(llm_backend_t *be, float *out, const float *q, const float *k,
                             const float *v, size_t length, size_t H, size_t KV, size_t D,
                             float scale, float *scratch)
{
    (void)be;
    (void)scratch;
    for (size_t h = 0; h < H; h++) {
        size_t kv = h / (H / KV) * D;
        attend(out + h * D, q + h * D, k + kv, KV * D, v + kv, KV * D, length, D, scale);
    }
}

void llm_reference_attention(llm_ops_t *ops)
{
    ops->attention_scratch = attention_scratch;
    ops->attention_forward = attention_forward;
    ops->attention_backward = attention_backward;
    ops->attention_decode = attention_decode;
}
