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

/* What norms compute with, each large enough for T rows of C. */
typedef struct {
    llm_act_t *out, *x, *dx, *dout;
    float *stats, *weight, *bias, *dweight, *dbias;
} norm_room_t;

static void layernorm(trace_t *trace, size_t T, size_t C, const norm_room_t *m)
{
    llm_backend_t *be = trace->be;
    be->ops->layernorm_forward(be, m->out, m->stats, m->x, m->weight, m->bias, T, C, 1e-5f);
    trace_acts(trace, m->out, T * C, "layernorm %zux%zu", T, C);
    trace_add(trace, m->stats, 2 * T, "layernorm stats %zux%zu", T, C);
    be->ops->layernorm_backward(be, m->dx, m->dweight, m->dbias, m->dout, m->x, m->stats, m->weight,
                                T, C, true);
    trace_acts(trace, m->dx, T * C, "layernorm dx added %zux%zu", T, C);
    be->ops->layernorm_backward(be, m->out, NULL, NULL, m->dout, m->x, m->stats, m->weight, T, C,
                                false);
    trace_acts(trace, m->out, T * C, "layernorm dx %zux%zu", T, C);
    trace_add(trace, m->dweight, C, "layernorm dweight %zux%zu", T, C);
    trace_add(trace, m->dbias, C, "layernorm dbias %zux%zu", T, C);
}

static void rmsnorm(trace_t *trace, size_t T, size_t C, const norm_room_t *m)
{
    llm_backend_t *be = trace->be;
    be->ops->rmsnorm_forward(be, m->out, m->stats, m->x, m->weight, T, C, 1e-6f);
    trace_acts(trace, m->out, T * C, "rmsnorm %zux%zu", T, C);
    trace_add(trace, m->stats, T, "rmsnorm stats %zux%zu", T, C);
    be->ops->rmsnorm_backward(be, m->dx, m->dweight, m->dout, m->x, m->stats, m->weight, T, C,
                              true);
    trace_acts(trace, m->dx, T * C, "rmsnorm dx added %zux%zu", T, C);
    be->ops->rmsnorm_backward(be, m->out, NULL, m->dout, m->x, m->stats, m->weight, T, C, false);
    trace_acts(trace, m->out, T * C, "rmsnorm dx %zux%zu", T, C);
    trace_add(trace, m->dweight, C, "rmsnorm dweight %zux%zu", T, C);
}

void run_norms(trace_t *trace)
{
    llm_backend_t *be = trace->be;
    for (size_t i = 1; i < COUNT(shapes); i++) { /* C = 1 has no variance */
        size_t T = shapes[i][0];
        size_t C = shapes[i][1], n = T * (C + 2);
        norm_room_t m = {.out = acts_on(be, n, 40), .x = acts_on(be, n, 42)};
        m.dx = acts_on(be, n, 45);
        m.dout = acts_on(be, n, 48);
        m.stats = random_on(be, n, 41);
        m.weight = random_on(be, n, 43);
        m.bias = random_on(be, n, 44);
        m.dweight = random_on(be, n, 46);
        m.dbias = random_on(be, n, 47);
        layernorm(trace, T, C, &m);
        rmsnorm(trace, T, C, &m);
        void *const owned[] = {m.out,    m.x,    m.dx,      m.dout, m.stats,
                               m.weight, m.bias, m.dweight, m.dbias};
        for (size_t j = 0; j < COUNT(owned); j++)
            be->ops->release(be, owned[j]);
    }
}

static void one_of_rows(trace_t *trace, size_t T, size_t C)
{
    llm_backend_t *be = trace->be;
    float *table = random_on(be, 50 * C, 51), *bias = random_on(be, C, 53);
    llm_act_t *x = acts_on(be, T * C, 52);
    int32_t *ids = indices_on(be, T, 50);
    be->ops->embed_forward(be, x, table, ids, T, C);
    trace_acts(trace, x, T * C, "embedding %zux%zu", T, C);
    be->ops->embed_backward(be, table, x, ids, T, C);
    trace_add(trace, table, 50 * C, "embedding gradient %zux%zu", T, C);
    be->ops->bias_backward(be, bias, x, C, T, C);
    trace_add(trace, bias, C, "bias gradient %zux%zu", T, C);
    be->ops->release(be, table);
    be->ops->release(be, x);
    be->ops->release(be, bias);
    be->ops->release(be, ids);
}

