/*
 * quantized.cu - frozen weights of 8 or 4 bits as bf16 (or float) tiles, which
 * products then take.
 *
 * A thread widens eight codes that lie side by side and writes 16 bytes of
 * bf16.  The orientation in memory stays as it is stored.
 */
#include "llm/backend/cuda/device.cuh"
#include "llm/backend/nf4.h"

constexpr unsigned THREADS_MAX = 256;

static __constant__ const float NF4[16] = LLM_NF4_VALUES;

/* Up to eight bytes of codes as one number. */
DEVICE uint64_t code_bytes(const uint8_t *at, int bytes)
{
    if (bytes == 8 && (uintptr_t)at % 8 == 0)
        return *(const uint64_t *)at;
    if (bytes == 4 && (uintptr_t)at % 4 == 0)
        return *(const uint32_t *)at;
    uint64_t bits = 0;
    for (int i = 0; i < bytes; i++)
        bits |= (uint64_t)at[i] << 8 * i;
    return bits;
}

/* The number that code j of eight stands for, before the scale. */
DEVICE float code_value(uint64_t codes, int j, llm_cuda_codes_t form, const float *nf4)
{
    if (form == LLM_CUDA_INT8)
        return (float)((int)(codes >> 8 * j & 255u) - 128);
    const int code = (int)(codes >> 4 * j & 15u);
    return form == LLM_CUDA_NF4 ? nf4[code] : (float)(code - 8);
}

/* Row blockIdx.x of what is wanted: row first + that, or that of ids. */
template <class A>
__global__ void widen_rows(A *out, size_t stride, llm_cuda_quantized_t weight, size_t first,
                           const int32_t *ids)
{
    SHARED(float, nf4, 16); /* lanes with different codes read it at once */
    if (threadIdx.x < 16)
        nf4[threadIdx.x] = NF4[threadIdx.x];
    __syncthreads();
    const size_t row = ids ? (size_t)ids[blockIdx.x] : first + blockIdx.x;
    const size_t groups = (weight.columns + weight.group - 1) / weight.group;
    const size_t bits = weight.form == LLM_CUDA_INT8 ? 8 : 4;
    const uint8_t *codes = weight.codes + row * ((weight.columns * bits + 7) / 8);
    const float *scales = weight.scales + row * groups;
    for (size_t c = threadIdx.x * PIECE; c < weight.columns; c += blockDim.x * PIECE) {
        const long count = smaller((long)(weight.columns - c), PIECE);
        const int here = count < PIECE ? (int)count : PIECE;
        const uint64_t eight = code_bytes(codes + c * bits / 8, (int)(here * bits + 7) / 8);
        float v[PIECE] = {};
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            if (j < count)
                v[j] = code_value(eight, j, weight.form, nf4) * scales[(c + j) / weight.group];
        store8(out + blockIdx.x * stride + c, v, count);
    }
}

static dim3 threads_of(size_t columns)
{
    const unsigned threads = ceil_div(ceil_div(columns, PIECE), LANES) * LANES;
    return dim3(threads < THREADS_MAX ? threads : THREADS_MAX);
}

void llm_cuda_dequantize(const llm_cuda_queue_t *queue, void *out, size_t stride,
                         const llm_cuda_quantized_t *weight, size_t first, size_t count)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)count), threads_of(weight->columns), 0, widen_rows<A>,
               (A *)out, stride, *weight, first, (const int32_t *)nullptr);
    });
}

void llm_cuda_gather_quantized(const llm_cuda_queue_t *queue, void *out,
                               const llm_cuda_quantized_t *weight, const int32_t *ids, size_t T)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)T), threads_of(weight->columns), 0, widen_rows<A>, (A *)out,
               weight->columns, *weight, (size_t)0, ids);
    });
}
