/*
 * norm.cu - LayerNorm and RMSNorm, forward also with the residual's sum, and
 * their gradients by x.
 *
 * One block a row, which is held in registers: read once, written once.  The
 * formulas and derivations are those of backend/reference/norm.c.
 */
#include "llm/backend/cuda/device.cuh"

/* A thread holds PIECES times eight channels. */
constexpr int threads_max(int pieces)
{
    return LLM_CUDA_CHANNELS_MAX / 4 / PIECE * pieces;
}

template <class A> struct forward_t {
    A *out, *sum; /* sum NULL: out is the norm of x alone */
    float *stats;
    const A *x, *y;
    const float *weight, *bias; /* bias may be NULL */
    size_t C;
    float eps;
};

/* This thread's channels of x, or of x + y as an activation holds it. */
template <class A, int PIECES>
DEVICE void load_row(float (*v)[PIECE], const forward_t<A> &how, size_t row)
{
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        const size_t c = (p * blockDim.x + threadIdx.x) * PIECE;
        const long count = (long)how.C - (long)c;
        load8(v[p], how.x + row + c, count);
        if (!how.sum)
            continue;
        float other[PIECE];
        load8(other, how.y + row + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            v[p][j] = wide(narrow<A>(v[p][j] + other[j]));
        store8(how.sum + row + c, v[p], count);
    }
}

/* The mean over C channels of v - mean, squared. */
template <int PIECES>
DEVICE float mean_square(const float (*v)[PIECE], float mean, size_t C, float *part)
{
    float squares = 0;
#pragma unroll
    for (int p = 0; p < PIECES; p++)
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            if ((p * blockDim.x + threadIdx.x) * PIECE + j < C)
                squares += (v[p][j] - mean) * (v[p][j] - mean);
    return block_sum(squares, part) / (float)C;
}

template <class A, int PIECES, bool RMS>
__global__ void __launch_bounds__(threads_max(PIECES)) norm_forward(forward_t<A> how)
{
    SHARED(float, part, 2 * LANES);
    const size_t row = blockIdx.x * how.C;
    float v[PIECES][PIECE], mean = 0;
    load_row<A, PIECES>(v, how, row);
    if (!RMS) {
#pragma unroll
        for (int p = 0; p < PIECES; p++)
#pragma unroll
            for (int j = 0; j < PIECE; j++)
                mean += v[p][j];
        mean = block_sum(mean, part) / (float)how.C;
    }
    const float square = mean_square<PIECES>(v, mean, how.C, part + LANES);
    const float rstd = 1.0f / sqrtf(square + how.eps);
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        const size_t c = (p * blockDim.x + threadIdx.x) * PIECE;
        const long count = (long)how.C - (long)c;
        float w[PIECE], b[PIECE] = {};
        load8(w, how.weight + c, count);
        if (!RMS && how.bias)
            load8(b, how.bias + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            v[p][j] = (v[p][j] - mean) * rstd * w[j] + b[j];
        store8(how.out + row + c, v[p], count);
    }
    if (threadIdx.x == 0 && RMS)
        how.stats[blockIdx.x] = rstd;
    if (threadIdx.x == 0 && !RMS) {
        how.stats[2 * blockIdx.x] = mean;
        how.stats[2 * blockIdx.x + 1] = rstd;
    }
}

template <class A> struct backward_t {
    A *dx;
    const A *dout, *x;
    const float *stats, *weight;
    size_t C;
    bool add; /* false: dx is overwritten */
};

/* With n = (x - mean) rstd and g = dout w:
 * dx (+)= rstd (g - mean(g) - n mean(g n)), RMSNorm without the means. */
