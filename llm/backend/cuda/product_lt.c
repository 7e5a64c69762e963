/*
 * product_lt.c - products by cuBLASLt.
 *
 * The library stores by columns: C^T = op(B)^T op(A)^T has the same bytes as C
 * by rows, so the operands change places and each keeps its transposition.
 *
 * Descriptors and the algorithm of a product are looked up once and kept, in
 * the order of their use; a lookup asks for the size class of the tokens, not
 * for their number, so that what a class gets does not depend on which batch
 * came first.  Where an algorithm does not fit a number of its class, that
 * number gets its own.
 */
#include <cublasLt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "llm/backend/cuda/product.h"
#include "llm/backend/cuda/runtime.h"

#define ENTRIES_MAX   512 /* then the least recently used one goes */
#define ALIGNMENT_MAX 16  /* bytes: what the fastest kernels ask for */

/* What decides about an algorithm.  Compared as bytes: made by memset first. */
typedef struct {
    uint64_t M, N, K, lda, ldb, ldc, aux_ld;
    uint32_t align_a, align_b, align_c;
    uint32_t flags, epilogue;
} found_key_t;

typedef struct {
    found_key_t key;
    cublasLtMatmulAlgo_t algorithm;
    uint64_t used; /* when last */
} found_t;

struct llm_cuda_products {
    cublasLtHandle_t handle;
    void *workspace; /* owned, device memory */
    found_t *found;  /* owned, ENTRIES_MAX */
    size_t size;
    uint64_t uses;
};

/* A product as the library has it: A and B have changed places. */
typedef struct {
    cublasLtMatmulDescOpaque_t how;
    cublasLtMatrixLayoutOpaque_t a, b, c;
} layouts_t;

static const char *told(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? NULL : cublasLtGetStatusString(status);
}

void llm_cuda_products_destroy(llm_cuda_products_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    llm_cuda_products_t *self = *self_p;
    if (self->handle)
        cublasLtDestroy(self->handle);
    if (self->workspace)
        llm_cuda_release(self->workspace);
    free(self->found);
    free(self);
    *self_p = NULL;
}

llm_cuda_products_t *llm_cuda_products_new(const char **why)
{
    llm_cuda_products_t *self = calloc(1, sizeof *self);
    if (!self) {
        *why = "out of memory for the products of an instance";
        return NULL;
    }
    *why = told(cublasLtCreate(&self->handle));
    self->found = calloc(ENTRIES_MAX, sizeof *self->found);
    self->workspace = llm_cuda_alloc(LLM_CUDA_PRODUCT_WORKSPACE);
    if (!*why && (!self->found || !self->workspace))
        *why = "out of memory for the workspace of products";
    if (*why)
        llm_cuda_products_destroy(&self);
    return self;
}

static cublasStatus_t set(cublasLtMatmulDesc_t how, cublasLtMatmulDescAttributes_t which,
                          const void *value, size_t size)
{
    return cublasLtMatmulDescSetAttribute(how, which, value, size);
}

static cublasStatus_t set_epilogue(cublasLtMatmulDesc_t how, const llm_cuda_product_t *what)
{
    static const cublasLtEpilogue_t epilogues[] = {[LLM_CUDA_AS_IT_IS] = CUBLASLT_EPILOGUE_DEFAULT,
                                                   [LLM_CUDA_BIAS] = CUBLASLT_EPILOGUE_BIAS,
                                                   [LLM_CUDA_BIAS_GELU] =
                                                       CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
                                                   [LLM_CUDA_GELU_BACK] = CUBLASLT_EPILOGUE_DGELU};
    cublasLtEpilogue_t epilogue = epilogues[what->epilogue];
    cublasStatus_t status = set(how, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (status == CUBLAS_STATUS_SUCCESS && what->bias)
        status = set(how, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &what->bias, sizeof what->bias);
    int64_t ld = (int64_t)what->aux_ld;
    if (status == CUBLAS_STATUS_SUCCESS && what->aux)
        status = set(how, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &ld, sizeof ld);
    if (status == CUBLAS_STATUS_SUCCESS && what->aux)
        status = set(how, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &what->aux, sizeof what->aux);
    return status;
}

/* Of a stored matrix of rows x columns, by rows, which is columns x rows by
 * columns. */
static cublasStatus_t layout(cublasLtMatrixLayout_t to, bool bf16, size_t rows, size_t columns,
                             size_t ld)
{
    return cublasLtMatrixLayoutInit(to, bf16 ? CUDA_R_16BF : CUDA_R_32F, columns, rows,
                                    (int64_t)ld);
}

static cublasStatus_t layouts_init(layouts_t *l, const llm_cuda_product_t *what)
{
    cublasComputeType_t compute = what->bf16 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_PEDANTIC;
    cublasOperation_t first = what->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t second = what->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasStatus_t status = cublasLtMatmulDescInit(&l->how, compute, CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = set(&l->how, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = set(&l->how, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = set_epilogue(&l->how, what);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = layout(&l->a, what->bf16, what->transpose_b ? what->N : what->K,
                        what->transpose_b ? what->K : what->N, what->ldb);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = layout(&l->b, what->bf16, what->transpose_a ? what->K : what->M,
                        what->transpose_a ? what->M : what->K, what->lda);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = layout(&l->c, what->bf16_c, what->M, what->N, what->ldc);
    return status;
}

/* The largest power of two, up to 16, that divides where rows begin. */
static uint32_t alignment(const void *at, size_t ld, bool bf16)
{
    uintptr_t bits = (uintptr_t)at | ld * (bf16 ? 2 : 4) | ALIGNMENT_MAX;
    return (uint32_t)(bits & (~bits + 1));
}

static found_key_t key_of(const void *c, const void *a, const void *b,
                          const llm_cuda_product_t *what)
{
    found_key_t key;
    memset(&key, 0, sizeof key);
    key.M = what->M;
    key.N = what->N;
    key.K = what->K;
    key.lda = what->lda;
    key.ldb = what->ldb;
    key.ldc = what->ldc;
    key.aux_ld = what->aux_ld;
    key.align_a = alignment(a, what->lda, what->bf16);
    key.align_b = alignment(b, what->ldb, what->bf16);
    key.align_c = alignment(c, what->ldc, what->bf16_c);
    key.flags = (uint32_t)what->transpose_a | (uint32_t)what->transpose_b << 1 |
                (uint32_t)what->bf16 << 2 | (uint32_t)what->bf16_c << 3 | (uint32_t)what->add << 4;
    key.epilogue = what->epilogue;
    return key;
}

/* Sums are never split: REDUCTION_SCHEME_NONE is the mask without a bit. */
static cublasStatus_t prefer(cublasLtMatmulPreference_t preference, const found_key_t *key)
{
    const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE;
    const uint64_t bytes = LLM_CUDA_PRODUCT_WORKSPACE;
    const struct {
        cublasLtMatmulPreferenceAttributes_t which;
        const void *value;
        size_t size;
    } all[] = {{CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes},
               {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &key->align_b, sizeof key->align_b},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &key->align_a, sizeof key->align_a},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &key->align_c, sizeof key->align_c},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &key->align_c, sizeof key->align_c}};
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && status == CUBLAS_STATUS_SUCCESS; i++)
        status = cublasLtMatmulPreferenceSetAttribute(preference, all[i].which, all[i].value,
                                                      all[i].size);
    return status;
}

