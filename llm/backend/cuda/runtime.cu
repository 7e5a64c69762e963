/*
 * runtime.cu - device memory, waiting and timing through the CUDA runtime, and
 * the same on the emulation.
 */
#include "llm/backend/cuda/runtime.h"

#include <cstdio>

#include "llm/backend/cuda/device.cuh"

#ifdef LLM_CUDA_EMULATED

#include <chrono>

const char *llm_cuda_describe(char *text, size_t size)
{
    snprintf(text, size, "emulated");
    return text;
}

void *llm_cuda_alloc(size_t bytes)
{
    void *memory = nullptr;
    return posix_memalign(&memory, 256, bytes ? bytes : 1) ? nullptr : memory;
}

void llm_cuda_release(void *memory)
{
    free(memory);
}

const char *llm_cuda_upload(void *to, const void *host, size_t bytes)
{
    memcpy(to, host, bytes);
    return nullptr;
}

const char *llm_cuda_download(void *host, const void *from, size_t bytes)
{
    memcpy(host, from, bytes);
    return nullptr;
}

const char *llm_cuda_synchronize(void)
{
    return nullptr;
}

double llm_cuda_milliseconds(const llm_cuda_queue_t *, int times, void (*work)(void *, int),
                             void *argument)
{
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < times; i++)
        work(argument, i);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
        .count();
}

void llm_cuda_copy(const llm_cuda_queue_t *, void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

void llm_cuda_emulated_order(uint64_t seed)
{
    emulate::order(seed);
}

bool llm_cuda_is_emulated(void)
{
    return true;
}

#else

static const char *told(cudaError_t error)
{
    return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

const char *llm_cuda_describe(char *text, size_t size)
{
    int device = 0;
    cudaDeviceProp properties;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess)
        error = cudaGetDeviceProperties(&properties, device);
    if (error != cudaSuccess)
        snprintf(text, size, "no usable device: %s", cudaGetErrorString(error));
    else
        snprintf(text, size, "%s, compute capability %d.%d, %d multiprocessors", properties.name,
                 properties.major, properties.minor, properties.multiProcessorCount);
    return text;
}

void *llm_cuda_alloc(size_t bytes)
{
    void *memory = nullptr;
    return cudaMalloc(&memory, bytes ? bytes : 1) == cudaSuccess ? memory : nullptr;
}

void llm_cuda_release(void *memory)
{
    cudaFree(memory);
}

const char *llm_cuda_upload(void *to, const void *host, size_t bytes)
{
    return told(cudaMemcpy(to, host, bytes, cudaMemcpyHostToDevice));
}

const char *llm_cuda_download(void *host, const void *from, size_t bytes)
{
    return told(cudaMemcpy(host, from, bytes, cudaMemcpyDeviceToHost));
}

const char *llm_cuda_synchronize(void)
{
    const cudaError_t launched = cudaGetLastError();
    const cudaError_t ran = cudaDeviceSynchronize();
    return told(launched != cudaSuccess ? launched : ran);
}

double llm_cuda_milliseconds(const llm_cuda_queue_t *queue, int times, void (*work)(void *, int),
                             void *argument)
{
    cudaStream_t stream = (cudaStream_t)queue->stream;
    cudaEvent_t start, stop;
    float elapsed = -1;
    if (cudaEventCreate(&start) != cudaSuccess || cudaEventCreate(&stop) != cudaSuccess)
        return -1;
    cudaEventRecord(start, stream);
    for (int i = 0; i < times; i++)
        work(argument, i);
    cudaEventRecord(stop, stream);
    if (cudaEventSynchronize(stop) != cudaSuccess || cudaGetLastError() != cudaSuccess ||
        cudaEventElapsedTime(&elapsed, start, stop) != cudaSuccess)
        elapsed = -1;
    cudaEventDestroy(start);
    cudaEventDestroy(stop);
    return elapsed;
}

void llm_cuda_copy(const llm_cuda_queue_t *queue, void *to, const void *from, size_t bytes)
{
    cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, (cudaStream_t)queue->stream);
}

void llm_cuda_emulated_order(uint64_t)
{
}

bool llm_cuda_is_emulated(void)
{
    return false;
}

#endif
