/*
 * loss.cu - losses with their gradients, and the index of the largest logit:
 * one block a row.
 *
 * Largest value and sum of exponentials are found in one pass; a second pass
 * writes the gradient where the logits were.  The formulas are those of
 * backend/reference/loss.c.
 */
#include "llm/backend/cuda/device.cuh"

constexpr unsigned THREADS_MAX = 512;

static dim3 threads_of(size_t V)
{
    const unsigned threads = ceil_div(ceil_div(V, PIECE), LANES) * LANES;
    return dim3(threads < THREADS_MAX ? threads : THREADS_MAX);
}

/* sum exp(v - largest), of what has been seen. */
struct exponentials_t {
    float largest, sum;
};

/* Nothing, or nothing above -inf, has been seen where the larger one is -inf. */
DEVICE exponentials_t joined(exponentials_t a, exponentials_t b)
{
    const float largest = fmaxf(a.largest, b.largest);
    if (largest == -INFINITY)
        return {largest, a.sum + b.sum};
    return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}

template <class A> DEVICE exponentials_t of_thread(const A *row, size_t V)
{
    exponentials_t seen = {-INFINITY, 0};
    for (size_t v = threadIdx.x * PIECE; v < V; v += blockDim.x * PIECE) {
        const int count = (int)smaller((long)(V - v), PIECE);
        float x[PIECE];
        load8(x, row + v, count);
        exponentials_t next = {x[0], 0};
#pragma unroll
        for (int j = 1; j < PIECE; j++)
            next.largest = j < count ? fmaxf(next.largest, x[j]) : next.largest;
        if (next.largest == -INFINITY)
            continue;
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            next.sum += j < count ? expf(x[j] - next.largest) : 0.0f;
        seen = joined(seen, next);
    }
    return seen;
}

/* log sum exp of a row of logits, for every thread of the block. */
template <class A> DEVICE float log_sum_exp(const A *row, size_t V, float *part)
{
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const int warps = blockDim.x / LANES;
    exponentials_t seen = of_thread(row, V);
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int d = LANES / 2; d; d /= 2)
            seen = joined(seen, {__shfl_xor_sync(ALL_LANES, seen.largest, d),
                                 __shfl_xor_sync(ALL_LANES, seen.sum, d)});
        if (i)
            break;
        if (lane == 0) {
            part[warp] = seen.largest;
            part[LANES + warp] = seen.sum;
        }
        __syncthreads();
        seen = {lane < warps ? part[lane] : -INFINITY, lane < warps ? part[LANES + lane] : 0.0f};
    }
    return seen.largest + logf(seen.sum);
}

/* The sum of lse - x over a row, for every thread of the block. */
template <class A> DEVICE float distances(const A *row, size_t V, float lse, float *part)
{
    float sum = 0;
    for (size_t v = threadIdx.x; v < V; v += blockDim.x)
        sum += lse - wide(row[v]);
    return block_sum(sum, part);
}

template <class A>
__global__ void cross_entropy(float *loss, A *logits, size_t stride, const int32_t *targets,
                              size_t V, float scale, float smoothing)
{
    SHARED(float, part, 3 * LANES);
    A *row = logits + blockIdx.x * stride;
    const size_t target = (size_t)targets[blockIdx.x];
    const float lse = log_sum_exp(row, V, part);
    const float rest = smoothing / (float)V;
    const float away = smoothing > 0 ? distances(row, V, lse, part + 2 * LANES) : 0.0f;
    if (threadIdx.x == 0)
        loss[blockIdx.x] = (1.0f - smoothing) * (lse - wide(row[target])) + rest * away;
    if (scale == 0.0f)
        return;
    __syncthreads();
    for (size_t v = threadIdx.x * PIECE; v < V; v += blockDim.x * PIECE) {
        const long count = smaller((long)(V - v), PIECE);
        float x[PIECE];
        load8(x, row + v, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            x[j] = (expf(x[j] - lse) - rest - (v + j == target ? 1.0f - smoothing : 0.0f)) * scale;
        store8(row + v, x, count);
    }
}

void llm_cuda_cross_entropy(const llm_cuda_queue_t *queue, float *loss, void *logits, size_t stride,
                            const int32_t *targets, size_t M, size_t V, float scale, float smoothing)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)M), threads_of(V), 0, cross_entropy<A>, loss, (A *)logits,
               stride, targets, V, scale, smoothing);
    });
}