static void some_rows(trace_t *trace, size_t C)
{
    static const int32_t chosen[] = {49, 0, 3, 21, 1, 2, 7};
    llm_backend_t *be = trace->be;
    int32_t *rows = integers_on(be, chosen, 7);
    llm_act_t *x = acts_on(be, 50 * C, 56), *some = zero_acts_on(be, 7 * C);
    llm_act_t *wide = acts_on(be, 7 * (C + 3), 57);
    be->ops->gather_rows(be, some, x, rows, 7, C);
    trace_acts(trace, some, 7 * C, "gathered rows %zu", C);
    be->ops->scatter_rows(be, x, some, rows, 7, C);
    trace_acts(trace, x, 50 * C, "scattered rows %zu", C);
    be->ops->copy_rows(be, wide, C + 3, x, 2 * C, 7, C);
    trace_acts(trace, wide, 7 * (C + 3), "copied rows %zu", C);
    be->ops->release(be, rows);
    be->ops->release(be, x);
    be->ops->release(be, some);
    be->ops->release(be, wide);
}

static void one_rope(trace_t *trace, size_t T, size_t heads, size_t D, size_t rotary)
{
    llm_backend_t *be = trace->be;
    size_t stride = heads * D + 3;
    llm_rope_t how = {.T = T, .heads = heads, .D = D, .stride = stride, .rotary = rotary};
    llm_act_t *x = acts_on(be, T * stride, 54);
    float *table = random_on(be, 40 * D, 55);
    int32_t *positions = indices_on(be, T, 40);
    for (int way = 0; way < 4; way++) {
        how.interleaved = way & 2;
        be->ops->rope(be, x, positions, table, &how, way & 1);
        trace_acts(trace, x, T * stride, "rope %zux%zux%zu, %zu turned, way %d", T, heads, D,
                   rotary, way);
    }
    be->ops->release(be, x);
    be->ops->release(be, table);
    be->ops->release(be, positions);
}

void run_rows(trace_t *trace)
{
    for (size_t i = 0; i < COUNT(shapes); i++)
        one_of_rows(trace, shapes[i][0], shapes[i][1]);
    for (size_t i = 0; i < COUNT(shapes); i++)
        some_rows(trace, shapes[i][1]);
    one_rope(trace, 1, 1, 2, 2);
    one_rope(trace, 65, 3, 14, 14);
    one_rope(trace, 70, 12, 64, 64);
    one_rope(trace, 7, 2, 80, 80);
    one_rope(trace, 9, 3, 15, 6);
    one_rope(trace, 9, 2, 80, 32);
    one_rope(trace, 5, 4, 64, 18);
}

static void activations(trace_t *trace, llm_act_t *const *m, size_t n)
{
    llm_backend_t *be = trace->be;
    for (int k = 0; k < LLM_ACTIVATIONS; k++) {
        be->ops->activation_forward(be, m[1], m[0], n, (llm_activation_t)k);
        trace_acts(trace, m[1], n, "activation %d, %zu", k, n);
        be->ops->activation_backward(be, m[2], m[3], m[0], n, (llm_activation_t)k);
        trace_acts(trace, m[2], n, "activation %d gradient, %zu", k, n);
    }
    be->ops->add_act(be, m[2], m[1], n);
    trace_acts(trace, m[2], n, "activations added %zu", n);
    be->ops->scale_act(be, m[1], m[2], 0.3f, n);
    trace_acts(trace, m[1], n, "activations scaled %zu", n);
    be->ops->scale_act(be, m[2], m[2], -1.7f, n);
    trace_acts(trace, m[2], n, "activations scaled in place %zu", n);
    for (int k = 0; k < LLM_ACTIVATIONS; k++) {
        be->ops->glu_forward(be, m[1], m[0], m[3], n, (llm_activation_t)k);
        trace_acts(trace, m[1], n, "gated %d, %zu", k, n);
        be->ops->glu_backward(be, m[4], m[5], m[2], m[0], m[3], n, (llm_activation_t)k);
        trace_acts(trace, m[4], n, "gated %d dgate, %zu", k, n);
        trace_acts(trace, m[5], n, "gated %d dup, %zu", k, n);
    }
    be->ops->softcap_forward(be, m[4], m[0], 0.75f, n);
    trace_acts(trace, m[4], n, "soft cap %zu", n);
    be->ops->softcap_backward(be, m[5], m[4], 0.75f, n);
    trace_acts(trace, m[5], n, "soft cap gradient %zu", n);
    be->ops->softcap_forward(be, m[5], m[5], 30.0f, n);
    trace_acts(trace, m[5], n, "soft cap in place %zu", n);
    be->ops->glu_backward(be, m[0], m[3], m[2], m[0], m[3], n, LLM_ACTIVATION_SILU);
    trace_acts(trace, m[0], n, "swiglu dgate in place %zu", n);
    trace_acts(trace, m[3], n, "swiglu dup in place %zu", n);
}