/* The library's first choice for exactly this product. */
static cublasStatus_t look_up(llm_cuda_products_t *self, const llm_cuda_product_t *what,
                              const found_key_t *key, cublasLtMatmulAlgo_t *algorithm)
{
    layouts_t l;
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t result;
    int count = 0;
    cublasStatus_t status = layouts_init(&l, what);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    status = cublasLtMatmulPreferenceCreate(&preference);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = prefer(preference, key);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulAlgoGetHeuristic(self->handle, &l.how, &l.a, &l.b, &l.c, &l.c,
                                                preference, 1, &result, &count);
    if (status == CUBLAS_STATUS_SUCCESS && count < 1)
        status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status == CUBLAS_STATUS_SUCCESS)
        status = result.state;
    if (status == CUBLAS_STATUS_SUCCESS)
        *algorithm = result.algo;
    if (preference)
        cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

/* Where a further algorithm goes: the least recently used one's place when all
 * are taken. */
static found_t *place(llm_cuda_products_t *self)
{
    if (self->size < ENTRIES_MAX)
        return &self->found[self->size++];
    found_t *oldest = self->found;
    for (size_t i = 1; i < self->size; i++)
        if (self->found[i].used < oldest->used)
            oldest = &self->found[i];
    return oldest;
}

static cublasStatus_t algorithm_of(llm_cuda_products_t *self, const llm_cuda_product_t *what,
                                   const found_key_t *key, cublasLtMatmulAlgo_t *algorithm)
{
    for (size_t i = 0; i < self->size; i++)
        if (memcmp(&self->found[i].key, key, sizeof *key) == 0) {
            self->found[i].used = ++self->uses;
            *algorithm = self->found[i].algorithm;
            return CUBLAS_STATUS_SUCCESS;
        }
    cublasStatus_t status = look_up(self, what, key, algorithm);
    if (status == CUBLAS_STATUS_SUCCESS)
        *place(self) = (found_t){*key, *algorithm, ++self->uses};
    return status;
}

/* The same product of as many tokens as their class stands for. */
static llm_cuda_product_t of_class(const llm_cuda_product_t *what)
{
    llm_cuda_product_t same = *what;
    if (what->transpose_a)
        same.K = llm_cuda_product_class(what->K);
    else
        same.M = llm_cuda_product_class(what->M);
    if (what->transpose_a && what->transpose_b)
        same.K = what->K; /* B's rows would grow with it */
    return same;
}

const char *llm_cuda_product(llm_cuda_products_t *self, const llm_cuda_queue_t *queue, void *c,
                             const void *a, const void *b, const llm_cuda_product_t *what)
{
    layouts_t l;
    cublasLtMatmulAlgo_t algorithm;
    const float alpha = what->alpha, beta = what->add ? 1.0f : 0.0f;
    const char *wrong = llm_cuda_product_check(c, a, b, what);
    if (wrong)
        return wrong;
    cublasStatus_t status = layouts_init(&l, what);
    if (status != CUBLAS_STATUS_SUCCESS)
        return told(status);
    const llm_cuda_product_t asked[] = {of_class(what), *what};
    for (int i = 0; i < 2; i++) {
        const found_key_t key = key_of(c, a, b, &asked[i]);
        status = algorithm_of(self, &asked[i], &key, &algorithm);
        if (status == CUBLAS_STATUS_SUCCESS)
            status = cublasLtMatmul(self->handle, &l.how, &alpha, b, &l.a, a, &l.b, &beta, c, &l.c,
                                    c, &l.c, &algorithm, self->workspace,
                                    LLM_CUDA_PRODUCT_WORKSPACE, (cudaStream_t)queue->stream);
        if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE)
            break;
    }
    return told(status);
}
