/*
 * planted.cu - the kernels of planted.h.
 */
#include "planted.h"

#include "llm/backend/cuda/device.cuh"
#include "llm/backend/cuda/tensor.cuh"

constexpr int WIDTH = 64;

template <int MISTAKE> __global__ void reverse(float *to, const float *from, size_t n)
{
    SHARED(float, room, WIDTH);
    const int i = threadIdx.x;
    const size_t first = n - (blockIdx.x + 1) * (size_t)WIDTH;
    if (i % 4 == 0) {
        const float *source = from + first + i + (MISTAKE == MISALIGNED && i == 8);
        if (MISTAKE == MISALIGNED)
            load16(source);
        cp_async(room + i, source, true);
        cp_async_commit();
    }
    if (MISTAKE != NO_WAIT)
        cp_async_wait<0>();
    if (MISTAKE == OUT_OF_SHARED && i == 0)
        room[WIDTH] = 1;
    if (MISTAKE == DIVERGENT_BARRIER && i >= WIDTH / 2)
        __syncthreads();
    else if (MISTAKE != NO_BARRIER)
        __syncthreads();
    float value = room[WIDTH - 1 - i];
    if (MISTAKE == NO_WAIT)
        cp_async_wait<0>();
    __syncthreads();
    room[i] = value;
    if (MISTAKE != NO_WARP_BARRIER)
        __syncwarp();
    value = room[i ^ 1];
    __syncwarp();
    if (MISTAKE != MISSING_LANE || i != 5)
        value = __shfl_xor_sync(ALL_LANES, value, 1) + warp_sum(1.0f);
    const size_t at = blockIdx.x * (size_t)WIDTH + i;
    if (MISTAKE == BLOCK_ORDER)
        value += at >= WIDTH && to[at - WIDTH] == to[at - WIDTH]; /* written: no NaN */
    to[at + (MISTAKE == OUT_OF_BOUNDS && at == n - 1)] = value;
}

template <int MISTAKE>
static void run(const llm_cuda_queue_t *queue, float *to, const float *from, size_t n)
{
    launch(queue, dim3(ceil_div(n, WIDTH)), dim3(WIDTH), 0, reverse<MISTAKE>, to, from, n);
}

void planted_reverse(const llm_cuda_queue_t *queue, float *to, const float *from, size_t n,
                     mistake_t mistake)
{
    static void (*const ways[])(const llm_cuda_queue_t *, float *, const float *, size_t) = {
        run<NOTHING_WRONG>, run<NO_BARRIER>,    run<NO_WARP_BARRIER>, run<DIVERGENT_BARRIER>,
        run<MISSING_LANE>,  run<OUT_OF_BOUNDS>, run<OUT_OF_SHARED>,   run<NO_WAIT>,
        run<MISALIGNED>,    run<BLOCK_ORDER>,
    };
    ways[mistake](queue, to, from, n);
}
