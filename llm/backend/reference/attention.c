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

/* Rows of activations: D of them from an element on. */
typedef struct {
    const llm_act_t *of;
    size_t at;
} row_t;

static double dot(const llm_backend_t *be, row_t a, row_t b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += llm_reference_get(be, a.of, a.at + i) * llm_reference_get(be, b.of, b.at + i);
    return sum;
}

/* Backward adds up dq | dk | dv of all tokens in float, and stores them once. */
static size_t attention_scratch(const llm_backend_t *be, const llm_attention_t *shape)
{
    (void)be;
    return shape->T * (shape->H + 2 * shape->KV) * shape->D + 1;
}

/* A head's query, the keys and values of its sequence, and which it sees: from
 * .. count, itself being the last. */
typedef struct {
    row_t q, k, v;
    size_t k_stride, v_stride, from, count, D;
    double scale, cap, slope;
} view_t;

/* A score, and its derivative by scale q.k. */
typedef struct {
    double value, slope;
} score_t;

/* cap tanh(s / cap) has the derivative 1 - tanh(s / cap)^2; what ALiBi adds has
 * none by s. */
static score_t score(const llm_backend_t *be, const view_t *view, size_t j)
{
    row_t key = {view->k.of, view->k.at + j * view->k_stride};
    score_t s = {view->scale * dot(be, view->q, key, view->D), 1};
    if (view->cap > 0) {
        double t = tanh(s.value / view->cap);
        s = (score_t){view->cap * t, 1 - t * t};
    }
    s.value -= view->slope * (double)(view->count - 1 - j);
    return s;
}

/* lse = log sum_j exp(s_j) and out = sum_j exp(s_j - lse) v_j. */
static double attend(const llm_backend_t *be, llm_act_t *out, size_t at, const view_t *view)
{
    double largest = -INFINITY;
    double sum = 0;
    for (size_t j = view->from; j < view->count; j++)
        largest = fmax(largest, score(be, view, j).value);
    for (size_t j = view->from; j < view->count; j++)
        sum += exp(score(be, view, j).value - largest);
    double lse = largest + log(sum);
    for (size_t d = 0; d < view->D; d++) {
        double value = 0;
        for (size_t j = view->from; j < view->count; j++)
            value += exp(score(be, view, j).value - lse) *
                     llm_reference_get(be, view->v.of, view->v.at + j * view->v_stride + d);
        llm_reference_put(be, out, at + d, value);
    }
    return lse;
}

/* Query row t of a sequence that begins at row first, head h. */
static view_t view_of(const llm_act_t *q, const llm_act_t *k, const llm_act_t *v,
                      const llm_attention_t *shape, size_t first, size_t t, size_t h)
{
    size_t kv = h / (shape->H / shape->KV) * shape->D;
    return (view_t){.q = {q, t * shape->q_stride + h * shape->D},
                    .k = {k, first * shape->k_stride + kv},
                    .v = {v, first * shape->v_stride + kv},
                    .k_stride = shape->k_stride,
                    .v_stride = shape->v_stride,
                    .from = llm_first_seen(shape->window, t - first),
                    .count = t - first + 1,
                    .D = shape->D,
                    .scale = (double)shape->scale,
                    .cap = (double)shape->softcap,
                    .slope = shape->slopes ? (double)shape->slopes[h] : 0};
}

static void attention_forward(llm_backend_t *be, llm_act_t *out, float *lse, const llm_act_t *q,
                              const llm_act_t *k, const llm_act_t *v, const llm_attention_t *shape,
                              float *scratch)
{
    (void)scratch;
    for (size_t s = 0; s < shape->S; s++)
        for (size_t t = shape->starts[s]; t < shape->starts[s + 1]; t++)
            for (size_t h = 0; h < shape->H; h++) {
                view_t view = view_of(q, k, v, shape, shape->starts[s], t, h);
                lse[t * shape->H + h] =
                    (float)attend(be, out, t * shape->out_stride + h * shape->D, &view);
            }
}

/* Where backward adds up, each [T][heads][D]. */
typedef struct {
    float *dq, *dk, *dv;
} sums_t;

/* The gradient that reaches one query's output, and what forward said of it. */
typedef struct {
    row_t dout, out;
    double lse;
} reached_t;

