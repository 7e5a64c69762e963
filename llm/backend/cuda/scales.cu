/*
 * scales.cu - what adapters need beside products: factors of columns, lengths
 * of rows, dropping by a mask.  The formulas are those of
 * backend/reference/scales.c.
 */
#include "llm/backend/cuda/device.cuh"

constexpr unsigned THREADS = 256;

/* y = (or +=) x factors + bias; a block a row. */
template <class A>
__global__ void scale_columns(A *y, size_t y_stride, const A *x, size_t x_stride,
                              const float *factors, const float *bias, size_t N, bool add)
{
    A *to = y + blockIdx.x * y_stride;
    const A *from = x + blockIdx.x * x_stride;
    for (size_t n = threadIdx.x; n < N; n += blockDim.x) {
        float value = wide(from[n]) * factors[n];
        if (bias)
            value += bias[n];
        if (add)
            value += wide(to[n]);
        to[n] = narrow<A>(value);
    }
}

void llm_cuda_scale_columns(const llm_cuda_queue_t *queue, void *y, size_t y_stride, const void *x,
                            size_t x_stride, const float *factors, const float *bias, size_t M,
                            size_t N, bool add)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)M), dim3(THREADS), 0, scale_columns<A>, (A *)y, y_stride,
               (const A *)x, x_stride, factors, bias, N, add);
    });
}

template <class A>
__global__ void drop_rows(A *out, const uint8_t *mask, const A *x, float keep, size_t N, bool add)
{
    const uint8_t *bits = mask + blockIdx.x * ((N + 7) / 8);
    for (size_t c = threadIdx.x; c < N; c += blockDim.x) {
        const size_t i = blockIdx.x * N + c;
        float value = bits[c / 8] >> (c % 8) & 1 ? wide(x[i]) * keep : 0.0f;
        if (add)
            value += wide(out[i]);
        out[i] = narrow<A>(value);
    }
}

void llm_cuda_drop(const llm_cuda_queue_t *queue, void *out, const uint8_t *mask, const void *x,
                   float keep, size_t M, size_t N, bool add)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)M), dim3(THREADS), 0, drop_rows<A>, (A *)out, mask,
               (const A *)x, keep, N, add);
    });
}

template <class A> __global__ void row_squares(float *squares, const A *x, size_t N)
{
    SHARED(float, part, LANES);
    float sum = 0;
    for (size_t n = threadIdx.x; n < N; n += blockDim.x) {
        const float value = wide(x[blockIdx.x * N + n]);
        sum += value * value;
    }
    sum = block_sum(sum, part);
    if (threadIdx.x == 0)
        squares[blockIdx.x] = sum;
}

void llm_cuda_row_squares(const llm_cuda_queue_t *queue, float *squares, const void *x, size_t M,
                          size_t N)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)M), dim3(THREADS), 0, row_squares<A>, squares, (const A *)x,
               N);
    });
}

/* A thread an output. */
template <class A> __global__ void lora_lengths(float *factors, float *inverse, llm_lengths_t how)
{
    const size_t o = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (o >= how.out)
        return;
    const A *products = (const A *)how.products;
    const float *b = how.b + o * how.rank;
    const double s = how.scaling;
    double square = how.squares[o];
    for (size_t r = 0; r < how.rank; r++) {
        double row = 2.0 * (double)wide(products[r * how.out + o]);
        for (size_t q = 0; q < how.rank; q++)
            row += s * (double)how.gram[r * how.rank + q] * (double)b[q];
        square += s * (double)b[r] * row;
    }
    const double one_by = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    inverse[o] = (float)one_by;
    factors[o] = (float)((double)how.magnitude[o] * one_by);
}

void llm_cuda_lora_lengths(const llm_cuda_queue_t *queue, float *factors, float *inverse,
                           const llm_lengths_t *how)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3(ceil_div(how->out, THREADS)), dim3(THREADS), 0, lora_lengths<A>, factors,
               inverse, *how);
    });
}

__global__ void add_product(float *y, const float *a, const float *b, size_t n)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = (float)((double)y[i] + (double)a[i] * (double)b[i]);
}

void llm_cuda_add_product(const llm_cuda_queue_t *queue, float *y, const float *a, const float *b,
                          size_t n)
{
    launch(queue, dim3(ceil_div(n, THREADS)), dim3(THREADS), 0, add_product, y, a, b, n);
}
