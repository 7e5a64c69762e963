/*
 * each.cuh - passes over the elements of a vector: a thread handles eight at a
 * time, 16 bytes of bf16.
 */
#ifndef LLM_BACKEND_CUDA_EACH_CUH
#define LLM_BACKEND_CUDA_EACH_CUH

#include "llm/backend/cuda/device.cuh"

constexpr unsigned THREADS = 256;
constexpr unsigned BLOCKS_MAX = 4096;

/* what(first, count) for pieces of eight of n elements. */
template <class F> __global__ void each(F what, size_t n)
{
    const size_t step = (size_t)gridDim.x * blockDim.x * PIECE;
    for (size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * PIECE; i < n; i += step)
        what(i, smaller((long)(n - i), PIECE));
}

template <class F> static void run(const llm_cuda_queue_t *queue, F what, size_t n)
{
    const size_t blocks = ceil_div(n, THREADS * PIECE);
    launch(queue, dim3((unsigned)smaller((long)blocks, BLOCKS_MAX)), dim3(THREADS), 0, each<F>,
           what, n);
}

#endif