/* For one query i and head: p_j = exp(s_j - lse), out = sum_j p_j v_j.
 *   dv_j += p_j dout
 *   dp_j  = dout . v_j,  ds_j = p_j (dp_j - sum_l p_l dp_l),  and the sum is
 *   dout . out, since sum_l p_l (dout . v_l) = dout . sum_l p_l v_l
 *   dq   += scale sum_j ds_j s'_j k_j,  dk_j += scale ds_j s'_j q,
 * s' being a score's derivative.
 * sums point at the query's head and at its first key's; kv_row floats lie
 * between keys there. */
static void query_backward(llm_backend_t *be, sums_t sums, size_t kv_row, const view_t *view,
                           const reached_t *reached)
{
    size_t D = view->D;
    double delta = dot(be, reached->dout, reached->out, D);
    for (size_t j = view->from; j < view->count; j++) {
        row_t value = {view->v.of, view->v.at + j * view->v_stride};
        score_t s = score(be, view, j);
        double p = exp(s.value - reached->lse);
        double ds = p * (dot(be, reached->dout, value, D) - delta) * view->scale * s.slope;
        for (size_t d = 0; d < D; d++) {
            double key = llm_reference_get(be, view->k.of, view->k.at + j * view->k_stride + d);
            double query = llm_reference_get(be, view->q.of, view->q.at + d);
            double dout = llm_reference_get(be, reached->dout.of, reached->dout.at + d);
            sums.dq[d] += (float)(ds * key);
            sums.dk[j * kv_row + d] += (float)(ds * query);
            sums.dv[j * kv_row + d] += (float)(p * dout);
        }
    }
}

static void store_rows(llm_backend_t *be, llm_act_t *to, size_t stride, const float *from, size_t T,
                       size_t width)
{
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < width; c++)
            llm_reference_put(be, to, t * stride + c, (double)from[t * width + c]);
}

static void attention_backward(llm_backend_t *be, llm_act_t *dq, llm_act_t *dk, llm_act_t *dv,
                               const llm_act_t *dout, const llm_act_t *out, const float *lse,
                               const llm_act_t *q, const llm_act_t *k, const llm_act_t *v,
                               const llm_attention_t *shape, float *scratch)
{
    size_t queries = shape->H * shape->D, keys = shape->KV * shape->D;
    sums_t sums = {scratch, scratch + shape->T * queries, scratch + shape->T * (queries + keys)};
    memset(scratch, 0, shape->T * (queries + 2 * keys) * sizeof *scratch);
    for (size_t s = 0; s < shape->S; s++)
        for (size_t t = shape->starts[s]; t < shape->starts[s + 1]; t++)
            for (size_t h = 0; h < shape->H; h++) {
                view_t view = view_of(q, k, v, shape, shape->starts[s], t, h);
                size_t kv = shape->starts[s] * keys + h / (shape->H / shape->KV) * shape->D;
                size_t at = t * shape->out_stride + h * shape->D;
                sums_t here = {sums.dq + t * queries + h * shape->D, sums.dk + kv, sums.dv + kv};
                reached_t reached = {{dout, at}, {out, at}, (double)lse[t * shape->H + h]};
                query_backward(be, here, keys, &view, &reached);
            }
    store_rows(be, dq, shape->q_stride, sums.dq, shape->T, queries);
    store_rows(be, dk, shape->k_stride, sums.dk, shape->T, keys);
    store_rows(be, dv, shape->v_stride, sums.dv, shape->T, keys);
}

static void attention_decode(llm_backend_t *be, llm_act_t *out, const llm_act_t *q,
                             const llm_act_t *k, const llm_act_t *v, const llm_decode_t *how,
                             float *scratch)
{
    (void)scratch;
    for (size_t h = 0; h < how->H; h++) {
        size_t kv = h / (how->H / how->KV) * how->D;
        view_t view = {.q = {q, h * how->D},
                       .k = {k, kv},
                       .v = {v, kv},
                       .k_stride = how->KV * how->D,
                       .v_stride = how->KV * how->D,
                       .from = llm_first_seen(how->window, how->length - 1),
                       .count = how->length,
                       .D = how->D,
                       .scale = (double)how->scale,
                       .cap = (double)how->softcap,
                       .slope = how->slopes ? (double)how->slopes[h] : 0};
        attend(be, out, h * how->D, &view);
    }
}

void llm_reference_attention(llm_ops_t *ops)
{
    ops->attention_scratch = attention_scratch;
    ops->attention_forward = attention_forward;
    ops->attention_backward = attention_backward;
    ops->attention_decode = attention_decode;
}
