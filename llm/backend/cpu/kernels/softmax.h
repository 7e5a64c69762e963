/*
 * kernels/softmax.h - softmax over logits and over blocked attention scores,
 * losses of rows, with their gradients, and the two vector loops of decoding.  Formulas are
 * derived in reference/loss.c and reference/attention.c.  Included by the
 * isa_*.c files only.
 */
#ifndef LLM_BACKEND_CPU_SOFTMAX_H
#define LLM_BACKEND_CPU_SOFTMAX_H

#include "base/real.h"
#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/kernels/bend.h"
#include "llm/backend/cpu/kernels/elements.h"
#include "llm/backend/cpu/kernels/functions.h"

#define STRETCH 4096 /* elements of a long sum in single precision: keeps its rounding small */

static float largest_of(const float *x, size_t n)
{
    vf best[PARTS];
    for (size_t p = 0; p < PARTS; p++)
        best[p] = v_set(-INFINITY);
    size_t i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES)
        for (size_t p = 0; p < PARTS; p++)
            best[p] = v_max(v_load(x + i + p * LANES), best[p]);
    float largest = v_largest(best);
    for (; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* Sum of exp(x - largest), all of it in single precision; its terms are
 * written to `terms` unless that is NULL. */
INLINE float sum_exp_stretch(float *terms, const float *x, size_t n, float largest)
{
    vf sums[PARTS] = {{0}};
    for (size_t i = 0; i < n; i += SUM_LANES)
        for (size_t p = 0; p < PARTS && i + p * LANES < n; p++) {
            size_t at = i + p * LANES;
            size_t count = up_to_lanes(n - at);
            vf e = v_exp(v_load_n(x + at, count) - largest);
            sums[p] += count < LANES ? v_select(v_first(count), e, v_set(0)) : e;
            if (terms)
                v_store_n(terms + at, e, count);
        }
    return v_sum(sums);
}

INLINE double sum_exp(float *terms, const float *x, size_t n, float largest)
{
    double whole = 0;
    for (size_t start = 0; start < n; start += STRETCH) {
        size_t count = n - start < STRETCH ? n - start : STRETCH;
        whole += (double)sum_exp_stretch(terms ? terms + start : NULL, x + start, count, largest);
    }
    return whole;
}

static void lower(float *x, float by, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] -= by;
}

static float cross_entropy(float *logits, size_t target, size_t V, const llm_cross_entropy_t *how)
{
    float factor = how->scale;
    double rest = (double)how->smoothing;
    double mean = rest > 0 ? sum(logits, V) / (double)V : 0;
    float largest = largest_of(logits, V);
    float at_target = logits[target];
    double whole =
        factor != 0.0f ? sum_exp(logits, logits, V, largest) : sum_exp(NULL, logits, V, largest);
    if (factor != 0.0f) {
        scale(logits, (float)((double)factor / whole), V);
        if (rest > 0)
            lower(logits, (float)((double)factor * rest / (double)V), V);
        logits[target] -= (float)((double)factor * (1 - rest));
    }
    double distance = (double)largest - (double)at_target;
    if (rest > 0)
        distance = (1 - rest) * distance + rest * ((double)largest - mean);
    return (float)(fmq_log(whole) + distance);
}

/* What the softmax of a row of logits is made of: p = exp(x - largest) inverse. */
typedef struct {
    float largest, inverse;
    double lse;
} row_softmax_t;

static row_softmax_t softmax_of(const float *x, size_t n)
{
    float largest = largest_of(x, n);
    double whole = sum_exp(NULL, x, n, largest);
    return (row_softmax_t){largest, (float)(1 / whole), (double)largest + fmq_log(whole)};
}

/* log(p_full / p_client) = (full - client) - (lse_full - lse_client), so that
 * nothing cancels where the two are nearly the same.  Writes to client's
 * elements when keep. */
INLINE double kl_stretch(float *client, const float *full, size_t n, const row_softmax_t of[2],
                         float factor, bool keep)
{
    float shift = (float)(of[1].lse - of[0].lse);
    vf sums[PARTS] = {{0}};
    for (size_t i = 0; i < n; i += SUM_LANES)
        for (size_t part = 0; part < PARTS && i + part * LANES < n; part++) {
            size_t at = i + part * LANES;
            size_t count = up_to_lanes(n - at);
            vf c = v_load_n(client + at, count);
            vf f = v_load_n(full + at, count);
            vf p = v_exp(f - of[1].largest) * of[1].inverse;
            vf term = p * ((f - c) - shift);
            sums[part] += count < LANES ? v_select(v_first(count), term, v_set(0)) : term;
            if (keep)
                v_store_n(client + at, (v_exp(c - of[0].largest) * of[0].inverse - p) * factor,
                          count);
        }
    return (double)v_sum(sums);
}