template <class A>
__global__ void kl_divergence(float *loss, A *client, const A *full, size_t stride, size_t V,
                              float scale)
{
    SHARED(float, part, 5 * LANES);
    A *c = client + blockIdx.x * stride;
    const A *f = full + blockIdx.x * stride;
    const float lse_client = log_sum_exp(c, V, part);
    const float lse_full = log_sum_exp(f, V, part + 2 * LANES);
    float sum = 0;
    for (size_t v = threadIdx.x * PIECE; v < V; v += blockDim.x * PIECE) {
        const long count = smaller((long)(V - v), PIECE);
        float x[PIECE], y[PIECE];
        load8(x, c + v, count);
        load8(y, f + v, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++) {
            const float log_client = x[j] - lse_client, log_full = y[j] - lse_full;
            if (j < count)
                sum += expf(log_full) * (log_full - log_client);
            x[j] = (expf(log_client) - expf(log_full)) * scale;
        }
        if (scale != 0.0f)
            store8(c + v, x, count);
    }
    sum = block_sum(sum, part + 4 * LANES);
    if (threadIdx.x == 0)
        loss[blockIdx.x] = sum;
}

void llm_cuda_kl_divergence(const llm_cuda_queue_t *queue, float *loss, void *client,
                            const void *full, size_t stride, size_t M, size_t V, float scale)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)M), threads_of(V), 0, kl_divergence<A>, loss, (A *)client,
               (const A *)full, stride, V, scale);
    });
}

/* d(-cos)/dx = cos x / |x|^2 - t / (|t| |x|). */
template <class A>
__global__ void cosine(float *loss, A *dx, const A *target, const A *x, size_t C, float scale)
{
    SHARED(float, part, 3 * LANES);
    const size_t row = blockIdx.x * C;
    float sums[3] = {0, 0, 0};
    for (size_t c = threadIdx.x * PIECE; c < C; c += blockDim.x * PIECE) {
        const long count = smaller((long)(C - c), PIECE);
        float t[PIECE], v[PIECE];
        load8(t, target + row + c, count);
        load8(v, x + row + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++) {
            sums[0] += t[j] * v[j];
            sums[1] += t[j] * t[j];
            sums[2] += v[j] * v[j];
        }
    }
    block_sums<3>(sums, part);
    const float lengths = sqrtf(sums[1]) * sqrtf(sums[2]);
    const bool zero = lengths == 0; /* and not NaN */
    if (threadIdx.x == 0)
        loss[blockIdx.x] = zero ? 0.0f : -sums[0] / lengths;
    if (!dx || zero)
        return;
    const float along = scale * (sums[0] / lengths / sums[2]), across = scale / lengths;
    for (size_t c = threadIdx.x * PIECE; c < C; c += blockDim.x * PIECE) {
        const long count = smaller((long)(C - c), PIECE);
        float t[PIECE], v[PIECE], d[PIECE];
        load8(t, target + row + c, count);
        load8(v, x + row + c, count);
        load8(d, dx + row + c, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            d[j] += v[j] * along - t[j] * across;
        store8(dx + row + c, d, count);
    }
}

void llm_cuda_cosine(const llm_cuda_queue_t *queue, float *loss, void *dx, const void *target,
                     const void *x, size_t T, size_t C, float scale)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)T), threads_of(C), 0, cosine<A>, loss, (A *)dx,
               (const A *)target, (const A *)x, C, scale);
    });
}

struct best_t {
    float value;
    int32_t index;
};

/* The larger value, the lower index among equals. */
DEVICE best_t better(best_t a, best_t b)
{
    return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}

DEVICE best_t best_of_warp(best_t best)
{
#pragma unroll
    for (int d = LANES / 2; d; d /= 2)
        best = better(best, {__shfl_xor_sync(ALL_LANES, best.value, d),
                             __shfl_xor_sync(ALL_LANES, best.index, d)});
    return best;
}

/* A NaN is never the largest, but where it comes first nothing is larger. */
template <class A> __global__ void argmax(int32_t *answer, const A *logits, size_t stride, size_t V)
{
    SHARED(float, values, LANES);
    SHARED(int32_t, indices, LANES);
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const A *row = logits + blockIdx.x * stride;
    best_t best = {-INFINITY, 0};
    for (size_t v = threadIdx.x * PIECE; v < V; v += blockDim.x * PIECE) {
        const int count = (int)smaller((long)(V - v), PIECE);
        float x[PIECE];
        load8(x, row + v, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            if (j < count && x[j] > best.value)
                best = {x[j], (int32_t)v + j};
    }
    best = best_of_warp(best);
    if (lane == 0) {
        values[warp] = best.value;
        indices[warp] = best.index;
    }
    __syncthreads();
    if (warp)
        return;
    const bool there = lane < (int)(blockDim.x / LANES);
    best = best_of_warp({there ? values[lane] : -INFINITY, there ? indices[lane] : 0});
    const float first = wide(row[0]);
    if (lane == 0)
        answer[blockIdx.x] = first != first ? 0 : best.index;
}

void llm_cuda_argmax(const llm_cuda_queue_t *queue, int32_t *best, const void *logits,
                     size_t stride, size_t M, size_t V)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)M), threads_of(V), 0, argmax<A>, best, (const A *)logits,
               stride, V);
    });
}
