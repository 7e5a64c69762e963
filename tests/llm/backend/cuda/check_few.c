/*
 * check_few.c - a few rows times a weight of bf16 in either order, or of codes,
 * against sums in double.
 */
#include <stdlib.h>

#include "check.h"

#define GAP 3 /* elements between rows of x and y */

static void compare(check_t *c, const llm_cuda_few_t *weight, const float *floats, size_t M)
{
    const size_t in = weight->in, out = weight->out;
    const bool aligned = M % 2;
    const size_t x_stride = in + (aligned ? 0 : GAP), y_stride = out + (aligned ? 0 : GAP);
    array_t *x = reads(c, ACT, (M - 1) * x_stride + in, 11);
    array_t *bias = reads(c, F32, out, 12), *y = changes(c, ACT, (M - 1) * y_stride + out, 13);
    const bool biased = M < 3;
    for (runs(c); next_run(c);)
        llm_cuda_few_forward(&c->queue, y->device, y_stride, x->device, x_stride, weight,
                             biased ? bias->device : NULL, M);
    float *want = copy_of(y);
    llm_gemm_t shape = {.transpose_b = !weight->input_major,
                        .M = M,
                        .N = out,
                        .K = in,
                        .alpha = 1,
                        .lda = x_stride,
                        .ldb = weight->elements ? weight->stride : in,
                        .ldc = y_stride};
    c->reference->ops->gemm(c->reference, want, x->floats, floats, &shape);
    for (size_t m = 0; m < M && biased; m++)
        for (size_t o = 0; o < out; o++)
            want[m * y_stride + o] += ((const float *)bias->floats)[o];
    expect(c, y, want, CLOSE(c), "%zu rows, %zu of %zu, %s", M, out, in,
           weight->elements ? weight->input_major ? "by inputs" : "by outputs" : "codes");
}

static void elements(check_t *c, const size_t shape[2], size_t M, bool input_major)
{
    llm_cuda_few_t weight = {.out = shape[0], .in = shape[1], .input_major = input_major};
    const size_t rows = input_major ? weight.in : weight.out;
    const size_t columns = input_major ? weight.out : weight.in;
    weight.stride = columns + (M % 3 == 0 ? 5 : 0);
    array_t *w = reads(c, BF16, (rows - 1) * weight.stride + columns, 14);
    weight.elements = w->device;
    if (!llm_cuda_few_takes(&weight, M))
        mistake(c, "%zu rows of %zu outputs are not taken", M, weight.out);
    compare(c, &weight, w->floats, M);
    check_clear(c);
}

static void codes(check_t *c, const size_t shape[2], size_t M, size_t group, llm_cuda_codes_t form)
{
    llm_cuda_few_t weight = {.out = shape[0], .in = shape[1]};
    weight.codes = (llm_cuda_quantized_t){
        .rows = weight.out, .columns = weight.in, .group = group, .form = form};
    float *floats = reads_codes(c, &weight.codes, 15);
    if (llm_cuda_few_takes(&weight, M))
        compare(c, &weight, floats, M);
    else
        mistake(c, "%zu rows of %zu outputs of codes are not taken", M, weight.out);
    free(floats);
    check_clear(c);
}

/* What few.cu leaves to others, as its loads are whole. */
static void refusals(check_t *c)
{
    static const uint8_t at[32] __attribute__((aligned(16))) = {0};
    llm_cuda_few_t weight = {.out = 4, .in = 64, .elements = at, .stride = 64};
    const bool elements_taken = llm_cuda_few_takes(&weight, LLM_CUDA_FEW_MAX);
    if (!elements_taken || llm_cuda_few_takes(&weight, LLM_CUDA_FEW_MAX + 1) ||
        llm_cuda_few_takes(&weight, 0))
        mistake(c, "rows that are few are not taken, or others are");
    weight.elements = NULL;
    weight.codes = (llm_cuda_quantized_t){at, NULL, 4, 64, 64, LLM_CUDA_INT4};
    if (!llm_cuda_few_takes(&weight, 1))
        mistake(c, "whole groups of codes are not taken");
    weight.codes.group = 16;
    if (llm_cuda_few_takes(&weight, 1))
        mistake(c, "16 bytes of two groups are taken");
    weight.codes = (llm_cuda_quantized_t){at + 8, NULL, 4, 64, 64, LLM_CUDA_INT4};
    if (llm_cuda_few_takes(&weight, 1))
        mistake(c, "codes at no multiple of 16 bytes are taken");
    weight.codes.codes = at;
    weight.in = 48;
    if (llm_cuda_few_takes(&weight, 1))
        mistake(c, "rows that end within 16 bytes are taken");
    weight.in = 64;
    weight.input_major = true;
    if (llm_cuda_few_takes(&weight, 1))
        mistake(c, "codes of rows of inputs are taken");
    c->compared++;
}

void check_few(check_t *c)
{
    static const size_t shapes[][2] = {{1, 1}, {9, 65}, {70, 520}, {33, 264}, {5, 1100}};
    static const size_t coded[][2] = {{1, 32}, {9, 64}, {35, 160}, {10, 2176}};
    static const size_t groups[] = {32, 64, 32, 128};
    refusals(c);
    if (!c->queue.bf16) /* the kernels know bf16 alone */
        return;
    for (size_t i = 0; i < FEW(c, shapes); i++)
        for (size_t M = 1; M <= LLM_CUDA_FEW_MAX; M++)
            for (int major = 0; major < 2; major++)
                elements(c, shapes[i], M, major);
    for (size_t i = 0; i < FEW(c, coded); i++)
        for (size_t M = 1; M <= LLM_CUDA_FEW_MAX; M++)
            for (int form = LLM_CUDA_INT8; form <= LLM_CUDA_NF4; form++)
                codes(c, coded[i], M, groups[i], (llm_cuda_codes_t)form);
}
