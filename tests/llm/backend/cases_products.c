/*
 * cases_products.c - matrix products and attention on shapes that fall beside
 * every block: below, at and beyond panels, tiles, stretches of k and chunks
 * of rows.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/half.h"
#include "cases.h"
#include "gradcheck.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* With activations in BF16 the weights are ones that BF16 holds, so that a
 * product by pairs need not round them. */
static llm_matrix_t *matrix_on(llm_backend_t *be, size_t out, size_t in, uint64_t seed)
{
    float *host = malloc(out * in * sizeof(float));
    assert_non_null(host);
    random_floats(host, out * in, seed);
    for (size_t i = 0; be->ops->act == FMQ_BF16 && i < out * in; i++)
        host[i] = fmq_float_of_bf16(fmq_bf16_of_float(host[i]));
    llm_matrix_t *w = be->ops->matrix_new(be, host, FMQ_F32, out, in, false);
    assert_non_null(w);
    free(host);
    return w;
}

static void one_linear(trace_t *trace, size_t M, size_t out, size_t in)
{
    llm_backend_t *be = trace->be;
    size_t x_stride = in + 3;
    size_t y_stride = out + 5;
    llm_matrix_t *w = matrix_on(be, out, in, 1);
    llm_act_t *x = acts_on(be, M * x_stride, 2);
    llm_act_t *y = acts_on(be, M * y_stride, 3);
    float *bias = random_on(be, out, 4);
    be->ops->linear_forward(be, y, y_stride, x, x_stride, w, bias, M);
    trace_acts(trace, y, M * y_stride, "forward with bias %zux%zux%zu", M, out, in);
    be->ops->linear_forward(be, y, y_stride, x, x_stride, w, NULL, M);
    trace_acts(trace, y, M * y_stride, "forward %zux%zux%zu", M, out, in);
    be->ops->linear_backward(be, x, x_stride, y, y_stride, w, M, true);
    trace_acts(trace, x, M * x_stride, "backward added %zux%zux%zu", M, out, in);
    be->ops->linear_backward(be, x, x_stride, y, y_stride, w, M, false);
    trace_acts(trace, x, M * x_stride, "backward %zux%zux%zu", M, out, in);
    be->ops->matrix_destroy(be, &w);
    be->ops->release(be, x);
    be->ops->release(be, y);
    be->ops->release(be, bias);
}

void run_linear(trace_t *trace)
{
    static const size_t shapes[][3] = {
        {1, 1, 1},     {1, 64, 64},   {2, 7, 63},     {3, 63, 7},     {4, 65, 129},  {5, 33, 31},
        {7, 129, 65},  {13, 95, 97},  {14, 128, 128}, {15, 17, 400},  {31, 32, 33},  {33, 100, 385},
        {64, 64, 64},  {65, 70, 129}, {129, 65, 63},  {197, 130, 70}, {513, 40, 50}, {517, 33, 9},
        {2, 40, 3100}, {9, 35, 3100}, {6, 3130, 37},  {1, 3100, 40},
    };
    for (size_t i = 0; i < COUNT(shapes); i++)
        one_linear(trace, shapes[i][0], shapes[i][1], shapes[i][2]);
}

void run_linear_rows(trace_t *trace)
{
    static const size_t ranges[][2] = {{0, 64},  {64, 64}, {192, 8}, {0, 200},  {1, 1},
                                       {31, 2},  {33, 64}, {63, 65}, {129, 71}, {199, 1},
                                       {7, 150}, {32, 31}, {40, 3},  {0, 0}};
    llm_backend_t *be = trace->be;
    llm_matrix_t *w = matrix_on(be, 200, 70, 5);
    for (size_t M = 1; M <= 40; M += 13)
        for (size_t i = 0; i < COUNT(ranges); i++) {
            size_t first = ranges[i][0];
            size_t count = ranges[i][1];
            llm_act_t *x = acts_on(be, M * 70, 6);
            llm_act_t *y = acts_on(be, M * 200, 7);
            be->ops->linear_forward_rows(be, y, 200, x, 70, w, first, count, M);
            trace_acts(trace, y, M * 200, "forward of rows %zu+%zu, M %zu", first, count, M);
            be->ops->linear_backward_rows(be, x, 70, y, 200, w, first, count, M, true);
            trace_acts(trace, x, M * 70, "backward of rows %zu+%zu, M %zu", first, count, M);
            be->ops->linear_backward_rows(be, x, 70, y, 200, w, first, count, M, false);
            trace_acts(trace, x, M * 70, "new backward of rows %zu+%zu, M %zu", first, count, M);
            be->ops->release(be, x);
            be->ops->release(be, y);
        }
    be->ops->matrix_destroy(be, &w);
}

