/*
 * cases_awkward.c - see the header.
 */
#include "cases_awkward.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acts.h"
#include "gradcheck.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SIZES        70 /* of rows: 1 .. SIZES */
#define ROWS         3

typedef enum { BETWEEN, TINY, HUGE_ONES, ZEROS, BROKEN, KINDS } kind_t;

static const char *const kind_names[] = {"between", "tiny", "huge", "zeros", "broken"};

/* Close to 2^e (1 +- 2^-23): products of two lie a little beside the middle of
 * two floats, as far beside it as double precision does not show. */
static float between(uint32_t bits)
{
    float value = 1.0f + (float)(int32_t)(bits % 7 - 3) * 0x1p-23f;
    return ldexpf(bits & 8 ? -value : value, (int)(bits >> 4 & 3) * -12);
}

static float awkward(kind_t kind, uint32_t bits, float ordinary)
{
    static const float broken[] = {INFINITY, -INFINITY, NAN, 0x1.fffffep127f, -0.0f};
    switch (kind) {
    case BETWEEN:
        return between(bits);
    case TINY:
        return ldexpf(ordinary, -(int)(bits % 90 + 60)); /* products and values may vanish */
    case HUGE_ONES:
        return ldexpf(ordinary, (int)(bits % 126));
    case ZEROS:
        return bits % 3 == 0 ? 0.0f : bits % 3 == 1 ? -0.0f : ldexpf(ordinary, -140);
    default:
        return bits % 31 < COUNT(broken) ? broken[bits % 31] : ordinary;
    }
}

static void awkward_floats(float *x, size_t n, kind_t kind, uint64_t seed)
{
    fmq_rng_name_t name = {.seed = seed, .purpose = FMQ_RNG_TEST, .client = 1};
    fmq_rng_t rng;
    fmq_rng_init(&rng, &name);
    random_floats(x, n, seed);
    for (size_t i = 0; i < n; i++)
        x[i] = awkward(kind, fmq_rng_u32(&rng) >> 8, x[i]);
}

static float *awkward_on(llm_backend_t *be, size_t n, kind_t kind, uint64_t seed)
{
    float *host = malloc(n * sizeof(float));
    float *memory = be->ops->alloc(be, n * sizeof(float));
    assert_true(host && memory);
    awkward_floats(host, n, kind, seed);
    be->ops->upload(be, memory, host, n * sizeof(float));
    free(host);
    return memory;
}

/* Buffers of a case on rows, all of one kind. */
enum { BUFFERS = 8 };

static void take(llm_backend_t *be, float *m[BUFFERS], size_t n, kind_t kind)
{
    for (size_t i = 0; i < BUFFERS; i++)
        m[i] = awkward_on(be, n, kind, 100 + i);
}

static void give_back(llm_backend_t *be, float *m[BUFFERS])
{
    for (size_t i = 0; i < BUFFERS; i++)
        be->ops->release(be, m[i]);
}

static void norms(trace_t *trace, float *const *m, size_t C, const char *kind)
{
    llm_backend_t *be = trace->be;
    be->ops->layernorm_forward(be, act(m[0]), m[1], const_act(m[2]), m[3], m[4], ROWS, C, 1e-5f);
    trace_add(trace, m[0], ROWS * C, "layernorm of %s, %zu", kind, C);
    trace_add(trace, m[1], 2 * ROWS, "layernorm stats of %s, %zu", kind, C);
    be->ops->layernorm_backward(be, act(m[5]), m[6], m[7], const_act(m[4]), const_act(m[2]), m[1],
                                m[3], ROWS, C, true);
    trace_add(trace, m[5], ROWS * C, "layernorm dx of %s, %zu", kind, C);
    trace_add(trace, m[6], C, "layernorm dweight of %s, %zu", kind, C);
    trace_add(trace, m[7], C, "layernorm dbias of %s, %zu", kind, C);
    be->ops->rmsnorm_forward(be, act(m[0]), m[1], const_act(m[2]), m[3], ROWS, C, 1e-6f);
    trace_add(trace, m[0], ROWS * C, "rmsnorm of %s, %zu", kind, C);
    trace_add(trace, m[1], ROWS, "rmsnorm stats of %s, %zu", kind, C);
    be->ops->rmsnorm_backward(be, act(m[5]), m[6], const_act(m[4]), const_act(m[2]), m[1], m[3],
                              ROWS, C, true);
    trace_add(trace, m[5], ROWS * C, "rmsnorm dx of %s, %zu", kind, C);
    trace_add(trace, m[6], C, "rmsnorm dweight of %s, %zu", kind, C);
}