static void vectors(trace_t *trace, llm_act_t *x, size_t n)
{
    llm_backend_t *be = trace->be;
    float *y = random_on(be, n, 65), *z = random_on(be, n, 66);
    be->ops->scale(be, y, 3.0f, n);
    trace_add(trace, y, n, "scale %zu", n);
    be->ops->add(be, y, z, n);
    trace_add(trace, y, n, "add %zu", n);
    be->ops->widen(be, y, x, n, true);
    trace_add(trace, y, n, "widened and added %zu", n);
    be->ops->narrow(be, x, y, n, true);
    trace_acts(trace, x, n, "narrowed and added %zu", n);
    be->ops->narrow(be, x, z, n, false);
    trace_acts(trace, x, n, "narrowed %zu", n);
    be->ops->widen(be, y, x, n, false);
    trace_add(trace, y, n, "widened %zu", n);
    be->ops->release(be, y);
    be->ops->release(be, z);
}

void run_elements(trace_t *trace)
{
    static const size_t sizes[] = {1, 2, 7, 63, 64, 65, 129, 16384, 33333};
    llm_backend_t *be = trace->be;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        llm_act_t *m[6];
        for (size_t j = 0; j < COUNT(m); j++)
            m[j] = acts_on(be, sizes[i], 60 + j);
        activations(trace, m, sizes[i]);
        vectors(trace, m[0], sizes[i]);
        for (size_t j = 0; j < COUNT(m); j++)
            be->ops->release(be, m[j]);
    }
}

/* n activations from a normal stream, times factor. */
static llm_act_t *scaled_on(llm_backend_t *be, size_t n, uint64_t seed, float factor)
{
    llm_act_t *memory = acts_on(be, n, seed);
    float *wide = zeros_on(be, n);
    be->ops->widen(be, wide, memory, n, false);
    be->ops->scale(be, wide, factor, n);
    be->ops->narrow(be, memory, wide, n, false);
    be->ops->release(be, wide);
    return memory;
}

void run_losses(trace_t *trace)
{
    static const size_t widths[] = {1, 2, 7, 63, 64, 65, 129, 5003};
    llm_backend_t *be = trace->be;
    for (size_t i = 0; i < COUNT(widths); i++) {
        size_t V = widths[i];
        size_t M = 9;
        llm_act_t *logits = scaled_on(be, M * V, 71, 4.0f);
        float *loss = zeros_on(be, M);
        int32_t *targets = indices_on(be, M, V);
        int32_t best[9];
        float as_floats[9];
        be->ops->argmax(be, targets, logits, M, V);
        be->ops->download(be, best, targets, sizeof best);
        for (size_t m = 0; m < M; m++)
            as_floats[m] = (float)best[m];
        be->ops->upload(be, loss, as_floats, sizeof as_floats);
        trace_add(trace, loss, M, "argmax %zu", V);
        be->ops->release(be, targets);
        targets = indices_on(be, M, V);
        be->ops->cross_entropy(be, loss, logits, targets, M, V,
                               &(llm_cross_entropy_t){.scale = 0.0f});
        trace_add(trace, loss, M, "loss %zu", V);
        trace_acts(trace, logits, M * V, "logits left alone %zu", V);
        be->ops->cross_entropy(be, loss, logits, targets, M, V,
                               &(llm_cross_entropy_t){.scale = 0.125f});
        trace_acts(trace, logits, M * V, "gradient of logits %zu", V);
        be->ops->cross_entropy(be, loss, logits, targets, M, V,
                               &(llm_cross_entropy_t){.scale = 0.25f, .smoothing = 0.3f});
        trace_add(trace, loss, M, "smoothed loss %zu", V);
        trace_acts(trace, logits, M * V, "gradient of a smoothed loss %zu", V);
        be->ops->release(be, logits);
        be->ops->release(be, loss);
        be->ops->release(be, targets);
    }
}

