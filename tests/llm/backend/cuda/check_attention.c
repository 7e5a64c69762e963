/*
 * check_attention.c - packed causal attention and its gradients: ragged
 * sequences, grouped heads, every head width that kernels are made for and
 * some between, rows of queries, keys and values that lie in one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

typedef struct {
    size_t H, KV, D;
    size_t lengths[5]; /* until 0 */
    size_t gap;        /* elements between the rows */
    size_t window;
    float softcap;
    bool slopes; /* 0.1, 0.2 and so on */
} example_t;

static const float slopes_of[] = {0.1f, 0.2f, 0.3f, 0.4f};

typedef struct {
    llm_attention_t host;
    llm_cuda_attention_t device;
    uint32_t starts[6];
} packed_t;

static void pack_example(check_t *c, packed_t *p, const example_t *e)
{
    *p = (packed_t){0};
    size_t S = 0, longest = 0;
    for (; e->lengths[S]; S++) {
        p->starts[S + 1] = p->starts[S] + (uint32_t)e->lengths[S];
        longest = e->lengths[S] > longest ? e->lengths[S] : longest;
    }
    size_t stride = (e->H + 2 * e->KV) * e->D + e->gap, out = e->H * e->D + e->gap;
    float scale = 1.0f / sqrtf((float)e->D);
    p->host = (llm_attention_t){.T = p->starts[S],
                                .S = S,
                                .starts = p->starts,
                                .longest = longest,
                                .H = e->H,
                                .KV = e->KV,
                                .D = e->D,
                                .scale = scale,
                                .q_stride = stride,
                                .k_stride = stride,
                                .v_stride = stride,
                                .out_stride = out,
                                .window = e->window,
                                .softcap = e->softcap,
                                .slopes = e->slopes ? slopes_of : NULL};
    array_t *slopes = reads_values(c, F32, COUNT(slopes_of), slopes_of);
    array_t *starts = reads_values(c, I32, S + 1, p->starts);
    p->device = (llm_cuda_attention_t){.T = p->starts[S],
                                       .S = S,
                                       .starts = starts->device,
                                       .longest = longest,
                                       .H = e->H,
                                       .KV = e->KV,
                                       .D = e->D,
                                       .scale = scale,
                                       .q_stride = stride,
                                       .k_stride = stride,
                                       .v_stride = stride,
                                       .out_stride = out,
                                       .window = e->window,
                                       .softcap = e->softcap,
                                       .slopes = e->slopes ? slopes->device : NULL};
}

/* Element so many of device memory. */
static void *at(const array_t *array, size_t elements)
{
    return (char *)array->device + elements * array->element;
}

/* What an array held first, where rows of width are overwritten. */
static void *expected(const array_t *array, const float *rows, size_t T, size_t stride,
                      size_t width)
{
    float *want = copy_of(array);
    for (size_t t = 0; t < T; t++)
        memcpy(want + t * stride, rows + t * stride, width * sizeof *want);
    return want;
}

static void attention(check_t *c, const example_t *e)
{
    const llm_ops_t *ops = c->reference->ops;
    packed_t p;
    pack_example(c, &p, e);
    size_t T = p.host.T, stride = p.host.q_stride, out_stride = p.host.out_stride;
    size_t keys = e->H * e->D, values = keys + e->KV * e->D;
    array_t *qkv = reads(c, ACT, T * stride, 1), *dout = reads(c, ACT, T * out_stride, 2);
    array_t *out = changes(c, ACT, T * out_stride, 3), *lse = writes(c, F32, T * e->H);
    array_t *dqkv = changes(c, ACT, T * stride, 4);
    array_t *scratch = writes(c, F32, llm_cuda_attention_scratch(&p.device));
    llm_cuda_attention_backward_t tensors = {at(dqkv, 0),   at(dqkv, keys),  at(dqkv, values),
                                             dout->device,  out->device,     at(qkv, 0),
                                             at(qkv, keys), at(qkv, values), lse->device};
    for (runs(c); next_run(c);) {
        llm_cuda_attention_forward(&c->queue, out->device, lse->device, at(qkv, 0), at(qkv, keys),
                                   at(qkv, values), &p.device);
        llm_cuda_attention_backward(&c->queue, &tensors, &p.device, scratch->device);
    }
    float *x = qkv->floats, *result = copy_of(out), *gradient = copy_of(dqkv);
    void *sums = room(T * e->H), *q = x, *k = x + keys, *v = x + values, *o = result;
    void *dq = gradient, *dk = gradient + keys, *dv = gradient + values;
    void *unused = room(ops->attention_scratch(c->reference, &p.host));
    ops->attention_forward(c->reference, o, sums, q, k, v, &p.host, unused);
    ops->attention_backward(c->reference, dq, dk, dv, dout->floats, o, sums, q, k, v, &p.host,
                            unused);
#define EXAMPLE "%s of H %zu, KV %zu, D %zu, T %zu, window %zu, cap %g, slopes %d"
#define BENT    e->window, (double)e->softcap, (int)e->slopes
    expect(c, out, expected(out, result, T, out_stride, keys), CLOSE_SOFTMAX(c), EXAMPLE,
           "attention", e->H, e->KV, e->D, T, BENT);
    expect(c, lse, sums, 1e-6, EXAMPLE, "log-sum-exp", e->H, e->KV, e->D, T, BENT);
    expect(c, dqkv, expected(dqkv, gradient, T, stride, values + e->KV * e->D), CLOSE_SOFTMAX(c),
           EXAMPLE, "attention's gradients", e->H, e->KV, e->D, T, BENT);
    free(unused);
    free(result);
    free(gradient);
    check_clear(c);
}

void check_attention(check_t *c)
{
    static const example_t examples[] = {
        {2, 2, 64, {1, 5, 70, 0}, 0, 0, 0, 0},    {4, 2, 64, {130, 33, 0}, 8, 0, 0, 0},
        {3, 1, 64, {64, 65, 0}, 0, 0, 0, 0},      {2, 1, 80, {50, 17, 0}, 0, 0, 0, 0},
        {1, 1, 96, {100, 0}, 0, 0, 0, 0},         {2, 1, 128, {131, 2, 0}, 0, 0, 0, 0},
        {2, 1, 256, {40, 70, 0}, 0, 0, 0, 0},     {1, 1, 8, {20, 0}, 0, 0, 0, 0},
        {2, 2, 20, {9, 1, 35, 0}, 3, 0, 0, 0},    {2, 1, 72, {40, 0}, 8, 0, 0, 0},
        {1, 1, 200, {66, 0}, 0, 0, 0, 0},         {1, 1, 2, {3, 0}, 1, 0, 0, 0},
        {2, 1, 64, {270, 33, 0}, 0, 3, 0, 0},     {2, 2, 64, {70, 200, 0}, 0, 100, 0.7f, 0},
        {4, 2, 20, {140, 9, 0}, 3, 33, 0, 1},     {2, 1, 80, {50, 17, 0}, 0, 0, 1.5f, 1},
        {2, 1, 128, {290, 2, 0}, 0, 40, 2.0f, 0}, {2, 1, 256, {40, 150, 0}, 0, 17, 1.0f, 1},
        {1, 1, 96, {100, 0}, 0, 1, 0, 0},
    };
    for (size_t i = 0; i < COUNT(examples); i++)
        attention(c, &examples[i]);
    c->shift = 1;
    attention(c, &examples[0]);
    attention(c, &examples[3]);
    c->shift = 0;
}