/* Every 16-bit pattern that is finite, and fp32, in both orders. */
void run_matrix(trace_t *trace)
{
    static const fmq_dtype_t dtypes[] = {FMQ_F32, FMQ_F16, FMQ_BF16};
    llm_backend_t *be = trace->be;
    enum { OUT = 75, IN = 131 };
    uint16_t *half = malloc(OUT * IN * sizeof *half);
    float *full = malloc(OUT * IN * sizeof *full);
    assert_non_null(half);
    assert_non_null(full);
    random_floats(full, OUT * IN, 8);
    for (size_t i = 0; i < OUT * IN; i++) /* exponents up to 2^13 in f16, 2^-30 in bf16 */
        half[i] = (uint16_t)((i * 40503u) & 0xb0ffu);
    int32_t *ids = indices_on(be, 40, OUT);
    llm_act_t *out = zero_acts_on(be, 40 * IN);
    for (size_t d = 0; d < COUNT(dtypes); d++)
        for (int input_major = 0; input_major < 2; input_major++) {
            const void *data = dtypes[d] == FMQ_F32 ? (void *)full : (void *)half;
            llm_matrix_t *w = be->ops->matrix_new(be, data, dtypes[d], OUT, IN, input_major);
            assert_non_null(w);
            assert_true(be->ops->matrix_bytes(w) >= OUT * IN);
            be->ops->matrix_gather(be, out, w, ids, 40);
            trace_acts(trace, out, 40 * IN, "rows of %s%s", fmq_dtype_name(dtypes[d]),
                       input_major ? " stored [in][out]" : "");
            be->ops->matrix_destroy(be, &w);
            assert_null(w);
        }
    be->ops->release(be, ids);
    be->ops->release(be, out);
    free(half);
    free(full);
}

static void one_gemm(trace_t *trace, size_t M, size_t N, size_t K)
{
    llm_backend_t *be = trace->be;
    for (int way = 0; way < 8; way++) {
        llm_gemm_t s = {.transpose_a = way & 1, .transpose_b = way & 2, .M = M, .N = N, .K = K};
        s.alpha = way & 4 ? 0.5f : 1.0f;
        s.beta = way & 4 ? 1.0f : 0.0f;
        s.lda = (s.transpose_a ? M : K) + 1;
        s.ldb = (s.transpose_b ? K : N) + 2;
        s.ldc = N + 3;
        float *a = random_on(be, (s.transpose_a ? K : M) * s.lda, 11);
        float *b = random_on(be, (s.transpose_b ? N : K) * s.ldb, 12);
        float *c = random_on(be, M * s.ldc, 13);
        be->ops->gemm(be, c, a, b, &s);
        trace_add(trace, c, M * s.ldc, "way %d %zux%zux%zu", way, M, N, K);
        be->ops->release(be, a);
        be->ops->release(be, b);
        be->ops->release(be, c);
    }
}

