/*
 * cases_rows.c - norms, embeddings, activations, losses, optimizers and sums
 * on odd sizes.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cases.h"
#include "gradcheck.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const size_t shapes[][2] = {{1, 1},   {2, 7},    {7, 63},  {3, 64},
                                   {65, 65}, {129, 16}, {5, 768}, {63, 129}};

static void layernorm(trace_t *trace, size_t T, size_t C, float *const *m)
{
    llm_backend_t *be = trace->be;
    be->ops->layernorm_forward(be, m[0], m[1], m[2], m[3], m[4], T, C, 1e-5f);
    trace_add(trace, m[0], T * C, "layernorm %zux%zu", T, C);
    trace_add(trace, m[1], 2 * T, "layernorm stats %zux%zu", T, C);
    be->ops->layernorm_backward(be, m[5], m[6], m[7], m[8], m[2], m[1], m[3], T, C);
    be->ops->layernorm_backward(be, m[5], NULL, NULL, m[8], m[2], m[1], m[3], T, C);
    trace_add(trace, m[5], T * C, "layernorm dx %zux%zu", T, C);
    trace_add(trace, m[6], C, "layernorm dweight %zux%zu", T, C);
    trace_add(trace, m[7], C, "layernorm dbias %zux%zu", T, C);
}

static void rmsnorm(trace_t *trace, size_t T, size_t C, float *const *m)
{
    llm_backend_t *be = trace->be;
    be->ops->rmsnorm_forward(be, m[0], m[1], m[2], m[3], T, C, 1e-6f);
    trace_add(trace, m[0], T * C, "rmsnorm %zux%zu", T, C);
    trace_add(trace, m[1], T, "rmsnorm stats %zux%zu", T, C);
    be->ops->rmsnorm_backward(be, m[5], m[6], m[8], m[2], m[1], m[3], T, C);
    be->ops->rmsnorm_backward(be, m[5], NULL, m[8], m[2], m[1], m[3], T, C);
    trace_add(trace, m[5], T * C, "rmsnorm dx %zux%zu", T, C);
    trace_add(trace, m[6], C, "rmsnorm dweight %zux%zu", T, C);
}

void run_norms(trace_t *trace)
{
    llm_backend_t *be = trace->be;
    for (size_t i = 1; i < COUNT(shapes); i++) { /* C = 1 has no variance */
        size_t T = shapes[i][0];
        size_t C = shapes[i][1];
        float *m[9];
        for (size_t j = 0; j < COUNT(m); j++)
            m[j] = random_on(be, T * (C + 2), 40 + j);
        layernorm(trace, T, C, m);
        rmsnorm(trace, T, C, m);
        for (size_t j = 0; j < COUNT(m); j++)
            be->ops->release(be, m[j]);
    }
}

static void one_of_rows(trace_t *trace, size_t T, size_t C)
{
    llm_backend_t *be = trace->be;
    float *table = random_on(be, 50 * C, 51);
    float *x = random_on(be, T * C, 52);
    float *bias = random_on(be, C, 53);
    int32_t *ids = indices_on(be, T, 50);
    be->ops->embed_forward(be, x, table, ids, T, C);
    trace_add(trace, x, T * C, "embedding %zux%zu", T, C);
    be->ops->bias_forward(be, x, bias, T, C);
    trace_add(trace, x, T * C, "bias %zux%zu", T, C);
    be->ops->embed_backward(be, table, x, ids, T, C);
    trace_add(trace, table, 50 * C, "embedding gradient %zux%zu", T, C);
    be->ops->bias_backward(be, bias, x, T, C);
    trace_add(trace, bias, C, "bias gradient %zux%zu", T, C);
    be->ops->release(be, ids);
    ids = be->ops->alloc(be, 7 * sizeof *ids);
    be->ops->upload(be, ids, (int32_t[]){49, 0, 3, 21, 1, 2, 7}, 7 * sizeof *ids);
    float *some = zeros_on(be, 7 * C);
    be->ops->gather_rows(be, some, table, ids, 7, C);
    trace_add(trace, some, 7 * C, "gathered rows %zu", C);
    be->ops->scatter_rows(be, table, some, ids, 7, C);
    trace_add(trace, table, 50 * C, "scattered rows %zu", C);
    be->ops->release(be, table);
    be->ops->release(be, x);
    be->ops->release(be, bias);
    be->ops->release(be, ids);
    be->ops->release(be, some);
}