static void losses(trace_t *trace, float *const *m, size_t V, const char *kind)
{
    llm_backend_t *be = trace->be;
    int32_t *targets = indices_on(be, ROWS, V);
    be->ops->kl_divergence(be, m[0], act(m[1]), const_act(m[2]), ROWS, V, 0.5f);
    trace_add(trace, m[0], ROWS, "divergence of %s, %zu", kind, V);
    trace_add(trace, m[1], ROWS * V, "gradient of divergence of %s, %zu", kind, V);
    be->ops->cosine(be, m[0], act(m[3]), const_act(m[4]), const_act(m[5]), ROWS, V, 0.5f);
    trace_add(trace, m[0], ROWS, "cosine of %s, %zu", kind, V);
    trace_add(trace, m[3], ROWS * V, "gradient of cosine of %s, %zu", kind, V);
    be->ops->cross_entropy(be, m[0], act(m[6]), targets, ROWS, V,
                           &(llm_cross_entropy_t){.scale = 0.0f});
    trace_add(trace, m[0], ROWS, "cross entropy alone of %s, %zu", kind, V);
    be->ops->cross_entropy(be, m[0], act(m[6]), targets, ROWS, V,
                           &(llm_cross_entropy_t){.scale = 0.5f});
    trace_add(trace, m[0], ROWS, "cross entropy of %s, %zu", kind, V);
    trace_add(trace, m[6], ROWS * V, "gradient of logits of %s, %zu", kind, V);
    int32_t best[ROWS];
    float as_floats[ROWS];
    be->ops->argmax(be, targets, const_act(m[7]), ROWS, V);
    be->ops->download(be, best, targets, sizeof best);
    for (size_t i = 0; i < ROWS; i++)
        as_floats[i] = (float)best[i];
    be->ops->upload(be, m[7], as_floats, sizeof as_floats);
    trace_add(trace, m[7], ROWS, "argmax of %s, %zu", kind, V);
    be->ops->release(be, targets);
}

/* One row into one hidden element, and back. */
static void lora(trace_t *trace, float *const *m, size_t n, const char *kind)
{
    llm_backend_t *be = trace->be;
    fmq_rng_name_t stream = {.seed = 77, .purpose = FMQ_RNG_DROPOUT, .client = 3, .round = 5};
    llm_lora_t how = {.M = 1, .in = n, .out = n, .rank = 1, .a = m[5], .a_stride = n, .b = m[6]};
    uint8_t mask[(SIZES + 7) / 8];
    float h, dh;
    how.scaling = 0.7f;
    how.p = 0.3f;
    how.stream = &stream;
    be->ops->lora_down(be, &h, mask, const_act(m[1]), &how);
    trace_add(trace, &h, 1, "lora down of %s, %zu", kind, n);
    be->ops->lora_up(be, act(m[2]), n, &h, &how);
    trace_add(trace, m[2], n, "lora up of %s, %zu", kind, n);
    be->ops->lora_gradients(be, &dh, m[4], m[0], const_act(m[3]), n, const_act(m[1]), &h, mask,
                            &how);
    trace_add(trace, m[4], n, "lora da of %s, %zu", kind, n);
    be->ops->lora_input_gradient(be, act(m[2]), &dh, mask, &how);
    trace_add(trace, m[2], n, "lora dx of %s, %zu", kind, n);
}