static void divergence(trace_t *trace, size_t M, size_t V)
{
    llm_backend_t *be = trace->be;
    llm_act_t *client = scaled_on(be, M * V, 72, 3.0f);
    llm_act_t *full = scaled_on(be, M * V, 73, 4.0f);
    float *loss = zeros_on(be, M);
    be->ops->kl_divergence(be, loss, client, full, M, V, 0.0f);
    trace_add(trace, loss, M, "divergence %zu", V);
    trace_acts(trace, client, M * V, "client's logits left alone %zu", V);
    be->ops->zero(be, loss, M * sizeof *loss);
    be->ops->kl_divergence(be, loss, client, full, M, V, 0.25f);
    trace_add(trace, loss, M, "divergence again %zu", V);
    trace_acts(trace, client, M * V, "gradient of the client's logits %zu", V);
    trace_acts(trace, full, M * V, "full logits left alone %zu", V);
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
        llm_act_t *target = acts_on(be, T * C, 74);
        llm_act_t *x = acts_on(be, T * C, 75);
        llm_act_t *dx = acts_on(be, T * C, 76);
        float *loss = zeros_on(be, T);
        if (T > 3) {
            be->ops->zero(be, llm_act_at(be, target, C), llm_act_bytes(be, C));
            be->ops->zero(be, llm_act_at(be, x, 2 * C), llm_act_bytes(be, C));
        }
        be->ops->cosine(be, loss, NULL, target, x, T, C, 0.5f);
        trace_add(trace, loss, T, "cosine %zux%zu", T, C);
        be->ops->zero(be, loss, T * sizeof *loss);
        be->ops->cosine(be, loss, dx, target, x, T, C, 0.5f);
        trace_add(trace, loss, T, "cosine again %zux%zu", T, C);
        trace_acts(trace, dx, T * C, "cosine dx %zux%zu", T, C);
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
        be->ops->adam_step(be, p, m, v, NULL, g, n, &adam);
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

static void more_optimizers(trace_t *trace, size_t n, float *p, float *m, float *v, float *g)
{
    llm_backend_t *be = trace->be;
    float *means = zeros_on(be, n);
    llm_adam_t adam = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, true, 4};
    be->ops->adam_step(be, p, m, v, means, g, n, &adam);
    trace_add(trace, p, n, "amsgrad %zu", n);
    trace_add(trace, means, n, "amsgrad's largest %zu", n);
    llm_adagrad_t adagrad = {.lr = 0.1f, .eps = 1e-10f, .weight_decay = 0.01f};
    be->ops->adagrad_step(be, p, v, g, n, &adagrad);
    trace_add(trace, p, n, "adagrad %zu", n);
    trace_add(trace, v, n, "adagrad's sums %zu", n);
    for (int way = 0; way < 4; way++) {
        llm_rmsprop_state_t state = {
            .squares = v, .means = way & 1 ? means : NULL, .momentum = way & 2 ? m : NULL};
        llm_rmsprop_t how = {.lr = 0.01f,
                             .alpha = 0.875f,
                             .one_minus_alpha = 0.125f,
                             .eps = 1e-2f,
                             .weight_decay = 0.1f,
                             .momentum = 0.5f};
        be->ops->rmsprop_step(be, p, &state, g, n, &how);
        trace_add(trace, p, n, "rmsprop %zu way %d", n, way);
        trace_add(trace, v, n, "rmsprop's squares %zu way %d", n, way);
    }
    trace_add(trace, means, n, "rmsprop's means %zu", n);
    trace_add(trace, m, n, "rmsprop's momentum %zu", n);
    be->ops->release(be, means);
}

