/*
 * device.cuh - what the kernels are written with: one source for nvcc and, with
 * LLM_CUDA_EMULATED, for the CPU (emulate.h).
 *
 * Elements of activations (bf16 or float, by template) as floats, eight at a
 * time; sums over warps and blocks in a fixed shape; launching.  Kernels use
 * what is here and in tensor.cuh and random.cuh, threadIdx and blockIdx,
 * barriers and shuffles, and nothing else of CUDA.
 */
#ifndef LLM_BACKEND_CUDA_DEVICE_CUH
#define LLM_BACKEND_CUDA_DEVICE_CUH

#ifdef LLM_CUDA_EMULATED
#include "llm/backend/cuda/emulate.h"
#include "llm/backend/cuda/emulate_memory.h"
#else
#include <cuda_runtime.h>

#include <cstdint>
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define DYNAMIC_SHARED(type, name)                                                                 \
    extern __shared__ __align__(16) unsigned char name##_bytes[];                                  \
    type *name = (type *)name##_bytes
#endif

#include "llm/backend/cuda/kernels.h"

#define DEVICE static __device__ __forceinline__

constexpr int LANES = 32;
constexpr unsigned ALL_LANES = ~0u;
constexpr int PIECE = 8; /* elements that a thread moves at once: 16 bytes of bf16 */

/* A 16-bit float as bits: there is no arithmetic on it. */
struct bf16 {
    uint16_t bits;
};

DEVICE float wide(float value)
{
    return value;
}

DEVICE float float_of_bits(uint32_t bits)
{
#ifdef LLM_CUDA_EMULATED
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
#else
    return __uint_as_float(bits);
#endif
}

DEVICE uint32_t bits_of_float(float value)
{
#ifdef LLM_CUDA_EMULATED
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
#else
    return __float_as_uint(value);
#endif
}

DEVICE float wide(bf16 value)
{
    return float_of_bits((uint32_t)value.bits << 16);
}

/* Two floats as bf16, rounded to nearest even, the first in the low half; a
 * NaN stays one. */
DEVICE uint32_t pack(float low, float high)
{
#ifdef LLM_CUDA_EMULATED
    uint32_t bits[2] = {bits_of_float(low), bits_of_float(high)};
    for (uint32_t &b : bits)
        b = (b & 0x7fffffffu) > 0x7f800000u ? b >> 16 | 0x40u
                                            : (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
    return bits[0] | bits[1] << 16;
#else
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#endif
}

DEVICE float low_half(uint32_t pair)
{
    return float_of_bits(pair << 16);
}

DEVICE float high_half(uint32_t pair)
{
    return float_of_bits(pair & 0xffff0000u);
}

template <class A> DEVICE A narrow(float value)
{
    if constexpr (sizeof(A) == sizeof(float))
        return value;
    else
        return A{(uint16_t)pack(value, 0.0f)};
}

DEVICE bool is_aligned(const void *address)
{
    return (uintptr_t)address % 16 == 0;
}

/* 16 bytes at an aligned address. */
DEVICE uint4 load16(const void *address)
{
#ifdef LLM_CUDA_EMULATED
    emulate::check_aligned(address, 16, {__FILE__, __LINE__});
#endif
    return *(const uint4 *)address;
}

DEVICE void store16(void *address, uint4 value)
{
#ifdef LLM_CUDA_EMULATED
    emulate::check_aligned(address, 16, {__FILE__, __LINE__});
#endif
    *(uint4 *)address = value;
}

/* Eight elements of bf16 in 16 bytes. */
DEVICE void widen_pairs(float v[PIECE], const uint4 &words)
{
    const uint32_t pairs[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = low_half(pairs[i]);
        v[2 * i + 1] = high_half(pairs[i]);
    }
}

/* Eight elements from an aligned address. */
DEVICE void load_whole(float v[PIECE], const bf16 *from)
{
    widen_pairs(v, load16(from));
}

DEVICE void load_whole(float v[PIECE], const float *from)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        uint4 words = load16(from + 4 * half);
        v[4 * half] = float_of_bits(words.x);
        v[4 * half + 1] = float_of_bits(words.y);
        v[4 * half + 2] = float_of_bits(words.z);
        v[4 * half + 3] = float_of_bits(words.w);
    }
}