void run_gemm(trace_t *trace)
{
    static const size_t shapes[][3] = {{1, 1, 1},     {2, 7, 63},    {7, 2, 64},    {63, 65, 129},
                                       {65, 129, 63}, {129, 64, 65}, {100, 1, 70},  {1, 100, 70},
                                       {70, 70, 1},   {530, 70, 20}, {70, 66, 400}, {40, 3100, 9},
                                       {3, 5, 0}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        one_gemm(trace, shapes[i][0], shapes[i][1], shapes[i][2]);
}

/* LoRA: one extent is the rank. */
void run_thin_gemm(trace_t *trace)
{
    static const size_t ranks[] = {1, 4, 8, 16, 64};
    for (size_t i = 0; i < COUNT(ranks); i++) {
        one_gemm(trace, 150, ranks[i], 130);
        one_gemm(trace, 150, 130, ranks[i]);
        one_gemm(trace, ranks[i], 150, 130);
    }
}

/* What bends scores, its slopes being those of ALiBi. */
typedef struct {
    size_t window;
    float softcap;
    bool slopes;
} bent_t;

static float *slopes_on(llm_backend_t *be, size_t H)
{
    float host[32] = {0}, *slopes = zeros_on(be, 32);
    for (size_t h = 0; h < H; h++)
        host[h] = exp2f(-8.0f * (float)(h + 1) / (float)H);
    be->ops->upload(be, slopes, host, sizeof host);
    return slopes;
}

static void one_attention(trace_t *trace, const uint32_t *starts, size_t S, const size_t heads[3],
                          bent_t bent)
{
    llm_backend_t *be = trace->be;
    size_t H = heads[0], KV = heads[1], D = heads[2];
    llm_attention_t shape = {.T = starts[S], .S = S, .starts = starts, .H = H, .KV = KV, .D = D};
    float *slopes = slopes_on(be, H);
    shape.window = bent.window;
    shape.softcap = bent.softcap;
    shape.slopes = bent.slopes ? slopes : NULL;
    size_t row = (H + 2 * KV) * D + 1; /* q, k and v side by side */
    for (size_t s = 0; s < S; s++)
        if (starts[s + 1] - starts[s] > shape.longest)
            shape.longest = starts[s + 1] - starts[s];
    uint32_t *device_starts = be->ops->alloc(be, (S + 1) * sizeof *starts);
    assert_non_null(device_starts);
    be->ops->upload(be, device_starts, starts, (S + 1) * sizeof *starts);
    if (be->ops->device_starts)
        shape.device_starts = device_starts;
    shape.scale = 1.0f / sqrtf((float)D);
    shape.q_stride = shape.k_stride = shape.v_stride = row;
    shape.out_stride = H * D + 2;
    llm_act_t *x = acts_on(be, shape.T * row, 21);
    llm_act_t *dx = zero_acts_on(be, shape.T * row);
    llm_act_t *out = zero_acts_on(be, shape.T * shape.out_stride);
    llm_act_t *dout = acts_on(be, shape.T * shape.out_stride, 22);
    float *lse = zeros_on(be, shape.T * H);
    float *scratch = zeros_on(be, be->ops->attention_scratch(be, &shape));
    size_t k = H * D;
    size_t v = (H + KV) * D;
    const llm_act_t *at_k = llm_act_at(be, x, k), *at_v = llm_act_at(be, x, v);
    be->ops->attention_forward(be, out, lse, x, at_k, at_v, &shape, scratch);
#define LABEL "T %zu H %zu/%zu D %zu, window %zu, cap %g, slopes %d"
#define OF    shape.T, H, KV, D, bent.window, (double)bent.softcap, bent.slopes
    trace_acts(trace, out, shape.T * shape.out_stride, "out, " LABEL, OF);
    trace_add(trace, lse, shape.T * H, "lse, " LABEL, OF);
    be->ops->attention_backward(be, dx, llm_act_at(be, dx, k), llm_act_at(be, dx, v), dout, out,
                                lse, x, at_k, at_v, &shape, scratch);
    trace_acts(trace, dx, shape.T * row, "gradient, " LABEL, OF);
    be->ops->release(be, slopes);
    be->ops->release(be, x);
    be->ops->release(be, dx);
    be->ops->release(be, out);
    be->ops->release(be, dout);
    be->ops->release(be, lse);
    be->ops->release(be, scratch);
    be->ops->release(be, device_starts);
}

void run_attention(trace_t *trace)
{
    static const uint32_t single[] = {0, 1};
    static const uint32_t ragged[] = {0, 1, 3, 10, 73, 137, 138, 203};
    static const uint32_t longer[] = {0, 129, 129, 300};
    static const uint32_t alone[] = {0, 230};
    static const size_t heads[][3] = {{1, 1, 1},   {3, 3, 64}, {4, 2, 7},  {4, 1, 40},
                                      {2, 2, 129}, {5, 1, 24}, {6, 3, 16}, {32, 1, 8}};
    static const bent_t straight = {0};
    one_attention(trace, single, 1, heads[0], straight);
    one_attention(trace, ragged, 7, heads[1], straight);
    one_attention(trace, ragged, 7, heads[2], straight);
    one_attention(trace, longer, 3, heads[3], straight);
    one_attention(trace, longer, 3, heads[4], straight);
    one_attention(trace, alone, 1, heads[5], straight);
    one_attention(trace, ragged, 7, heads[6], straight);
    one_attention(trace, longer, 3, heads[7], straight);
    one_attention(trace, single, 1, heads[0], (bent_t){1, 2.0f, true});
    one_attention(trace, ragged, 7, heads[1], (bent_t){5, 0, false});
    one_attention(trace, ragged, 7, heads[2], (bent_t){0, 1.5f, false});
    one_attention(trace, ragged, 7, heads[2], (bent_t){0, 0, true});
    one_attention(trace, ragged, 7, heads[6], (bent_t){33, 0.7f, false});
    one_attention(trace, alone, 1, heads[5], (bent_t){64, 3.0f, true});
    one_attention(trace, longer, 3, heads[2], (bent_t){47, 0, true});
}

static void one_decode(trace_t *trace, size_t n, const size_t heads[3], bent_t bent)
{
    llm_backend_t *be = trace->be;
    size_t H = heads[0], KV = heads[1], D = heads[2];
    float *slopes = slopes_on(be, H);
    llm_decode_t how = {.length = n, .H = H, .KV = KV, .D = D, .scale = 0.2f};
    how.window = bent.window;
    how.softcap = bent.softcap;
    how.slopes = bent.slopes ? slopes : NULL;
    llm_act_t *q = acts_on(be, H * D, 31);
    llm_act_t *k = acts_on(be, n * KV * D, 32);
    llm_act_t *v = acts_on(be, n * KV * D, 33);
    llm_act_t *out = zero_acts_on(be, H * D);
    float *scratch = zeros_on(be, H * n);
    be->ops->attention_decode(be, out, q, k, v, &how, scratch);
    trace_acts(trace, out, H * D, "length %zu, H %zu/%zu D %zu, window %zu, cap %g, slopes %d", n,
               H, KV, D, bent.window, (double)bent.softcap, bent.slopes);
    be->ops->release(be, slopes);
    be->ops->release(be, q);
    be->ops->release(be, k);
    be->ops->release(be, v);
    be->ops->release(be, out);
    be->ops->release(be, scratch);
}

void run_decode(trace_t *trace)
{
    static const size_t lengths[] = {1, 2, 31, 32, 33, 64, 65, 129, 161, 700};
    static const size_t shapes[][3] = {{4, 1, 24}, {4, 2, 24}, {4, 4, 24}, {9, 3, 64},
                                       {7, 1, 40}, {3, 1, 65}, {4, 2, 128}};
    static const bent_t bents[] = {
        {0}, {40, 0, false}, {0, 2.0f, false}, {0, 0, true}, {1, 3.0f, true}};
    for (size_t i = 0; i < COUNT(lengths); i++)
        for (size_t s = 0; s < COUNT(shapes); s++)
            for (size_t way = 0; way < 2; way++)
                one_decode(trace, lengths[i], shapes[s], bents[way ? 1 + (i + s) % 4 : 0]);
}
