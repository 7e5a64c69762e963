/*
 * check_losses.c - cross-entropy, Kullback-Leibler divergence, cosine and the
 * largest logit, on odd widths and on logits that are not finite.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define ROWS 5

/* Dense rows for the reference, from rows that lie stride apart, and back. */
static void *dense(const float *from, size_t stride, size_t M, size_t V)
{
    float *to = room(M * V);
    for (size_t m = 0; m < M; m++)
        memcpy(to + m * V, from + m * stride, V * sizeof *to);
    return to;
}

static void *strided(const array_t *like, void *rows, size_t stride, size_t M, size_t V)
{
    float *to = copy_of(like);
    for (size_t m = 0; m < M; m++)
        memcpy(to + m * stride, (float *)rows + m * V, V * sizeof *to);
    free(rows);
    return to;
}

static void cross_entropy(check_t *c, size_t V, size_t stride, const llm_cross_entropy_t *how)
{
    int32_t targets[ROWS];
    for (size_t m = 0; m < ROWS; m++)
        targets[m] = (int32_t)((m * m * 7 + 3 * m + 1) % V);
    array_t *logits = changes(c, ACT, ROWS * stride, 1), *loss = writes(c, F32, ROWS);
    array_t *ids = reads_values(c, I32, ROWS, targets);
    for (runs(c); next_run(c);)
        llm_cuda_cross_entropy(&c->queue, loss->device, logits->device, stride, ids->device, ROWS,
                               V, how->scale, how->smoothing);
    void *want = room(ROWS), *rows = dense(logits->floats, stride, ROWS, V);
    c->reference->ops->cross_entropy(c->reference, want, rows, targets, ROWS, V, how);
    expect(c, loss, want, 1e-10, "cross-entropy of %zu", V);
    expect(c, logits, strided(logits, rows, stride, ROWS, V), how->scale == 0 ? EXACTLY : CLOSE(c),
           "gradient of %zu logits", V);
    check_clear(c);
}

static void divergence(check_t *c, size_t V, size_t stride, float scale)
{
    array_t *client = changes(c, ACT, ROWS * stride, 2), *full = reads(c, ACT, ROWS * stride, 3);
    array_t *loss = writes(c, F32, ROWS);
    for (runs(c); next_run(c);)
        llm_cuda_kl_divergence(&c->queue, loss->device, client->device, full->device, stride, ROWS,
                               V, scale);
    void *want = room(ROWS), *rows = dense(client->floats, stride, ROWS, V);
    void *other = dense(full->floats, stride, ROWS, V);
    c->reference->ops->kl_divergence(c->reference, want, rows, other, ROWS, V, scale);
    expect(c, loss, want, 1e-9, "divergence of %zu", V);
    expect(c, client, strided(client, rows, stride, ROWS, V), scale == 0 ? EXACTLY : CLOSE(c),
           "divergence's gradient of %zu logits", V);
    free(other);
    check_clear(c);
}

static void cosine(check_t *c, size_t T, size_t C)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *target = reads(c, ACT, T * C, 4), *dx = changes(c, ACT, T * C, 5);
    float *values = copy_of(target);
    for (size_t i = 0; i < C && T > 2; i++)
        values[2 * C + i] = 0; /* a row without direction */
    array_t *x = reads_values(c, ACT, T * C, values);
    free(values);
    array_t *loss = writes(c, F32, T), *bare = writes(c, F32, T);
    array_t *other = reads(c, ACT, T * C, 6);
    for (runs(c); next_run(c);) {
        llm_cuda_cosine(&c->queue, loss->device, dx->device, other->device, x->device, T, C, 0.5f);
        llm_cuda_cosine(&c->queue, bare->device, NULL, other->device, x->device, T, C, 0.5f);
    }
    void *want = room(T), *again = room(T), *gradient = copy_of(dx);
    ops->cosine(c->reference, want, gradient, other->floats, x->floats, T, C, 0.5f);
    ops->cosine(c->reference, again, NULL, other->floats, x->floats, T, C, 0.5f);
    expect(c, loss, want, 1e-10, "cosine %zux%zu", T, C);
    expect(c, bare, again, 1e-10, "cosine without a gradient %zux%zu", T, C);
    expect(c, dx, gradient, CLOSE(c), "cosine's gradient %zux%zu", T, C);
    check_clear(c);
}