static void one_rope(trace_t *trace, size_t T, size_t heads, size_t D)
{
    llm_backend_t *be = trace->be;
    size_t stride = heads * D + 3;
    float *x = random_on(be, T * stride, 54);
    float *table = random_on(be, 40 * D, 55);
    int32_t *positions = indices_on(be, T, 40);
    be->ops->rope(be, x, stride, positions, table, T, heads, D, false);
    trace_add(trace, x, T * stride, "rope %zux%zux%zu", T, heads, D);
    be->ops->rope(be, x, stride, positions, table, T, heads, D, true);
    trace_add(trace, x, T * stride, "rope back %zux%zux%zu", T, heads, D);
    be->ops->release(be, x);
    be->ops->release(be, table);
    be->ops->release(be, positions);
}

void run_rows(trace_t *trace)
{
    for (size_t i = 0; i < COUNT(shapes); i++)
        one_of_rows(trace, shapes[i][0], shapes[i][1]);
    one_rope(trace, 1, 1, 2);
    one_rope(trace, 65, 3, 14);
    one_rope(trace, 70, 12, 64);
    one_rope(trace, 7, 2, 80);
}

static void activations(trace_t *trace, float *const *m, size_t n)
{
    llm_backend_t *be = trace->be;
    be->ops->scale(be, m[0], 3.0f, n);
    trace_add(trace, m[0], n, "scale %zu", n);
    for (int exact = 0; exact < 2; exact++) {
        be->ops->gelu_forward(be, m[1], m[0], n, exact);
        trace_add(trace, m[1], n, "gelu%s %zu", exact ? ", exact" : "", n);
        be->ops->gelu_backward(be, m[2], m[3], m[0], n, exact);
        trace_add(trace, m[2], n, "gelu gradient%s %zu", exact ? ", exact" : "", n);
    }
    be->ops->add(be, m[2], m[1], n);
    trace_add(trace, m[2], n, "add %zu", n);
    be->ops->swiglu_forward(be, m[1], m[0], m[3], n);
    trace_add(trace, m[1], n, "swiglu %zu", n);
    be->ops->swiglu_backward(be, m[0], m[3], m[2], m[0], m[3], n);
    trace_add(trace, m[0], n, "swiglu dgate %zu", n);
    trace_add(trace, m[3], n, "swiglu dup %zu", n);
    fmq_rng_name_t stream = {.seed = 77, .purpose = FMQ_RNG_DROPOUT, .client = 3, .round = 5};
    be->ops->dropout(be, m[1], m[0], n, 0.3f, &stream, false);
    trace_add(trace, m[1], n, "dropout %zu", n);
    be->ops->dropout(be, m[1], m[1], n, 0.6f, &stream, true);
    trace_add(trace, m[1], n, "dropout added %zu", n);
    be->ops->dropout(be, m[1], m[0], n, 0.0f, &stream, false);
    be->ops->copy(be, m[2], m[1], n * sizeof(float));
    trace_add(trace, m[2], n, "dropout of nothing %zu", n);
}

void run_elements(trace_t *trace)
{
    static const size_t sizes[] = {1, 2, 7, 63, 64, 65, 129, 16384, 33333};
    llm_backend_t *be = trace->be;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        float *m[4];
        for (size_t j = 0; j < COUNT(m); j++)
            m[j] = random_on(be, sizes[i], 60 + j);
        activations(trace, m, sizes[i]);
        for (size_t j = 0; j < COUNT(m); j++)
            be->ops->release(be, m[j]);
    }
}

void run_losses(trace_t *trace)
{
    static const size_t widths[] = {1, 2, 7, 63, 64, 65, 129, 5003};
    llm_backend_t *be = trace->be;
    for (size_t i = 0; i < COUNT(widths); i++) {
        size_t V = widths[i];
        size_t M = 9;
        float *logits = random_on(be, M * V, 71);
        float *loss = zeros_on(be, M);
        int32_t *targets = indices_on(be, M, V);
        int32_t best[9];
        float as_floats[9];
        be->ops->scale(be, logits, 4.0f, M * V);
        be->ops->argmax(be, targets, logits, M, V);
        be->ops->download(be, best, targets, sizeof best);
        for (size_t m = 0; m < M; m++)
            as_floats[m] = (float)best[m];
        be->ops->upload(be, loss, as_floats, sizeof as_floats);
        trace_add(trace, loss, M, "argmax %zu", V);
        be->ops->release(be, targets);
        targets = indices_on(be, M, V);
        be->ops->cross_entropy(be, loss, logits, targets, M, V, 0.0f);
        trace_add(trace, loss, M, "loss %zu", V);
        trace_add(trace, logits, M * V, "logits left alone %zu", V);
        be->ops->cross_entropy(be, loss, logits, targets, M, V, 0.125f);
        trace_add(trace, logits, M * V, "gradient of logits %zu", V);
        be->ops->release(be, logits);
        be->ops->release(be, loss);
        be->ops->release(be, targets);
    }
}

