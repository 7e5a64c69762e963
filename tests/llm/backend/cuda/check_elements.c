/*
 * check_elements.c - activations, dropout and vectors of floats on odd sizes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fedmq/base/rng.h"
#include "llm/backend/constants.h"

static const size_t sizes[] = {1, 2, 7, 63, 64, 65, 129, 2049, 4100};

static void add(check_t *c, size_t n)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *y = changes(c, ACT, n, 1), *x = reads(c, ACT, n, 2);
    for (runs(c); next_run(c);)
        llm_cuda_add(&c->queue, y->device, x->device, n);
    void *want = copy_of(y);
    ops->add_act(c->reference, want, x->floats, n);
    expect(c, y, want, EXACTLY, "add %zu", n);
    check_clear(c);
}

static void scaled(check_t *c, size_t n)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *x = reads(c, ACT, n, 2), *y = writes(c, ACT, n);
    for (runs(c); next_run(c);)
        llm_cuda_scale_act(&c->queue, y->device, x->device, 0.3f, n);
    void *want = room(n);
    ops->scale_act(c->reference, want, x->floats, 0.3f, n);
    expect(c, y, want, EXACTLY, "scaled %zu", n);
    check_clear(c);
}

static void activation(check_t *c, size_t n, llm_activation_t kind)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *x = reads(c, ACT, n, 3), *dout = reads(c, ACT, n, 4);
    array_t *out = writes(c, ACT, n), *dx = writes(c, ACT, n);
    for (runs(c); next_run(c);) {
        llm_cuda_activation_forward(&c->queue, out->device, x->device, n, kind);
        llm_cuda_activation_backward(&c->queue, dx->device, dout->device, x->device, n, kind);
    }
    void *want = room(n), *gradient = room(n);
    ops->activation_forward(c->reference, want, x->floats, n, kind);
    ops->activation_backward(c->reference, gradient, dout->floats, x->floats, n, kind);
    expect(c, out, want, CLOSE(c), "activation %d, %zu", kind, n);
    expect(c, dx, gradient, CLOSE(c), "activation %d's gradient, %zu", kind, n);
    check_clear(c);
}

static void glu(check_t *c, size_t n, llm_activation_t kind)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *gate = changes(c, ACT, n, 6), *up = changes(c, ACT, n, 7);
    array_t *dout = reads(c, ACT, n, 8), *out = writes(c, ACT, n);
    for (runs(c); next_run(c);) {
        llm_cuda_glu_forward(&c->queue, out->device, gate->device, up->device, n, kind);
        llm_cuda_glu_backward(&c->queue, gate->device, up->device, dout->device, gate->device,
                              up->device, n, kind); /* in place, as allowed */
    }
    void *want = room(n), *dgate = room(n), *dup = room(n);
    ops->glu_forward(c->reference, want, gate->floats, up->floats, n, kind);
    ops->glu_backward(c->reference, dgate, dup, dout->floats, gate->floats, up->floats, n, kind);
    expect(c, out, want, CLOSE(c), "gated %d, %zu", kind, n);
    expect(c, gate, dgate, CLOSE(c), "gated %d's gradient of gate, %zu", kind, n);
    expect(c, up, dup, CLOSE(c), "gated %d's gradient of up, %zu", kind, n);
    check_clear(c);
}

static void softcap(check_t *c, size_t n)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *x = reads(c, ACT, n, 23), *y = writes(c, ACT, n);
    array_t *given = reads(c, ACT, n, 24), *dx = changes(c, ACT, n, 25);
    for (runs(c); next_run(c);) {
        llm_cuda_softcap_forward(&c->queue, y->device, x->device, 0.75f, n);
        llm_cuda_softcap_backward(&c->queue, dx->device, given->device, 0.75f, n);
    }
    void *want = room(n), *gradient = copy_of(dx);
    ops->softcap_forward(c->reference, want, x->floats, 0.75f, n);
    ops->softcap_backward(c->reference, gradient, given->floats, 0.75f, n);
    expect(c, y, want, CLOSE(c), "soft cap %zu", n);
    expect(c, dx, gradient, CLOSE(c), "soft cap's gradient %zu", n);
    check_clear(c);
}