static void elements(trace_t *trace, float *const *m, size_t n, const char *kind)
{
    llm_backend_t *be = trace->be;
    for (int k = 0; k < LLM_ACTIVATIONS; k++) {
        llm_activation_t f = (llm_activation_t)k;
        be->ops->activation_forward(be, act(m[0]), const_act(m[1]), n, f);
        trace_add(trace, m[0], n, "activation %d of %s, %zu", k, kind, n);
        be->ops->activation_backward(be, act(m[2]), const_act(m[3]), const_act(m[1]), n, f);
        trace_add(trace, m[2], n, "activation %d gradient of %s, %zu", k, kind, n);
    }
    be->ops->softcap_forward(be, act(m[0]), const_act(m[1]), 3.0f, n);
    trace_add(trace, m[0], n, "soft cap of %s, %zu", kind, n);
    be->ops->softcap_backward(be, act(m[2]), const_act(m[0]), 3.0f, n);
    trace_add(trace, m[2], n, "soft cap gradient of %s, %zu", kind, n);
    lora(trace, m, n, kind);
    for (int k = 0; k < LLM_ACTIVATIONS; k++) {
        llm_activation_t f = (llm_activation_t)k;
        be->ops->glu_forward(be, act(m[0]), const_act(m[1]), const_act(m[3]), n, f);
        trace_add(trace, m[0], n, "gated %d of %s, %zu", k, kind, n);
        be->ops->glu_backward(be, act(m[4]), act(m[5]), const_act(m[3]), const_act(m[1]),
                              const_act(m[6]), n, f);
        trace_add(trace, m[4], n, "gated %d dgate of %s, %zu", k, kind, n);
        trace_add(trace, m[5], n, "gated %d dup of %s, %zu", k, kind, n);
    }
    be->ops->add(be, m[6], m[7], n);
    be->ops->scale(be, m[6], 0.3f, n);
    trace_add(trace, m[6], n, "scaled sum of %s, %zu", kind, n);
    float sums[2] = {(float)be->ops->sum(be, m[7], n), (float)be->ops->sum_squares(be, m[7], n)};
    be->ops->upload(be, m[0], sums, (n < 2 ? n : 2) * sizeof(float));
    trace_add(trace, m[0], n < 2 ? n : 2, "sums of %s, %zu", kind, n);
}

static void optimizers(trace_t *trace, float *const *m, size_t n, const char *kind)
{
    llm_backend_t *be = trace->be;
    llm_adam_t adam = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, true, 3};
    llm_sgd_t sgd = {0.1f, 0.9f, 0.2f, 0.01f, true, false};
    be->ops->adam_step(be, m[0], m[1], m[2], NULL, m[3], n, &adam);
    trace_add(trace, m[0], n, "adam of %s, %zu", kind, n);
    trace_add(trace, m[2], n, "adam's second moment of %s, %zu", kind, n);
    be->ops->sgd_step(be, m[4], m[5], m[6], n, &sgd);
    trace_add(trace, m[4], n, "sgd of %s, %zu", kind, n);
    trace_add(trace, m[5], n, "sgd's momentum of %s, %zu", kind, n);
}

static void on_rows(trace_t *trace, void (*family)(trace_t *, float *const *, size_t, const char *))
{
    float *m[BUFFERS];
    for (size_t n = 1; n <= SIZES; n++)
        for (kind_t kind = 0; kind < KINDS; kind++) {
            take(trace->be, m, ROWS * (n + 2), kind);
            family(trace, m, n, kind_names[kind]);
            give_back(trace->be, m);
        }
}

static void run_norms_awkward(trace_t *trace)
{
    on_rows(trace, norms);
}

static void run_losses_awkward(trace_t *trace)
{
    on_rows(trace, losses);
}

static void run_elements_awkward(trace_t *trace)
{
    on_rows(trace, elements);
}

static void run_optimizers_awkward(trace_t *trace)
{
    on_rows(trace, optimizers);
}

static void one_linear(trace_t *trace, const size_t shape[3], kind_t kind)
{
    llm_backend_t *be = trace->be;
    size_t M = shape[0], out = shape[1], in = shape[2], first = out / 3;
    float *weight = malloc(out * in * sizeof(float));
    assert_non_null(weight);
    awkward_floats(weight, out * in, kind, 110);
    llm_matrix_t *w = be->ops->matrix_new(be, weight, FMQ_F32, out, in, false);
    assert_non_null(w);
    float *x = awkward_on(be, M * (in + 3), kind, 111);
    float *y = awkward_on(be, M * (out + 1), kind, 112);
    float *bias = awkward_on(be, out, kind, 113);
    const char *name = kind_names[kind];
    be->ops->linear_backward(be, act(x), in + 3, const_act(y), out + 1, w, M, true);
    trace_add(trace, x, M * (in + 3), "backward of %s %zux%zux%zu", name, M, out, in);
    be->ops->linear_backward_rows(be, act(x), in + 3, const_act(y), out + 1, w, first, out - first,
                                  M, false);
    trace_add(trace, x, M * (in + 3), "backward of rows of %s %zux%zux%zu", name, M, out, in);
    be->ops->linear_forward(be, act(y), out + 1, const_act(x), in + 3, w, bias, M);
    trace_add(trace, y, M * (out + 1), "forward of %s %zux%zux%zu", name, M, out, in);
    be->ops->linear_forward_rows(be, act(y), out + 1, const_act(x), in + 3, w, first, out - first,
                                 M);
    trace_add(trace, y, M * (out + 1), "forward of rows of %s %zux%zux%zu", name, M, out, in);
    be->ops->matrix_destroy(be, &w);
    be->ops->release(be, x);
    be->ops->release(be, y);
    be->ops->release(be, bias);
    free(weight);
}

