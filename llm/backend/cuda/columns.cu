/*
 * columns.cu - sums over the rows of a matrix: gradients of biases and of
 * norms' weights, squares of columns.
 *
 * Rows are cut into slices whose number depends on the shape alone.  A block
 * sums 256 columns of a slice; a second kernel adds up the slices in order.
 */
#include "llm/backend/cuda/device.cuh"

constexpr int WARPS = 8;
constexpr int WIDTH = LANES * PIECE; /* columns of a block */
constexpr size_t SLICE_ROWS = 64;
constexpr size_t SLICES_MAX = 64;

static size_t slices_of(size_t M)
{
    const size_t slices = ceil_div(M, SLICE_ROWS);
    return slices < SLICES_MAX ? slices : SLICES_MAX;
}

size_t llm_cuda_columns_scratch(size_t M, size_t N)
{
    return 2 * slices_of(M) * N;
}

/* Each of these says what a row gives to the sums of eight columns. */
template <class A> struct plain_t {
    static constexpr int SUMS = 1;
    const A *x;
    size_t stride;

    __device__ void operator()(float (*sums)[PIECE], size_t row, size_t c, long count) const
    {
        float v[PIECE];
        load8(v, x + row * stride + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            sums[0][j] += v[j];
    }
};

template <class A> struct squares_t {
    static constexpr int SUMS = 1;
    const A *x;
    size_t stride;

    __device__ void operator()(float (*sums)[PIECE], size_t row, size_t c, long count) const
    {
        float v[PIECE];
        load8(v, x + row * stride + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            sums[0][j] += v[j] * v[j];
    }
};

template <class A> struct products_t {
    static constexpr int SUMS = 1;
    const A *x;
    size_t x_stride;
    const A *z;
    size_t z_stride;

    __device__ void operator()(float (*sums)[PIECE], size_t row, size_t c, long count) const
    {
        float v[PIECE], w[PIECE];
        load8(v, x + row * x_stride + c, count);
        load8(w, z + row * z_stride + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            sums[0][j] += v[j] * w[j];
    }
};

/* dweight: dout (x - mean) rstd; dbias: dout. */
template <class A, bool RMS> struct norm_t {
    static constexpr int SUMS = RMS ? 1 : 2;
    const A *dout, *x;
    const float *stats;
    size_t N;

    __device__ void operator()(float (*sums)[PIECE], size_t row, size_t c, long count) const
    {
        const float mean = RMS ? 0.0f : stats[2 * row];
        const float rstd = RMS ? stats[row] : stats[2 * row + 1];
        float d[PIECE], v[PIECE];
        load8(d, dout + row * N + c, count);
        load8(v, x + row * N + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++) {
            sums[0][j] += d[j] * ((v[j] - mean) * rstd);
            if (!RMS)
                sums[SUMS - 1][j] += d[j];
        }
    }
};

/* partial[slice][sum][N]: warps take rows in turn, and their sums are added in
 * the order of the warps. */
template <class F> __global__ void column_slices(float *partial, F of, size_t M, size_t N)
{
    SHARED(float, part, WARPS *WIDTH);
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const size_t c = (size_t)blockIdx.x * WIDTH + lane * PIECE;
    const size_t slices = gridDim.y;
    const size_t last = M * (blockIdx.y + 1) / slices;
    float sums[F::SUMS][PIECE] = {};
    if (c < N)
        for (size_t row = M * blockIdx.y / slices + warp; row < last; row += WARPS)
            of(sums, row, c, (long)(N - c));
    for (int s = 0; s < F::SUMS; s++) {
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            part[warp * WIDTH + lane * PIECE + j] = sums[s][j];
        __syncthreads();
        float total = 0;
        for (int w = 0; w < WARPS; w++)
            total += part[w * WIDTH + threadIdx.x];
        const size_t column = (size_t)blockIdx.x * WIDTH + threadIdx.x;
        if (column < N)
            partial[(blockIdx.y * F::SUMS + s) * N + column] = total;
        __syncthreads();
    }
}

/* to[n] += the slices of sum number s. */
template <class S>
__global__ void add_slices(S *to, const float *partial, int sums, int s, size_t slices, size_t N)
{
    const size_t n = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= N)
        return;
    double total = 0;
    for (size_t i = 0; i < slices; i++)
        total += (double)partial[(i * sums + s) * N + n];
    to[n] = (S)((double)to[n] + total);
}

template <class F, class S>
static void column_sums(const llm_cuda_queue_t *queue, S *first, S *second, F of, size_t M,
                        size_t N, float *scratch)
{
    if (!M)
        return;
    const size_t slices = slices_of(M);
    launch(queue, dim3(ceil_div(N, WIDTH), (unsigned)slices), dim3(WIDTH), 0, column_slices<F>,
           scratch, of, M, N);
    if (first)
        launch(queue, dim3(ceil_div(N, WIDTH)), dim3(WIDTH), 0, add_slices<S>, first, scratch,
               F::SUMS, 0, slices, N);
    if (second)
        launch(queue, dim3(ceil_div(N, WIDTH)), dim3(WIDTH), 0, add_slices<S>, second, scratch,
               F::SUMS, F::SUMS - 1, slices, N);
}

void llm_cuda_bias_backward(const llm_cuda_queue_t *queue, float *dbias, const void *dy,
                            size_t dy_stride, size_t M, size_t N, float *scratch)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        column_sums<plain_t<A>, float>(queue, dbias, nullptr, plain_t<A>{(const A *)dy, dy_stride},
                                       M, N, scratch);
    });
}

void llm_cuda_column_products(const llm_cuda_queue_t *queue, float *sums, const void *x,
                              size_t x_stride, const void *z, size_t z_stride, size_t M, size_t N,
                              float *scratch)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        column_sums<products_t<A>, float>(
            queue, sums, nullptr, products_t<A>{(const A *)x, x_stride, (const A *)z, z_stride}, M,
            N, scratch);
    });
}

void llm_cuda_column_sum_squares(const llm_cuda_queue_t *queue, double *sums, const void *x,
                                 size_t M, size_t N, float *scratch)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        column_sums<squares_t<A>, double>(queue, sums, nullptr, squares_t<A>{(const A *)x, N}, M, N,
                                          scratch);
    });
}

void llm_cuda_layernorm_gradients(const llm_cuda_queue_t *queue, float *dweight, float *dbias,
                                  const void *dout, const void *x, const float *stats, size_t T,
                                  size_t C, float *scratch)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        column_sums(queue, dweight, dbias,
                    norm_t<A, false>{(const A *)dout, (const A *)x, stats, C}, T, C, scratch);
    });
}

void llm_cuda_rmsnorm_gradients(const llm_cuda_queue_t *queue, float *dweight, const void *dout,
                                const void *x, const float *stats, size_t T, size_t C,
                                float *scratch)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        column_sums<norm_t<A, true>, float>(
            queue, dweight, nullptr, norm_t<A, true>{(const A *)dout, (const A *)x, stats, C}, T, C,
            scratch);
    });
}