DEVICE void store_whole(bf16 *to, const float v[PIECE])
{
    store16(to, uint4{pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7])});
}

DEVICE void store_whole(float *to, const float v[PIECE])
{
#pragma unroll
    for (int half = 0; half < 2; half++)
        store16(to + 4 * half,
                uint4{bits_of_float(v[4 * half]), bits_of_float(v[4 * half + 1]),
                      bits_of_float(v[4 * half + 2]), bits_of_float(v[4 * half + 3])});
}

/* The first count of eight elements, at any address; the others are 0. */
template <class A> DEVICE void load8(float v[PIECE], const A *from, long count)
{
    if (count >= PIECE && is_aligned(from)) {
        load_whole(v, from);
        return;
    }
#pragma unroll
    for (int i = 0; i < PIECE; i++)
        v[i] = i < count ? wide(from[i]) : 0.0f;
}

template <class A> DEVICE void store8(A *to, const float v[PIECE], long count)
{
    if (count >= PIECE && is_aligned(to)) {
        store_whole(to, v);
        return;
    }
#pragma unroll
    for (int i = 0; i < PIECE; i++)
        if (i < count)
            to[i] = narrow<A>(v[i]);
}

/* The sum (largest) over a warp, for every lane of it. */
template <class S> DEVICE S warp_sum(S value)
{
#pragma unroll
    for (int d = LANES / 2; d; d /= 2)
        value += __shfl_xor_sync(ALL_LANES, value, d);
    return value;
}

DEVICE float warp_largest(float value)
{
#pragma unroll
    for (int d = LANES / 2; d; d /= 2)
        value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, d));
    return value;
}

/* The sums over a block of up to 1024 threads of N values at once, for every
 * thread: lanes first, then warps, in a shape that only the block's size
 * decides.  part has room for 32 N values and may be used again after the
 * next barrier. */
template <int N, class S> DEVICE void block_sums(S value[N], S *part)
{
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const int warps = blockDim.x / LANES;
#pragma unroll
    for (int n = 0; n < N; n++) {
        value[n] = warp_sum(value[n]);
        if (lane == 0)
            part[n * LANES + warp] = value[n];
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < N; n++)
        value[n] = warp_sum(lane < warps ? part[n * LANES + lane] : S(0));
}

DEVICE float block_sum(float value, float *part)
{
    block_sums<1>(&value, part);
    return value;
}

static __host__ __device__ inline long smaller(long a, long b)
{
    return a < b ? a : b;
}

static inline unsigned ceil_div(size_t n, size_t by)
{
    return (unsigned)((n + by - 1) / by);
}

#ifdef LLM_CUDA_EMULATED
template <class... P, class... A>
static void launch(const llm_cuda_queue_t *queue, dim3 grid, dim3 block, size_t bytes,
                   void (*kernel)(P...), A... arguments)
{
    if (!grid.x || !grid.y || !grid.z)
        return;
    emulate::device_t &device = emulate::device_of(queue->stream);
    emulate::window_open(device);
    emulate::launch(grid, block, bytes, kernel, arguments...);
    emulate::window_close(device);
}
#else
/* Keeps the first failure of a queue, where it keeps one.  The runtime has it for
 * this thread only, and another may be the one that waits. */
static inline void keep_failure(const llm_cuda_queue_t *queue, cudaError_t error)
{
    if (error == cudaSuccess || !queue->failure)
        return;
    (void)cudaGetLastError();
    if (!*queue->failure)
        *queue->failure = cudaGetErrorString(error);
}

/* kernel<<<grid, block, bytes>>>(arguments ...) on a queue; an empty grid is
 * nothing to do. */
template <class... P, class... A>
static void launch(const llm_cuda_queue_t *queue, dim3 grid, dim3 block, size_t bytes,
                   void (*kernel)(P...), A... arguments)
{
    if (!grid.x || !grid.y || !grid.z)
        return;
    if (bytes > 48 << 10)
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    kernel<<<grid, block, bytes, (cudaStream_t)queue->stream>>>(static_cast<P>(arguments)...);
    keep_failure(queue, cudaPeekAtLastError());
}
#endif

/* Calls of(A()) for the type of the queue's activations. */
template <class F> static void for_activations(const llm_cuda_queue_t *queue, F of)
{
    if (queue->bf16)
        of(bf16());
    else
        of(float());
}

#endif
