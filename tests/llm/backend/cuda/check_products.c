/*
 * check_products.c - products of every orientation, type and epilogue against
 * sums in double, beside every leading dimension and alignment.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "llm/backend/cuda/product.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define GAP          3 /* elements between rows, where they are not aligned */

static llm_cuda_products_t *products_of(check_t *c)
{
    const char *why = NULL;
    llm_cuda_products_t *products = llm_cuda_products_new(&why);
    if (!products)
        mistake(c, "no products: %s", why);
    return products;
}

static void multiply(check_t *c, llm_cuda_products_t *products, const array_t *to, const array_t *a,
                     const array_t *b, const llm_cuda_product_t *what)
{
    const char *wrong =
        llm_cuda_product(products, &c->queue, to->device, a->device, b->device, what);
    if (wrong)
        mistake(c, "refused: %s", wrong);
}

/* What the product alone is, with what lies between rows as it was. */
static float *wanted(check_t *c, const llm_cuda_product_t *what, const array_t *a, const array_t *b,
                     const float *before)
{
    size_t count = (what->M - 1) * what->ldc + what->N;
    float *want = room(count);
    memcpy(want, before, count * sizeof *want);
    llm_gemm_t shape = {.transpose_a = what->transpose_a,
                        .transpose_b = what->transpose_b,
                        .M = what->M,
                        .N = what->N,
                        .K = what->K,
                        .alpha = what->alpha,
                        .beta = what->add ? 1.0f : 0.0f,
                        .lda = what->lda,
                        .ldb = what->ldb,
                        .ldc = what->ldc};
    c->reference->ops->gemm(c->reference, want, a->floats, b->floats, &shape);
    return want;
}

/* As many elements as the last row needs, and no more. */
static size_t elements(size_t rows, size_t columns, size_t ld)
{
    return (rows - 1) * ld + columns;
}

static llm_cuda_product_t product_of(const check_t *c, const size_t shape[3], int way, bool padded)
{
    llm_cuda_product_t what = {.M = shape[0], .N = shape[1], .K = shape[2], .alpha = 1};
    size_t unit = padded ? 8 : 1, gap = padded ? 0 : GAP;
    what.transpose_a = way & 1;
    what.transpose_b = way & 2;
    what.add = way & 4;
    what.bf16 = what.bf16_c = c->queue.bf16;
    what.lda = ((what.transpose_a ? what.M : what.K) + gap + unit - 1) / unit * unit;
    what.ldb = ((what.transpose_b ? what.K : what.N) + gap + unit - 1) / unit * unit;
    what.ldc = (what.N + gap + unit - 1) / unit * unit;
    return what;
}

static void plain(check_t *c, llm_cuda_products_t *products, const size_t shape[3], int way,
                  bool padded)
{
    llm_cuda_product_t what = product_of(c, shape, way, padded);
    bool floats = way & 8; /* bf16 operands, float sums */
    what.bf16_c = what.bf16 && !floats;
    what.alpha = padded ? 1.0f : 0.5f;
    size_t a_rows = what.transpose_a ? what.K : what.M, b_rows = what.transpose_b ? what.N : what.K;
    array_t *a = reads(c, ACT, elements(a_rows, what.M + what.K - a_rows, what.lda), 1);
    array_t *b = reads(c, ACT, elements(b_rows, what.N + what.K - b_rows, what.ldb), 2);
    array_t *to = changes(c, floats ? F32 : ACT, elements(what.M, what.N, what.ldc), 3);
    for (runs(c); next_run(c);)
        multiply(c, products, to, a, b, &what);
    float *want = wanted(c, &what, a, b, to->floats);
    expect(c, to, want, CLOSE(c), "product %zux%zux%zu, way %d", what.M, what.N, what.K, way);
    check_clear(c);
}

/* The reference's GELU, forward or times its slope, of a row. */
static void gelu_row(check_t *c, float *out, const float *gradient, const float *x, size_t n)
{
    const llm_ops_t *ops = c->reference->ops;
    float *copy = room(n);
    void *to = out;
    const void *from = memcpy(copy, x, n * sizeof *copy), *given = gradient;
    if (gradient)
        ops->activation_backward(c->reference, to, given, from, n, LLM_ACTIVATION_GELU_TANH);
    else
        ops->activation_forward(c->reference, to, from, n, LLM_ACTIVATION_GELU_TANH);
    free(copy);
}

static void with_epilogue(check_t *c, llm_cuda_products_t *products, const size_t shape[3],
                          llm_cuda_epilogue_t epilogue)
{
    llm_cuda_product_t what = product_of(c, shape, 2, true);
    bool forward = epilogue != LLM_CUDA_GELU_BACK, gelu = epilogue != LLM_CUDA_BIAS;
    size_t count = elements(what.M, what.N, what.ldc);
    array_t *a = reads(c, ACT, elements(what.M, what.K, what.lda), 4);
    array_t *b = reads(c, ACT, elements(what.N, what.K, what.ldb), 5);
    array_t *bias = reads(c, ACT, what.N, 6);
    array_t *aux = forward ? changes(c, ACT, count, 7) : reads(c, ACT, count, 7);
    array_t *to = changes(c, ACT, count, 8);
    what.epilogue = epilogue;
    what.bias = forward ? bias->device : NULL;
    what.aux = gelu ? aux->device : NULL;
    what.aux_ld = what.ldc;
    for (runs(c); next_run(c);)
        multiply(c, products, to, a, b, &what);
    float *want = wanted(c, &what, a, b, to->floats), *before = copy_of(aux);
    for (size_t m = 0; m < what.M; m++) {
        float *row = want + m * what.ldc;
        for (size_t n = 0; n < what.N && forward; n++)
            row[n] += ((const float *)bias->floats)[n];
        if (epilogue == LLM_CUDA_BIAS_GELU) {
            memcpy(before + m * what.ldc, row, what.N * sizeof *row);
            gelu_row(c, row, NULL, row, what.N);
        } else if (!forward) {
            gelu_row(c, row, row, before + m * what.ldc, what.N);
        }
    }
    expect(c, aux, before, CLOSE(c), "rows beside %zux%zux%zu, epilogue %d", what.M, what.N, what.K,
           (int)epilogue);
    expect(c, to, want, CLOSE(c), "product %zux%zux%zu, epilogue %d", what.M, what.N, what.K,
           (int)epilogue);
    check_clear(c);
}

void check_products(check_t *c)
{
    static const size_t shapes[][3] = {{1, 1, 1},    {8, 16, 32},  {7, 9, 65},
                                       {33, 64, 30}, {130, 70, 5}, {2, 200, 257}};
    llm_cuda_products_t *products = products_of(c);
    for (size_t i = 0; products && i < FEW(c, shapes); i++) {
        for (int way = 0; way < (c->queue.bf16 ? 16 : 8); way++)
            for (c->shift = 0; c->shift < 2; c->shift++)
                plain(c, products, shapes[i], way, !c->shift);
        c->shift = 0;
        with_epilogue(c, products, shapes[i], LLM_CUDA_BIAS);
        for (int e = LLM_CUDA_BIAS_GELU; c->queue.bf16 && e <= LLM_CUDA_GELU_BACK; e++)
            with_epilogue(c, products, shapes[i], (llm_cuda_epilogue_t)e);
    }
    llm_cuda_products_destroy(&products);
}