static void run_linear_awkward(trace_t *trace)
{
    static const size_t shapes[][3] = {{1, 1, 1},   {1, 70, 70},  {5, 17, 3},   {15, 33, 65},
                                       {29, 9, 47}, {33, 100, 7}, {2, 500, 30}, {3, 1200, 40},
                                       {9, 5, 800}, {70, 31, 13}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (kind_t kind = 0; kind < KINDS; kind++)
            one_linear(trace, shapes[i], kind);
}

static void one_gemm(trace_t *trace, const size_t shape[3], kind_t kind, int way)
{
    llm_backend_t *be = trace->be;
    size_t M = shape[0], N = shape[1], K = shape[2];
    llm_gemm_t s = {.transpose_a = way & 1, .transpose_b = way & 2, .M = M, .N = N, .K = K};
    s.alpha = way & 4 ? 0.3f : 1.0f;
    s.beta = way & 4 ? 1.0f : 0.0f;
    s.lda = (s.transpose_a ? M : K) + 1;
    s.ldb = (s.transpose_b ? K : N) + 2;
    s.ldc = N + 3;
    float *a = awkward_on(be, (s.transpose_a ? K : M) * s.lda, kind, 114);
    float *b = awkward_on(be, (s.transpose_b ? N : K) * s.ldb, kind, 115);
    float *c = awkward_on(be, M * s.ldc, kind, 116);
    be->ops->gemm(be, c, a, b, &s);
    trace_add(trace, c, M * s.ldc, "%s, way %d %zux%zux%zu", kind_names[kind], way, M, N, K);
    be->ops->release(be, a);
    be->ops->release(be, b);
    be->ops->release(be, c);
}

static void run_gemm_awkward(trace_t *trace)
{
    static const size_t shapes[][3] = {{1, 1, 2},    {1, 65, 70}, {65, 8, 70}, {8, 65, 70},
                                       {40, 70, 16}, {13, 9, 5},  {3, 70, 65}, {70, 33, 900}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (int way = 0; way < 8; way++)
            for (kind_t kind = 0; kind < KINDS; kind++)
                one_gemm(trace, shapes[i], kind, way);
}

static void one_attention(trace_t *trace, size_t n, size_t KV, size_t D, kind_t kind)
{
    llm_backend_t *be = trace->be;
    const uint32_t starts[] = {0, (uint32_t)n};
    enum { H = 4 };
    size_t row = (H + 2 * KV) * D + 1, v = (H + KV) * D;
    llm_attention_t shape = {.T = n, .S = 1, .starts = starts, .longest = n, .H = H};
    shape.KV = KV;
    shape.D = D;
    shape.scale = 1.0f / sqrtf((float)D);
    shape.q_stride = shape.k_stride = shape.v_stride = row;
    shape.out_stride = H * D + 2;
    shape.softcap = n % 3 == 1 ? 5.0f : 0.0f;
    shape.window = n % 5 == 2 ? n / 2 + 1 : 0;
    float *x = awkward_on(be, n * row, kind, 117);
    float *dx = zeros_on(be, n * row);
    float *out = zeros_on(be, n * shape.out_stride);
    float *dout = awkward_on(be, n * shape.out_stride, kind, 118);
    float *lse = zeros_on(be, n * H);
    float *scratch = zeros_on(be, be->ops->attention_scratch(be, &shape));
    const char *name = kind_names[kind];
    be->ops->attention_forward(be, act(out), lse, const_act(x), const_act(x + H * D),
                               const_act(x + v), &shape, scratch);
    trace_add(trace, out, n * shape.out_stride, "out of %s, %zux%zu/%zu", name, n, D, KV);
    trace_add(trace, lse, n * H, "lse of %s, %zux%zu/%zu", name, n, D, KV);
    be->ops->attention_backward(be, act(dx), act(dx + H * D), act(dx + v), const_act(dout),
                                const_act(out), lse, const_act(x), const_act(x + H * D),
                                const_act(x + v), &shape, scratch);
    trace_add(trace, dx, n * row, "gradient of %s, %zux%zu/%zu", name, n, D, KV);
    be->ops->release(be, x);
    be->ops->release(be, dx);
    be->ops->release(be, out);
    be->ops->release(be, dout);
    be->ops->release(be, lse);
    be->ops->release(be, scratch);
}

static void run_attention_awkward(trace_t *trace)
{
    static const size_t widths[] = {1, 8, 13, 33, 64};
    for (size_t n = 1; n <= SIZES; n++)
        for (kind_t kind = 0; kind < KINDS; kind++)
            one_attention(trace, n,
                          n % 3 == 0   ? 1
                          : n % 3 == 1 ? 2
                                       : 4,
                          widths[n % COUNT(widths)], kind);
    for (kind_t kind = 0; kind < KINDS; kind++)
        one_attention(trace, 200, 1, 16, kind);
}

static void run_decode_awkward(trace_t *trace)
{
    llm_backend_t *be = trace->be;
    for (size_t n = 1; n <= SIZES; n++)
        for (kind_t kind = 0; kind < KINDS; kind++) {
            size_t D = n % 40 + 1;
            float *q = awkward_on(be, 4 * D, kind, 119);
            float *k = awkward_on(be, n * 2 * D, kind, 120);
            float *v = awkward_on(be, n * 2 * D, kind, 121);
            float *out = zeros_on(be, 4 * D);
            float *scratch = zeros_on(be, 4 * n);
            llm_decode_t how = {.length = n, .H = 4, .KV = 2, .D = D, .scale = 0.2f};
            how.softcap = n % 3 == 1 ? 5.0f : 0.0f;
            how.window = n % 4 == 2 ? n / 2 + 1 : 0;
            be->ops->attention_decode(be, act(out), const_act(q), const_act(k), const_act(v), &how,
                                      scratch);
            trace_add(trace, out, 4 * D, "decoding %s, length %zu", kind_names[kind], n);
            be->ops->release(be, q);
            be->ops->release(be, k);
            be->ops->release(be, v);
            be->ops->release(be, out);
            be->ops->release(be, scratch);
        }
}

static void run_rope_awkward(trace_t *trace)
{
    llm_backend_t *be = trace->be;
    for (size_t half = 1; half <= SIZES; half++)
        for (kind_t kind = 0; kind < KINDS; kind++) {
            size_t stride = 4 * half + 3;
            float *x = awkward_on(be, ROWS * stride, kind, 122);
            float *table = awkward_on(be, 5 * 2 * half, kind, 123);
            int32_t *positions = indices_on(be, ROWS, 5);
            const llm_rope_t how = {.T = ROWS,
                                    .heads = 2,
                                    .D = 2 * half,
                                    .stride = stride,
                                    .rotary = half % 3 == 2 ? half / 2 * 2 : 2 * half,
                                    .interleaved = half % 4 > 1};
            be->ops->rope(be, act(x), positions, table, &how, half % 2);
            trace_add(trace, x, ROWS * stride, "rope of %s, %zu", kind_names[kind], half);
            be->ops->release(be, x);
            be->ops->release(be, table);
            be->ops->release(be, positions);
        }
}

/* On any backend from host memory. */
static float *floats_on(llm_backend_t *be, const float *host, size_t n)
{
    float *memory = be->ops->alloc(be, n * sizeof(float));
    assert_non_null(memory);
    be->ops->upload(be, memory, host, n * sizeof(float));
    return memory;
}

/* Sums of two products that end beside the middle of two floats by less than
 * double precision shows, from ordinary ones down to subnormals. */
static void run_fused(trace_t *trace)
{
    enum { M = 9, N = 37, K = 2 };
    static const int scales[] = {0, -60, -100, -120, -126, -127, -130, -140, -149};
    llm_backend_t *be = trace->be;
    llm_gemm_t s = {.M = M, .N = N, .K = K, .alpha = 1, .lda = K, .ldb = N, .ldc = N};
    for (size_t i = 0; i < COUNT(scales); i++) {
        float a[M * K], b[K * N], expected[M * N], c[M * N];
        int least = scales[i] < -126 ? -149 : scales[i] - 23; /* the last bit of a sum */
        for (int m = 0; m < M; m++) {
            a[m * K] = ldexpf(1, scales[i]) + ldexpf((float)(m % 3), least);
            a[m * K + 1] = ldexpf(1.0f + (float)(m - 4) * 0x1p-23f, least / 2);
        }
        for (int n = 0; n < N; n++) {
            float small = ldexpf(1.0f + (float)(n % 9 - 4) * 0x1p-23f, least - least / 2 - 1);
            b[n] = n % 2 ? 1.0f : -1.0f;
            b[N + n] = n % 4 < 2 ? small : -small;
        }
        for (int m = 0; m < M; m++)
            for (int n = 0; n < N; n++)
                expected[m * N + n] = fmaf(a[m * K + 1], b[N + n], a[m * K] * b[n]);
        float *on[] = {floats_on(be, a, M * K), floats_on(be, b, K * N), zeros_on(be, M * N)};
        be->ops->gemm(be, on[2], on[0], on[1], &s);
        trace_add(trace, on[2], M * N, "sums beside the middle, 2^%d", scales[i]);
        be->ops->download(be, c, on[2], sizeof c);
        assert_memory_equal(c, expected, sizeof c);
        for (size_t j = 0; j < COUNT(on); j++)
            be->ops->release(be, on[j]);
    }
}

/* Rows whose sums are -0, or lie infinitely far from 0 in deviations: what is
 * behind a row's end in its last register must not show. */
static void run_row_ends(trace_t *trace)
{
    llm_backend_t *be = trace->be;
    for (size_t C = 1; C <= SIZES; C++) {
        float dout[SIZES], x[SIZES], weight[SIZES], dx[SIZES];
        for (size_t i = 0; i < C; i++) {
            dout[i] = i ? -1e-30f : -0.0f;
            x[i] = 1e-20f;
            weight[i] = 1;
            dx[i] = -0.0f;
        }
        float *m[] = {floats_on(be, dx, C),     floats_on(be, dout, C), floats_on(be, x, C),
                      floats_on(be, weight, C), zeros_on(be, C + 2),    zeros_on(be, 2)};
        be->ops->rmsnorm_forward(be, act(m[4]), m[5], act(m[2]), m[3], 1, C, 1e-6f);
        be->ops->rmsnorm_backward(be, act(m[0]), NULL, act(m[1]), act(m[2]), m[5], m[3], 1, C,
                                  true);
        trace_add(trace, m[0], C, "rmsnorm dx of a sum that vanishes, %zu", C);
        for (size_t i = 0; i < C; i++)
            x[i] = 0x1p120f;
        be->ops->upload(be, m[2], x, C * sizeof(float));
        be->ops->layernorm_forward(be, act(m[4]), m[5], act(m[2]), m[3], NULL, 1, C, 1e-5f);
        trace_add(trace, m[4], C, "layernorm of a row far away, %zu", C);
        be->ops->layernorm_backward(be, act(m[0]), NULL, NULL, act(m[1]), act(m[2]), m[5], m[3], 1,
                                    C, true);
        trace_add(trace, m[0], C, "layernorm dx of a row far away, %zu", C);
        for (size_t i = 0; i < COUNT(m); i++)
            be->ops->release(be, m[i]);
    }
}

const case_t awkward_cases[] = {
    {"sums of fused products", run_fused},        {"ends of rows", run_row_ends},
    {"awkward norms", run_norms_awkward},         {"awkward losses", run_losses_awkward},
    {"awkward elements", run_elements_awkward},   {"awkward optimizers", run_optimizers_awkward},
    {"awkward linear", run_linear_awkward},       {"awkward gemm", run_gemm_awkward},
    {"awkward attention", run_attention_awkward}, {"awkward decoding", run_decode_awkward},
    {"awkward rope", run_rope_awkward},
};
const size_t awkward_cases_count = COUNT(awkward_cases);