/* Codes are compared by the parameters that they lead to. */
static void coded_optimizer(trace_t *trace, size_t n, float *p, float *g)
{
    llm_backend_t *be = trace->be;
    size_t blocks = (n + LLM_CODED_BLOCK - 1) / LLM_CODED_BLOCK;
    float *scales = zeros_on(be, 2 * blocks);
    uint8_t *codes = be->ops->alloc(be, 2 * n);
    be->ops->zero(be, codes, 2 * n);
    llm_coded_moments_t moments = {
        .m = codes, .v = codes + n, .m_scales = scales, .v_scales = scales + blocks};
    for (uint32_t step = 1; step <= 4; step++) {
        llm_adam_t adam = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, true, step};
        be->ops->adam_coded_step(be, p, &moments, g, n, &adam);
        trace_add(trace, p, n, "coded adam %zu step %u", n, (unsigned)step);
    }
    trace_add(trace, scales, 2 * blocks, "coded adam's scales %zu", n);
    be->ops->release(be, codes);
    be->ops->release(be, scales);
}

static void factors(trace_t *trace, size_t M, size_t N)
{
    llm_backend_t *be = trace->be;
    float *x = random_on(be, M * N, 85), *update = zeros_on(be, M * N);
    float *rows = zeros_on(be, M), *columns = zeros_on(be, N), *each = zeros_on(be, M * N);
    llm_square_means_t means = {.keep = 0.25f, .share = 0.75f, .eps = 1e-3f};
    llm_factored_t how = {.mean = 0.3f, .least = 0.2f};
    for (int i = 0; i < 2; i++) {
        be->ops->square_means(be, rows, columns, x, M, N, &means);
        be->ops->square_means(be, each, NULL, x, M, N, &means);
    }
    trace_add(trace, rows, M, "means of the rows of %zux%zu", M, N);
    trace_add(trace, columns, N, "means of the columns of %zux%zu", M, N);
    trace_add(trace, each, M * N, "means of all of %zux%zu", M, N);
    be->ops->factored_step(be, update, rows, columns, x, M, N, &how);
    trace_add(trace, update, M * N, "factored update of %zux%zu", M, N);
    be->ops->factored_step(be, update, each, NULL, x, M, N, &how);
    trace_add(trace, update, M * N, "update of %zux%zu", M, N);
    float *const all[] = {x, update, rows, columns, each};
    for (size_t i = 0; i < COUNT(all); i++)
        be->ops->release(be, all[i]);
}

void run_optimizers(trace_t *trace)
{
    static const size_t sizes[] = {1, 63, 65, 20001};
    static const size_t matrices[][2] = {{1, 1}, {3, 65}, {70, 5}, {300, 130}};
    llm_backend_t *be = trace->be;
    for (size_t i = 0; i < COUNT(matrices); i++)
        factors(trace, matrices[i][0], matrices[i][1]);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        float *p = random_on(be, sizes[i], 81);
        float *m = zeros_on(be, sizes[i]);
        float *v = zeros_on(be, sizes[i]);
        float *g = random_on(be, sizes[i], 82);
        one_optimizer(trace, sizes[i], p, m, v, g);
        more_optimizers(trace, sizes[i], p, m, v, g);
        coded_optimizer(trace, sizes[i], p, g);
        be->ops->release(be, p);
        be->ops->release(be, m);
        be->ops->release(be, v);
        be->ops->release(be, g);
    }
}

static void column_sums(trace_t *trace, size_t M, size_t N)
{
    llm_backend_t *be = trace->be;
    llm_act_t *x = acts_on(be, M * N, 92);
    float *memory = zeros_on(be, N), floats[130];
    double sums[130] = {0};
    be->ops->column_sum_squares(be, sums, x, M, N);
    be->ops->column_sum_squares(be, sums, x, M / 2, N);
    for (size_t n = 0; n < N; n++)
        floats[n] = (float)sums[n];
    be->ops->upload(be, memory, floats, N * sizeof *floats);
    trace_add(trace, memory, N, "squares of columns %zux%zu", M, N);
    be->ops->release(be, x);
    be->ops->release(be, memory);
}

void run_sums(trace_t *trace)
{
    for (size_t i = 0; i < COUNT(shapes); i++)
        column_sums(trace, shapes[i][0], shapes[i][1] < 130 ? shapes[i][1] : 130);
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