static void convert(check_t *c, size_t n, bool more)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *x = reads(c, ACT, n, 9), *y = reads(c, F32, n, 10);
    array_t *wide = changes(c, F32, n, 11), *narrow = changes(c, ACT, n, 12);
    for (runs(c); next_run(c);) {
        llm_cuda_widen(&c->queue, wide->device, x->device, n, more);
        llm_cuda_narrow(&c->queue, narrow->device, y->device, n, more);
    }
    void *floats = copy_of(wide), *acts = copy_of(narrow);
    ops->widen(c->reference, floats, x->floats, n, more);
    ops->narrow(c->reference, acts, y->floats, n, more);
    expect(c, wide, floats, EXACTLY, "widened %zu", n);
    expect(c, narrow, acts, EXACTLY, "narrowed %zu", n);
    check_clear(c);
}

void check_elements(check_t *c)
{
    for (c->shift = 0; c->shift < 2; c->shift++)
        for (size_t i = 0; i < FEW(c, sizes); i++) {
            add(c, sizes[i]);
            scaled(c, sizes[i]);
            for (int kind = 0; kind < LLM_ACTIVATIONS; kind++) {
                activation(c, sizes[i], (llm_activation_t)kind);
                glu(c, sizes[i], (llm_activation_t)kind);
            }
            softcap(c, sizes[i]);
            convert(c, sizes[i], false);
            convert(c, sizes[i], true);
        }
}

static fmq_rng_name_t dropout_name(uint64_t seed)
{
    return (fmq_rng_name_t){.seed = seed, .purpose = FMQ_RNG_DROPOUT, .client = 3, .round = 5};
}

uint8_t *dropout_bits(size_t M, size_t in, float p, uint64_t seed)
{
    size_t bytes = (in + 7) / 8;
    uint64_t threshold = (uint64_t)((double)p * 4294967296.0);
    uint8_t *bits = calloc(M * bytes, 1);
    fmq_rng_t rng;
    fmq_rng_name_t name = dropout_name(seed);
    fmq_rng_init(&rng, &name);
    for (size_t m = 0; m < M; m++)
        for (size_t i = 0; i < in; i++)
            if ((uint64_t)fmq_rng_u32(&rng) >= threshold)
                bits[m * bytes + i / 8] |= (uint8_t)(1u << i % 8);
    return bits;
}

llm_cuda_dropout_t dropout_stream(float p, uint64_t seed)
{
    fmq_rng_t rng;
    fmq_rng_name_t name = dropout_name(seed);
    fmq_rng_init(&rng, &name);
    llm_cuda_dropout_t stream = {
        .threshold = p > 0 ? (uint64_t)((double)p * 4294967296.0) : 0,
        .keep = p < 1 ? (float)(1.0 / (1.0 - (double)p)) : 0.0f,
    };
    for (size_t i = 0; i < 2; i++)
        stream.key[i] = rng.key[i];
    for (size_t i = 0; i < 4; i++)
        stream.counter[i] = rng.counter[i];
    return stream;
}

/* Row by row what base/rng.h draws, behind so many others. */
static void mask(check_t *c, size_t before, size_t M, size_t in, float p)
{
    llm_cuda_dropout_t stream = dropout_stream(p, 0x1234567890abcdefu);
    size_t bytes = (in + 7) / 8;
    stream.first = before * in;
    array_t *drawn = writes(c, BYTES, M * bytes);
    for (runs(c); next_run(c);)
        llm_cuda_dropout_mask(&c->queue, drawn->device, M, in, &stream);
    uint8_t *want = dropout_bits(before + M, in, p, 0x1234567890abcdefu);
    c->compared++;
    if (memcmp(drawn->answer, want + before * bytes, M * bytes))
        mistake(c, "another mask than the CPU's for %zux%zu of %.2f behind %zu rows", M, in,
                (double)p, before);
    free(want);
    check_clear(c);
}

void check_dropout(check_t *c)
{
    static const size_t shapes[][2] = {{1, 1}, {3, 7}, {5, 8}, {9, 13}, {4, 64}, {3, 770}};
    for (size_t i = 0; i < FEW(c, shapes); i++) {
        mask(c, 0, shapes[i][0], shapes[i][1], 0.3f);
        mask(c, 3, shapes[i][0], shapes[i][1], 0.3f);
        mask(c, 0, shapes[i][0], shapes[i][1], 1.0f);
    }
}

