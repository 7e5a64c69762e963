/*
 * product_emulated.c - products as loops over bf16 or floats with float sums,
 * in the order of K; tests only.
 *
 * The workspace is there as on a device, and holds a pattern that nobody else
 * may touch.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "llm/backend/cuda/product.h"
#include "llm/backend/cuda/runtime.h"

#define PATTERN 0x5a
#define WATCHED 4096 /* bytes of the workspace */

struct llm_cuda_products {
    uint8_t *workspace; /* owned, device memory */
};

void llm_cuda_products_destroy(llm_cuda_products_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    llm_cuda_release((*self_p)->workspace);
    free(*self_p);
    *self_p = NULL;
}

llm_cuda_products_t *llm_cuda_products_new(const char **why)
{
    uint8_t pattern[WATCHED];
    llm_cuda_products_t *self = calloc(1, sizeof *self);
    if (self)
        self->workspace = llm_cuda_alloc(WATCHED);
    memset(pattern, PATTERN, sizeof pattern);
    if (!self || !self->workspace || llm_cuda_upload(self->workspace, pattern, sizeof pattern)) {
        llm_cuda_products_destroy(&self);
        *why = "out of memory for the workspace of products";
    }
    return self;
}

static const char *check_workspace(const llm_cuda_products_t *self)
{
    uint8_t now[WATCHED];
    const char *wrong = llm_cuda_download(now, self->workspace, sizeof now);
    for (size_t i = 0; i < sizeof now && !wrong; i++)
        if (now[i] != PATTERN)
            wrong = "somebody else wrote to the workspace of products";
    return wrong;
}

static float get(const void *from, bool bf16, size_t i)
{
    return bf16 ? fmq_float_of_bf16(((const uint16_t *)from)[i]) : ((const float *)from)[i];
}

static void put(void *to, bool bf16, size_t i, float value)
{
    if (bf16)
        ((uint16_t *)to)[i] = fmq_bf16_of_float(value);
    else
        ((float *)to)[i] = value;
}

/* GELU in tanh form, and its slope. */
static float gelu(float x, float *slope)
{
    float t = tanhf(0.79788456f * (x + 0.044715f * x * x * x));
    float du = 0.79788456f * (1.0f + 3.0f * 0.044715f * x * x);
    *slope = 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * du;
    return 0.5f * x * (1.0f + t);
}

static void store_row(void *c, size_t m, const float *sums, const llm_cuda_product_t *what)
{
    float slope;
    for (size_t n = 0; n < what->N; n++) {
        size_t at = m * what->ldc + n, aux = m * what->aux_ld + n;
        float value = what->alpha * sums[n];
        if (what->bias)
            value += get(what->bias, what->bf16_c, n);
        if (what->epilogue == LLM_CUDA_BIAS_GELU) {
            put(what->aux, true, aux, value);
            value = gelu(value, &slope);
        } else if (what->epilogue == LLM_CUDA_GELU_BACK) {
            gelu(get(what->aux, true, aux), &slope);
            value *= slope;
        }
        if (what->add)
            value += get(c, what->bf16_c, at);
        put(c, what->bf16_c, at, value);
    }
}

/* op(B) as floats, [K][N]: read once for all rows of A. */
static float *widened(const void *b, const llm_cuda_product_t *what)
{
    float *wide = malloc(what->K * what->N * sizeof *wide);
    for (size_t k = 0; wide && k < what->K; k++)
        for (size_t n = 0; n < what->N; n++)
            wide[k * what->N + n] =
                get(b, what->bf16, what->transpose_b ? n * what->ldb + k : k * what->ldb + n);
    return wide;
}

const char *llm_cuda_product(llm_cuda_products_t *self, const llm_cuda_queue_t *queue, void *c,
                             const void *a, const void *b, const llm_cuda_product_t *what)
{
    const char *wrong = llm_cuda_product_check(c, a, b, what);
    if (!wrong)
        wrong = check_workspace(self);
    if (wrong)
        return wrong;
    llm_cuda_emulated_open(queue);
    float *wide = widened(b, what), *sums = malloc(what->N * sizeof *sums);
    for (size_t m = 0; wide && sums && m < what->M; m++) {
        memset(sums, 0, what->N * sizeof *sums);
        for (size_t k = 0; k < what->K; k++) {
            size_t at = what->transpose_a ? k * what->lda + m : m * what->lda + k;
            float value = get(a, what->bf16, at);
            for (size_t n = 0; n < what->N; n++)
                sums[n] += value * wide[k * what->N + n];
        }
        store_row(c, m, sums, what);
    }
    llm_cuda_emulated_close(queue);
    wrong = wide && sums ? NULL : "out of memory for an emulated product";
    free(wide);
    free(sums);
    return wrong;
}
