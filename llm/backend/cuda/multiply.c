/*
 * multiply.c - one product of an op: whatever cuBLASLt would do badly or not at
 * all is taken off it here.
 *
 * Rows of bf16 that do not begin at multiples of 16 bytes (logits of an odd
 * vocabulary) cost it most of its speed: they are copied to or from rows that
 * do, a piece of the tokens at a time.
 */
#include "llm/backend/cuda/multiply.h"

#define DETOUR_ROWS  64                 /* fewer are not worth a copy */
#define DETOUR_BYTES ((size_t)64 << 20) /* of rows that are copied at a time */

int llm_cuda_product_open(llm_cuda_t *self, fmq_error_t *err)
{
    const char *why = NULL;
    self->product = llm_cuda_products_new(&why);
    if (self->product)
        return 0;
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "GPU %u cannot multiply matrices: %s",
                         self->instance.device, why);
}

void llm_cuda_product_close(llm_cuda_t *self)
{
    llm_cuda_products_t *products = self->product;
    llm_cuda_products_destroy(&products);
    self->product = NULL;
}

static size_t size_of(bool bf16)
{
    return bf16 ? 2 : 4;
}

static bool begins_well(const void *at, size_t ld)
{
    return (uintptr_t)at % 16 == 0 && ld % 8 == 0;
}

/* The bias in the type of C at a multiple of 16 bytes.  NULL: no memory. */
static const void *bias_of(llm_cuda_t *self, const float *bias, const llm_cuda_product_t *what)
{
    if (!what->bf16_c && (uintptr_t)bias % 16 == 0)
        return bias;
    void *to = llm_cuda_room(self, LLM_CUDA_ROOM_BIAS, what->N * size_of(what->bf16_c));
    llm_cuda_queue_t queue = self->queue;
    queue.bf16 = what->bf16_c;
    if (to)
        llm_cuda_narrow(&queue, to, bias, what->N, false);
    return to;
}

/* A sum without terms. */
static void empty(llm_cuda_t *self, const llm_cuda_factors_t *f, const llm_cuda_product_t *what)
{
    size_t element = size_of(what->bf16_c);
    for (size_t m = 0; m < what->M && !what->add; m++)
        llm_cuda_zero(&self->queue, (char *)f->c + m * what->ldc * element, what->N * element);
}

static void one(llm_cuda_t *self, const llm_cuda_factors_t *f, const llm_cuda_product_t *what)
{
    llm_cuda_fail(self, llm_cuda_product(self->product, &self->queue, f->c, f->a, f->b, what));
}

/* Rows of C, A or both by way of rows that begin well. */
static void by_detour(llm_cuda_t *self, llm_cuda_factors_t f, llm_cuda_product_t what, bool of_c,
                      bool of_a)
{
    size_t lda = of_a ? llm_cuda_padded(what.K) : what.lda;
    size_t ldc = of_c ? llm_cuda_padded(what.N) : what.ldc, M = what.M;
    size_t row = 2 * ((of_c ? ldc : 0) + (of_a ? lda : 0));
    size_t some = DETOUR_BYTES / row > DETOUR_ROWS ? DETOUR_BYTES / row : DETOUR_ROWS;
    some = some < M ? some : M;
    uint16_t *room = llm_cuda_room(self, LLM_CUDA_ROOM_OPERAND, some * row);
    const uint16_t *a = f.a;
    uint16_t *c = f.c;
    for (size_t m = 0; room && m < M; m += some) {
        llm_cuda_factors_t part = {.b = f.b};
        llm_cuda_product_t piece = what;
        piece.M = M - m < some ? M - m : some;
        uint16_t *copy = room + (of_c ? some * ldc : 0);
        part.a = of_a ? copy : a + m * what.lda;
        part.c = of_c ? room : c + m * what.ldc;
        piece.lda = lda;
        piece.ldc = ldc;
        if (of_a)
            llm_cuda_copy_rows(&self->queue, copy, lda, a + m * what.lda, what.lda, piece.M,
                               what.K);
        one(self, &part, &piece);
        if (of_c)
            llm_cuda_copy_rows(&self->queue, c + m * what.ldc, what.ldc, part.c, ldc, piece.M,
                               what.N);
    }
}

static void multiply(llm_cuda_t *self, const llm_cuda_factors_t *f, const llm_cuda_product_t *given)
{
    llm_cuda_product_t what = *given;
    if (!what.M || !what.N)
        return;
    if (!what.K) {
        empty(self, f, &what);
        return;
    }
    if (f->bias) {
        what.epilogue = LLM_CUDA_BIAS;
        what.bias = bias_of(self, f->bias, &what);
        if (!what.bias)
            return;
    }
    bool halves = what.bf16 && what.bf16_c && !what.transpose_a && what.M >= DETOUR_ROWS;
    bool of_c = halves && !what.add && !begins_well(f->c, what.ldc);
    bool of_a = halves && !begins_well(f->a, what.lda);
    if (of_c || of_a)
        by_detour(self, *f, what, of_c, of_a);
    else
        one(self, f, &what);
}

void llm_cuda_multiply(llm_cuda_t *self, const llm_cuda_factors_t *factors,
                       const llm_cuda_product_t *what)
{
    double start = llm_instance_now();
    multiply(self, factors, what);
    self->instance.gemm_seconds += llm_instance_now() - start;
}