static void adam(check_t *c, size_t n, bool decoupled)
{
    llm_adam_t how = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, decoupled, 3};
    llm_adam_scalars_t s = llm_adam_scalars(&how);
    llm_cuda_adam_t scalars = {s.beta1,     s.one_minus_beta1, s.beta2, s.one_minus_beta2,
                               s.step_size, s.sqrt_bias2,      s.eps,   s.l2,
                               s.keep};
    array_t *p = changes(c, F32, n, 13), *m = changes(c, F32, n, 14), *g = reads(c, F32, n, 15);
    array_t *v = zeroed(c, F32, n);
    for (runs(c); next_run(c);)
        llm_cuda_adam_step(&c->queue, p->device, m->device, v->device, NULL, g->device, n,
                           &scalars);
    void *params = copy_of(p), *first = copy_of(m), *second = copy_of(v);
    c->reference->ops->adam_step(c->reference, params, first, second, NULL, g->floats, n, &how);
    expect(c, p, params, EXACTLY, "adam %zu", n);
    expect(c, m, first, EXACTLY, "adam's first moment %zu", n);
    expect(c, v, second, EXACTLY, "adam's second moment %zu", n);
    check_clear(c);
}

static void sgd(check_t *c, size_t n, int way)
{
    llm_sgd_t how = {0.1f, 0.9f, way & 4 ? 0.0f : 0.2f, 0.01f, way & 4, way & 1};
    llm_cuda_sgd_t scalars = {
        how.lr,           how.momentum, (float)(1.0 - llm_decimal(how.dampening)),
        how.weight_decay, how.nesterov, how.first};
    array_t *p = changes(c, F32, n, 16), *m = changes(c, F32, n, 17), *g = reads(c, F32, n, 18);
    bool momentum = way & 2;
    for (runs(c); next_run(c);)
        llm_cuda_sgd_step(&c->queue, p->device, momentum ? m->device : NULL, g->device, n,
                          &scalars);
    void *params = copy_of(p), *buffer = copy_of(m);
    c->reference->ops->sgd_step(c->reference, params, momentum ? buffer : NULL, g->floats, n, &how);
    expect(c, p, params, EXACTLY, "sgd %zu, way %d", n, way);
    expect(c, m, buffer, EXACTLY, "sgd's momentum %zu, way %d", n, way);
    check_clear(c);
}

static void sums(check_t *c, size_t n, bool squares)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *x = reads(c, F32, n, 19), *act = reads(c, ACT, n, 20);
    array_t *result = writes(c, F64, 2), *scratch = writes(c, F64, LLM_CUDA_SUM_SCRATCH);
    double *to = result->device;
    for (runs(c); next_run(c);) {
        llm_cuda_sum(&c->queue, to, x->device, n, squares, scratch->device);
        llm_cuda_sum_activations(&c->queue, to + 1, act->device, n, squares, scratch->device);
    }
    const double *answer = result->answer;
    double want = squares ? ops->sum_squares(c->reference, x->floats, n)
                          : ops->sum(c->reference, x->floats, n);
    double want_act = squares ? ops->sum_squares(c->reference, act->floats, n)
                              : ops->sum(c->reference, act->floats, n);
    c->compared += 2;
    if (!(fabs(answer[0] - want) <= 1e-11 * (1.0 + (double)n)))
        mistake(c, "the sum of %zu is %.17g, not %.17g", n, answer[0], want);
    if (!(fabs(answer[1] - want_act) <= 1e-11 * (1.0 + (double)n)))
        mistake(c, "the sum of %zu activations is %.17g, not %.17g", n, answer[1], want_act);
    check_clear(c);
}

static void scale(check_t *c, size_t n)
{
    array_t *x = changes(c, F32, n, 21), *y = reads(c, F32, n, 22);
    for (runs(c); next_run(c);) {
        llm_cuda_add_floats(&c->queue, x->device, y->device, n);
        llm_cuda_scale(&c->queue, x->device, 0.3f, n);
    }
    void *want = copy_of(x);
    c->reference->ops->add(c->reference, want, y->floats, n);
    c->reference->ops->scale(c->reference, want, 0.3f, n);
    expect(c, x, want, EXACTLY, "added and scaled %zu", n);
    check_clear(c);
}

void check_vectors(check_t *c)
{
    static const size_t lengths[] = {0, 1, 15, 17, 4095, 4097, 20003};
    for (size_t i = 0; i < FEW(c, lengths); i++) {
        sums(c, lengths[i], false);
        sums(c, lengths[i], true);
    }
    for (size_t i = 0; i < FEW(c, sizes); i++) {
        scale(c, sizes[i]);
        adam(c, sizes[i], true);
        adam(c, sizes[i], false);
    }
    for (int way = 0; way < 8; way++)
        sgd(c, 1001, way);
}
