/*
 * moments.cu - Adam with moments of 8 bits, and what Adafactor is made of.
 *
 * Compiled without contraction to fused multiply-adds, in the reference's order of
 * operations: a step of Adam gives the reference's bits.
 */
#include "llm/backend/cuda/adam.cuh"

constexpr unsigned THREADS = LLM_CODED_BLOCK;

struct maps_t {
    llm_dynamic_map_t m, v;
};

/* The largest of a block's values, for every thread; none is below 0. */
DEVICE float block_largest(float value, float *part)
{
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const int warps = blockDim.x / LANES;
    value = warp_largest(value);
    if (lane == 0)
        part[warp] = value;
    __syncthreads();
    return warp_largest(lane < warps ? part[lane] : 0.0f);
}

/* llm_dynamic_code(). */
DEVICE uint8_t code_of(const float *values, float x)
{
    unsigned code = 0;
    for (unsigned step = LLM_DYNAMIC_CODES / 2; step; step /= 2)
        code += x > (values[code + step - 1] + values[code + step]) * 0.5f ? step : 0;
    return (uint8_t)code;
}

/* A block of threads for a block of codes. */
__global__ void adam_coded(float *params, llm_coded_moments_t moments, const float *grads, size_t n,
                           llm_cuda_adam_t how, maps_t maps)
{
    SHARED(float, values, 2 * LLM_DYNAMIC_CODES);
    SHARED(float, part, 2 * LANES);
    float *of_m = values, *of_v = values + LLM_DYNAMIC_CODES;
    of_m[threadIdx.x] = maps.m.values[threadIdx.x];
    of_v[threadIdx.x] = maps.v.values[threadIdx.x];
    __syncthreads();
    const size_t i = (size_t)blockIdx.x * LLM_CODED_BLOCK + threadIdx.x;
    const bool inside = i < n;
    float m = 0, v = 0;
    if (inside) {
        m = of_m[moments.m[i]] * moments.m_scales[blockIdx.x];
        v = of_v[moments.v[i]] * moments.v_scales[blockIdx.x];
        adam(params + i, grads[i], &m, &v, nullptr, how);
    }
    /* These wait for all threads, which have read the scales by then. */
    const float m_scale = block_largest(fabsf(m), part);
    const float v_scale = block_largest(v, part + LANES);
    if (inside) {
        moments.m[i] = code_of(of_m, m / (m_scale > 0 ? m_scale : 1.0f));
        moments.v[i] = code_of(of_v, v / (v_scale > 0 ? v_scale : 1.0f));
    }
    if (threadIdx.x == 0) {
        moments.m_scales[blockIdx.x] = m_scale;
        moments.v_scales[blockIdx.x] = v_scale;
    }
}

void llm_cuda_adam_coded_step(const llm_cuda_queue_t *queue, float *params,
                              const llm_coded_moments_t *moments, const float *grads, size_t n,
                              const llm_cuda_adam_t *how, const llm_dynamic_map_t *maps)
{
    launch(queue, dim3(ceil_div(n, LLM_CODED_BLOCK)), dim3(THREADS), 0, adam_coded, params,
           *moments, grads, n, *how, maps_t{maps[0], maps[1]});
}

DEVICE void follow(float *mean, double value, const llm_square_means_t &how)
{
    *mean = how.keep * *mean + how.share * (float)(value + (double)how.eps);
}

__global__ void each_square(float *rows, const float *x, size_t n, llm_square_means_t how)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        follow(&rows[i], (double)x[i] * (double)x[i], how);
}

/* A block of threads for a row. */
__global__ void row_squares(float *rows, const float *x, size_t N, llm_square_means_t how)
{
    SHARED(double, part, LANES);
    double sum = 0;
    for (size_t i = threadIdx.x; i < N; i += blockDim.x) {
        const double value = (double)x[blockIdx.x * N + i];
        sum += value * value;
    }
    block_sums<1>(&sum, part);
    if (threadIdx.x == 0)
        follow(&rows[blockIdx.x], sum / (double)N, how);
}

/* A thread for a column. */
__global__ void column_squares(float *columns, const float *x, size_t M, size_t N,
                               llm_square_means_t how)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    double sum = 0;
    if (i >= N)
        return;
    for (size_t m = 0; m < M; m++)
        sum += (double)x[m * N + i] * (double)x[m * N + i];
    follow(&columns[i], sum / (double)M, how);
}

void llm_cuda_square_means(const llm_cuda_queue_t *queue, float *rows, float *columns,
                           const float *x, size_t M, size_t N, const llm_square_means_t *how)
{
    if (!columns) {
        launch(queue, dim3(ceil_div(M * N, THREADS)), dim3(THREADS), 0, each_square, rows, x, M * N,
               *how);
        return;
    }
    launch(queue, dim3((unsigned)M), dim3(THREADS), 0, row_squares, rows, x, N, *how);
    launch(queue, dim3(ceil_div(N, LANES)), dim3(LANES), 0, column_squares, columns, x, M, N, *how);
}

__global__ void factored(float *update, const float *rows, const float *columns, const float *x,
                         size_t N, size_t n, llm_factored_t how)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const float root =
        columns ? sqrtf(rows[i / N] / how.mean) * sqrtf(columns[i % N]) : sqrtf(rows[i]);
    update[i] = x[i] / (root > how.least ? root : how.least);
}

void llm_cuda_factored_step(const llm_cuda_queue_t *queue, float *update, const float *rows,
                            const float *columns, const float *x, size_t M, size_t N,
                            const llm_factored_t *how)
{
    launch(queue, dim3(ceil_div(M * N, THREADS)), dim3(THREADS), 0, factored, update, rows, columns,
           x, N, M * N, *how);
}