static float kl_divergence(float *client, const float *full, size_t V, float factor)
{
    const row_softmax_t of[2] = {softmax_of(client, V), softmax_of(full, V)};
    double whole = 0;
    for (size_t start = 0; start < V; start += STRETCH) {
        size_t n = V - start < STRETCH ? V - start : STRETCH;
        whole += factor != 0.0f ? kl_stretch(client + start, full + start, n, of, factor, true)
                                : kl_stretch(client + start, full + start, n, of, factor, false);
    }
    double shift = of[1].lse - of[0].lse;
    return (float)(whole - (shift - (double)(float)shift));
}

static size_t argmax(const float *logits, size_t V)
{
    float largest = largest_of(logits, V);
    for (size_t v = 0; v < V; v++)
        if (logits[v] == largest)
            return v;
    return 0;
}

/* x = softmax(x). */
static void softmax(float *x, size_t n)
{
    float largest = largest_of(x, n);
    scale(x, 1.0f / sum_exp_stretch(x, x, n, largest), n);
}

/* Keys j of a row lie at (j / WIDTH) block + j % WIDTH. */
INLINE float *key(float *row, size_t block, size_t j)
{
    return row + j / WIDTH * block + j % WIDTH;
}

static void zero_keys(float *row, size_t block, size_t begin, size_t end)
{
    for (size_t j = begin; j < end; j += LANES)
        v_store(key(row, block, j), v_set(0));
}

INLINE size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static float softmax_row(float *row, size_t block, size_t count, size_t limit, float *sum_of)
{
    vf best[PARTS];
    vf sums[PARTS] = {{0}};
    for (size_t p = 0; p < PARTS; p++)
        best[p] = v_set(-INFINITY);
    for (size_t j = 0; j < count; j += SUM_LANES)
        for (size_t p = 0; p < PARTS && j + p * LANES < count; p++) {
            vf s = v_load(key(row, block, j + p * LANES));
            size_t n = up_to_lanes(count - j - p * LANES);
            best[p] = v_max(n < LANES ? v_select(v_first(n), s, v_set(-INFINITY)) : s, best[p]);
        }
    float largest = v_largest(best);
    for (size_t j = 0; j < count; j += SUM_LANES)
        for (size_t p = 0; p < PARTS && j + p * LANES < count; p++) {
            float *at = key(row, block, j + p * LANES);
            size_t n = up_to_lanes(count - j - p * LANES);
            vf e = v_exp(v_load(at) - largest);
            if (n < LANES)
                e = v_select(v_first(n), e, v_set(0));
            sums[p] += e;
            v_store(at, e);
        }
    zero_keys(row, block, round_up(count, LANES), round_up(limit, WIDTH));
    *sum_of = v_sum(sums);
    return largest;
}

static void softmax_dx(float *p, float *ds, size_t block, size_t count, size_t limit,
                       const float scalars[3])
{
    float lse = scalars[0];
    float delta = scalars[1];
    float factor = scalars[2];
    for (size_t j = 0; j < count; j += LANES) {
        vf e = v_exp(v_load(key(p, block, j)) - lse);
        vf d = factor * e * (v_load(key(ds, block, j)) - delta);
        if (j + LANES > count) {
            vi valid = v_first(count - j);
            e = v_select(valid, e, v_set(0));
            d = v_select(valid, d, v_set(0));
        }
        v_store(key(p, block, j), e);
        v_store(key(ds, block, j), d);
    }
    zero_keys(p, block, round_up(count, LANES), round_up(limit, WIDTH));
    zero_keys(ds, block, round_up(count, LANES), round_up(limit, WIDTH));
}

static float dot(const float *a, const float *b, size_t n)
{
    vf sums[PARTS] = {{0}};
    for (size_t i = 0; i < n; i += SUM_LANES)
        for (size_t p = 0; p < PARTS && i + p * LANES < n; p++) {
            size_t at = i + p * LANES;
            size_t count = up_to_lanes(n - at);
            sums[p] = v_fma(v_load_n(a + at, count), v_load_n(b + at, count), sums[p]);
        }
    return v_sum(sums);
}

static void axpy(float *y, const float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf value = v_fma(v_set(factor), v_load_n(x + i, count), v_load_n(y + i, count));
        v_store_n(y + i, value, count);
    }
}

/* Derived in reference/loss.c. */
static float cosine(float *dx, const float *target, const float *x, size_t C, float factor)
{
    double tx = (double)dot(target, x, C);
    double xx = (double)dot(x, x, C);
    double lengths = sqrt((double)dot(target, target, C) * xx);
    if (lengths == 0) /* and not NaN */
        return 0;
    if (dx) {
        axpy(dx, target, (float)(-(double)factor / lengths), C);
        axpy(dx, x, (float)((double)factor * (tx / lengths / xx)), C);
    }
    return (float)(-tx / lengths);
}

#endif