template <class A, int PIECES, bool RMS>
__global__ void __launch_bounds__(threads_max(PIECES)) norm_backward(backward_t<A> how)
{
    SHARED(float, part, 2 * LANES);
    const size_t row = blockIdx.x * how.C;
    const float mean = RMS ? 0.0f : how.stats[2 * blockIdx.x];
    const float rstd = RMS ? how.stats[blockIdx.x] : how.stats[2 * blockIdx.x + 1];
    float n[PIECES][PIECE], g[PIECES][PIECE], sums[2] = {0, 0};
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        const size_t c = (p * blockDim.x + threadIdx.x) * PIECE;
        const long count = (long)how.C - (long)c;
        float w[PIECE];
        load8(n[p], how.x + row + c, count);
        load8(g[p], how.dout + row + c, count);
        load8(w, how.weight + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++) { /* g is 0 beyond the row */
            n[p][j] = (n[p][j] - mean) * rstd;
            g[p][j] *= w[j];
            sums[0] += g[p][j];
            sums[1] += g[p][j] * n[p][j];
        }
    }
    block_sums<2>(sums, part);
    const float mean_g = RMS ? 0.0f : sums[0] / (float)how.C;
    const float mean_gn = sums[1] / (float)how.C;
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        const size_t c = (p * blockDim.x + threadIdx.x) * PIECE;
        const long count = (long)how.C - (long)c;
        float dx[PIECE] = {};
        if (how.add)
            load8(dx, how.dx + row + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            dx[j] += rstd * (g[p][j] - mean_g - n[p][j] * mean_gn);
        store8(how.dx + row + c, dx, count);
    }
}

/* Rows up to a quarter of the largest take one piece a thread, larger ones two
 * and up to four times the threads. */
static bool is_short(size_t C)
{
    return C <= (size_t)threads_max(1) * PIECE;
}

static dim3 threads_of(size_t C)
{
    return dim3(ceil_div(ceil_div(C, is_short(C) ? PIECE : 2 * PIECE), LANES) * LANES);
}

template <bool RMS, class A>
static void forward(const llm_cuda_queue_t *queue, const forward_t<A> &how, size_t T)
{
    if (is_short(how.C))
        launch(queue, dim3((unsigned)T), threads_of(how.C), 0, norm_forward<A, 1, RMS>, how);
    else
        launch(queue, dim3((unsigned)T), threads_of(how.C), 0, norm_forward<A, 2, RMS>, how);
}

template <bool RMS, class A>
static void backward(const llm_cuda_queue_t *queue, const backward_t<A> &how, size_t T)
{
    if (is_short(how.C))
        launch(queue, dim3((unsigned)T), threads_of(how.C), 0, norm_backward<A, 1, RMS>, how);
    else
        launch(queue, dim3((unsigned)T), threads_of(how.C), 0, norm_backward<A, 2, RMS>, how);
}

void llm_cuda_add_layernorm_forward(const llm_cuda_queue_t *queue, void *out, void *sum,
                                    float *stats, const void *x, const void *y, const float *weight,
                                    const float *bias, size_t T, size_t C, float eps)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        forward<false>(queue,
                       forward_t<A>{(A *)out, (A *)sum, stats, (const A *)x, (const A *)y, weight,
                                    bias, C, eps},
                       T);
    });
}

void llm_cuda_layernorm_forward(const llm_cuda_queue_t *queue, void *out, float *stats,
                                const void *x, const float *weight, const float *bias, size_t T,
                                size_t C, float eps)
{
    llm_cuda_add_layernorm_forward(queue, out, nullptr, stats, x, nullptr, weight, bias, T, C, eps);
}

void llm_cuda_add_rmsnorm_forward(const llm_cuda_queue_t *queue, void *out, void *sum, float *stats,
                                  const void *x, const void *y, const float *weight, size_t T,
                                  size_t C, float eps)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        forward<true>(queue,
                      forward_t<A>{(A *)out, (A *)sum, stats, (const A *)x, (const A *)y, weight,
                                   nullptr, C, eps},
                      T);
    });
}

void llm_cuda_rmsnorm_forward(const llm_cuda_queue_t *queue, void *out, float *stats, const void *x,
                              const float *weight, size_t T, size_t C, float eps)
{
    llm_cuda_add_rmsnorm_forward(queue, out, nullptr, stats, x, nullptr, weight, T, C, eps);
}

void llm_cuda_layernorm_backward(const llm_cuda_queue_t *queue, void *dx, const void *dout,
                                 const void *x, const float *stats, const float *weight, size_t T,
                                 size_t C, bool add)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        backward<false>(
            queue, backward_t<A>{(A *)dx, (const A *)dout, (const A *)x, stats, weight, C, add}, T);
    });
}

void llm_cuda_rmsnorm_backward(const llm_cuda_queue_t *queue, void *dx, const void *dout,
                               const void *x, const float *stats, const float *weight, size_t T,
                               size_t C, bool add)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        backward<true>(
            queue, backward_t<A>{(A *)dx, (const A *)dout, (const A *)x, stats, weight, C, add}, T);
    });
}
