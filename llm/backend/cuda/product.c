/*
 * product.c - what both sides of the seam ask of a product before they compute
 * it, and the size classes of numbers of tokens.
 */
#include "llm/backend/cuda/product.h"

#include <stdint.h>

size_t llm_cuda_product_class(size_t tokens)
{
    size_t step = 1;
    while (tokens / step >= 16)
        step *= 2;
    return (tokens + step - 1) / step * step;
}

static bool is_multiple(const void *address, size_t bytes)
{
    return (uintptr_t)address % bytes == 0;
}

/* Bytes from the first element to behind the last of rows that lie ld apart. */
static size_t extent(size_t rows, size_t columns, size_t ld, size_t element)
{
    return ((rows - 1) * ld + columns) * element;
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uintptr_t first = (uintptr_t)a, other = (uintptr_t)b;
    return first < other + b_bytes && other < first + a_bytes;
}

static const char *check_epilogue(const llm_cuda_product_t *what)
{
    bool bias = what->epilogue == LLM_CUDA_BIAS || what->epilogue == LLM_CUDA_BIAS_GELU;
    bool gelu = what->epilogue == LLM_CUDA_BIAS_GELU || what->epilogue == LLM_CUDA_GELU_BACK;
    if (bias != (what->bias != NULL))
        return "a product has a bias where its epilogue takes none, or none where it takes one";
    if (bias && !is_multiple(what->bias, 16))
        return "a product's bias lies at no multiple of 16 bytes";
    if (gelu != (what->aux != NULL))
        return "a product has auxiliary rows where its epilogue takes none, or none where it "
               "takes some";
    if (!gelu)
        return NULL;
    if (what->add || !what->bf16_c)
        return "a product with GELU is to be added to what is there, or to be stored as float";
    if (what->aux_ld % 8 || what->aux_ld < what->N || !is_multiple(what->aux, 16))
        return "a product's auxiliary rows lie at no multiple of 16 bytes, or too close";
    return NULL;
}

static const char *check_shape(const llm_cuda_product_t *what)
{
    const size_t most = INT32_MAX;
    if (!what->M || !what->N || !what->K)
        return "a product without rows, columns or a sum";
    if (what->M > most || what->N > most || what->K > most || what->lda > most ||
        what->ldb > most || what->ldc > most)
        return "a product's dimension is beyond 2^31 - 1";
    if (what->lda < (what->transpose_a ? what->M : what->K) ||
        what->ldb < (what->transpose_b ? what->K : what->N) || what->ldc < what->N)
        return "a product's rows lie closer together than they are long";
    if (what->bf16_c && !what->bf16)
        return "a product of floats is to be stored as bf16";
    return NULL;
}

const char *llm_cuda_product_check(const void *c, const void *a, const void *b,
                                   const llm_cuda_product_t *what)
{
    size_t element = what->bf16 ? 2 : 4, element_c = what->bf16_c ? 2 : 4;
    const char *wrong = check_shape(what);
    if (!wrong)
        wrong = check_epilogue(what);
    if (wrong)
        return wrong;
    if (!a || !b || !c)
        return "a product without memory";
    if (!is_multiple(a, element) || !is_multiple(b, element) || !is_multiple(c, element_c))
        return "a product's memory lies at no multiple of its elements' size";
    size_t a_rows = what->transpose_a ? what->K : what->M, a_columns = what->M + what->K - a_rows;
    size_t b_rows = what->transpose_b ? what->N : what->K, b_columns = what->N + what->K - b_rows;
    size_t c_bytes = extent(what->M, what->N, what->ldc, element_c);
    if (overlap(c, c_bytes, a, extent(a_rows, a_columns, what->lda, element)) ||
        overlap(c, c_bytes, b, extent(b_rows, b_columns, what->ldb, element)))
        return "a product is to be stored over what it is made of";
    return NULL;
}