static void divergence(trace_t *trace, size_t M, size_t V)
{
    llm_backend_t *be = trace->be;
    float *client = random_on(be, M * V, 72);
    float *full = random_on(be, M * V, 73);
    float *loss = zeros_on(be, M);
    be->ops->scale(be, client, 3.0f, M * V);
    be->ops->scale(be, full, 4.0f, M * V);
    be->ops->kl_divergence(be, loss, client, full, M, V, 0.0f);
    trace_add(trace, loss, M, "divergence %zu", V);
    trace_add(trace, client, M * V, "client's logits left alone %zu", V);
    be->ops->zero(be, loss, M * sizeof *loss);
    be->ops->kl_divergence(be, loss, client, full, M, V, 0.25f);
    trace_add(trace, loss, M, "divergence again %zu", V);
    trace_add(trace, client, M * V, "gradient of the client's logits %zu", V);
    trace_add(trace, full, M * V, "full logits left alone %zu", V);
    be->ops->release(be, client);
    be->ops->release(be, full);
    be->ops->release(be, loss);
}

void run_divergence(trace_t *trace)
{
    static const size_t widths[] = {2, 7, 63, 64, 65, 129, 5003};
    for (size_t i = 0; i < COUNT(widths); i++)
        divergence(trace, 9, widths[i]);
    divergence(trace, 1, 300);
}

void run_cosine(trace_t *trace)
{
    llm_backend_t *be = trace->be;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        size_t T = shapes[i][0];
        size_t C = shapes[i][1];
        float *target = random_on(be, T * C, 74);
        float *x = random_on(be, T * C, 75);
        float *dx = random_on(be, T * C, 76);
        float *loss = zeros_on(be, T);
        if (T > 3) {
            be->ops->zero(be, target + C, C * sizeof *target);
            be->ops->zero(be, x + 2 * C, C * sizeof *x);
        }
        be->ops->cosine(be, loss, NULL, target, x, T, C, 0.5f);
        trace_add(trace, loss, T, "cosine %zux%zu", T, C);
        be->ops->zero(be, loss, T * sizeof *loss);
        be->ops->cosine(be, loss, dx, target, x, T, C, 0.5f);
        trace_add(trace, loss, T, "cosine again %zux%zu", T, C);
        trace_add(trace, dx, T * C, "cosine dx %zux%zu", T, C);
        be->ops->release(be, target);
        be->ops->release(be, x);
        be->ops->release(be, dx);
        be->ops->release(be, loss);
    }
}

static void one_optimizer(trace_t *trace, size_t n, float *p, float *m, float *v, float *g)
{
    llm_backend_t *be = trace->be;
    for (uint32_t step = 1; step <= 3; step++) {
        llm_adam_t adam = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, step != 2, step};
        be->ops->adam_step(be, p, m, v, g, n, &adam);
        trace_add(trace, p, n, "adam %zu step %u", n, (unsigned)step);
    }
    trace_add(trace, m, n, "adam's first moment %zu", n);
    trace_add(trace, v, n, "adam's second moment %zu", n);
    for (int way = 0; way < 8; way++) {
        llm_sgd_t sgd = {0.1f, 0.9f, way & 4 ? 0.0f : 0.2f, 0.01f, way & 4, way & 1};
        be->ops->sgd_step(be, p, way & 2 ? m : NULL, g, n, &sgd);
        trace_add(trace, p, n, "sgd %zu way %d", n, way);
    }
}

void run_optimizers(trace_t *trace)
{
    static const size_t sizes[] = {1, 63, 65, 20001};
    llm_backend_t *be = trace->be;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        float *p = random_on(be, sizes[i], 81);
        float *m = zeros_on(be, sizes[i]);
        float *v = zeros_on(be, sizes[i]);
        float *g = random_on(be, sizes[i], 82);
        one_optimizer(trace, sizes[i], p, m, v, g);
        be->ops->release(be, p);
        be->ops->release(be, m);
        be->ops->release(be, v);
        be->ops->release(be, g);
    }
}

void run_sums(trace_t *trace)
{
    static const size_t sizes[] = {0, 1, 15, 17, 16384, 16385, 200003};
    llm_backend_t *be = trace->be;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        float *x = random_on(be, sizes[i] + 2, 91);
        float sums[2] = {(float)be->ops->sum(be, x, sizes[i]),
                         (float)be->ops->sum_squares(be, x, sizes[i])};
        be->ops->upload(be, x, sums, sizeof sums);
        trace_add(trace, x, 2, "sums of %zu", sizes[i]);
        be->ops->release(be, x);
    }
}