static void argmax(check_t *c, size_t V, size_t stride, int special)
{
    array_t *random = reads(c, ACT, ROWS * stride, 7);
    float *values = copy_of(random);
    for (size_t m = 0; m < ROWS && special; m++) {
        float *row = values + m * stride;
        for (size_t v = 0; v < V && m == 0; v++)
            row[v] = -INFINITY;
        if (m == 1)
            row[V / 2] = NAN;
        if (m == 2)
            row[0] = NAN;
        if (m == 3) { /* equals: the lowest index */
            row[V - 1] = 9;
            row[V / 2] = 9;
        }
    }
    array_t *logits = reads_values(c, ACT, ROWS * stride, values);
    array_t *best = writes(c, I32, ROWS);
    for (runs(c); next_run(c);)
        llm_cuda_argmax(&c->queue, best->device, logits->device, stride, ROWS, V);
    int32_t want[ROWS];
    void *rows = dense(logits->floats, stride, ROWS, V);
    c->reference->ops->argmax(c->reference, want, rows, ROWS, V);
    expect_integers(c, best, want, "largest of %zu logits", V);
    free(rows);
    free(values);
    check_clear(c);
}

/* A NaN makes its row's loss NaN, and -inf is a logit that has no share. */
static void not_finite(check_t *c)
{
    const size_t V = 300;
    const int32_t targets[ROWS] = {0, 1, 2, 3, 4};
    array_t *random = reads(c, ACT, ROWS * V, 8);
    float *values = copy_of(random);
    values[0 * V + 77] = NAN;
    values[1 * V + 5] = -INFINITY;
    for (size_t v = 8; v < 16; v++)
        values[2 * V + v] = -INFINITY;
    values[3 * V + 9] = INFINITY;
    array_t *logits = reads_values(c, ACT, ROWS * V, values), *loss = writes(c, F32, ROWS);
    array_t *ids = reads_values(c, I32, ROWS, targets);
    for (runs(c); next_run(c);)
        llm_cuda_cross_entropy(&c->queue, loss->device, logits->device, V, ids->device, ROWS, V, 0,
                               0);
    void *rows = copy_of(logits);
    float want[ROWS];
    void *to = want;
    c->reference->ops->cross_entropy(c->reference, to, rows, targets, ROWS, V,
                                     &(llm_cross_entropy_t){.scale = 0});
    const float *got = loss->answer;
    for (size_t m = 0; m < ROWS; m++) {
        c->compared++;
        if (isnan(want[m]) != isnan(got[m]) || fabsf(want[m] - got[m]) > 1e-4f)
            mistake(c, "the loss of row %zu is %g, not %g", m, (double)got[m], (double)want[m]);
    }
    free(rows);
    free(values);
    check_clear(c);
}

void check_losses(check_t *c)
{
    static const size_t widths[] = {1, 2, 7, 63, 64, 65, 129, 5003};
    for (c->shift = 0; c->shift < 2; c->shift++)
        for (size_t i = 0; i < FEW(c, widths); i++) {
            const size_t V = widths[i], stride = i % 2 ? V : (V + 63) / 64 * 64;
            cross_entropy(c, V, stride, &(llm_cross_entropy_t){0});
            cross_entropy(c, V, stride, &(llm_cross_entropy_t){.scale = 0.125f});
            cross_entropy(c, V, stride, &(llm_cross_entropy_t){.scale = 0.125f, .smoothing = 0.2f});
            divergence(c, V, stride, 0.0f);
            divergence(c, V, stride, 0.25f);
            cosine(c, ROWS, V);
            argmax(c, V, stride, 0);
            argmax(c, V, stride, 1);
        }
    c->shift = 0;
    not_finite(c);
}
