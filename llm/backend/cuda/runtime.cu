/*
 * runtime.cu - devices, memory, queues and timing through the CUDA runtime, and
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

const char *llm_cuda_count(int *count)
{
    *count = emulate::DEVICES;
    return nullptr;
}

const char *llm_cuda_device(int, llm_cuda_device_t *out)
{
    *out = llm_cuda_device_t{};
    snprintf(out->name, sizeof out->name, "emulated");
    out->major = 9;
    out->memory = emulate::memory_bytes();
    return nullptr;
}

const char *llm_cuda_use(int device)
{
    emulate::current = device;
    return nullptr;
}

const char *llm_cuda_queue_open(llm_cuda_queue_t *queue, bool bf16)
{
    *queue = llm_cuda_queue_t{};
    queue->stream = &emulate::devices[emulate::current];
    queue->bf16 = bf16;
    return nullptr;
}

void llm_cuda_queue_close(llm_cuda_queue_t *queue)
{
    *queue = llm_cuda_queue_t{};
}

const char *llm_cuda_queue_wait(const llm_cuda_queue_t *)
{
    return nullptr;
}

const char *llm_cuda_queue_ask(const llm_cuda_queue_t *, bool *done)
{
    *done = true;
    return nullptr;
}

void *llm_cuda_alloc(size_t bytes)
{
    return emulate::memory_new(emulate::devices[emulate::current], bytes);
}

void llm_cuda_release(void *memory)
{
    emulate::memory_release(memory);
}

size_t llm_cuda_memory_free(void)
{
    return emulate::memory_free(emulate::devices[emulate::current]);
}

void *llm_cuda_pinned_alloc(size_t bytes)
{
    return malloc(bytes ? bytes : 1);
}

void llm_cuda_pinned_release(void *memory)
{
    free(memory);
}

/* Calls of() while the memory of a device can be touched. */
template <class F> static void within(emulate::device_t &device, F of)
{
    emulate::window_open(device);
    of();
    emulate::window_close(device);
}

const char *llm_cuda_upload(void *to, const void *host, size_t bytes)
{
    within(emulate::devices[emulate::current], [=] { memcpy(to, host, bytes); });
    return nullptr;
}

const char *llm_cuda_download(void *host, const void *from, size_t bytes)
{
    within(emulate::devices[emulate::current], [=] { memcpy(host, from, bytes); });
    return nullptr;
}

void llm_cuda_copy_in(const llm_cuda_queue_t *queue, void *to, const void *host, size_t bytes)
{
    within(emulate::device_of(queue->stream), [=] { memcpy(to, host, bytes); });
}

void llm_cuda_copy_out(const llm_cuda_queue_t *queue, void *host, const void *from, size_t bytes)
{
    within(emulate::device_of(queue->stream), [=] { memcpy(host, from, bytes); });
}

void llm_cuda_zero(const llm_cuda_queue_t *queue, void *memory, size_t bytes)
{
    within(emulate::device_of(queue->stream), [=] { memset(memory, 0, bytes); });
}

void llm_cuda_copy(const llm_cuda_queue_t *queue, void *to, const void *from, size_t bytes)
{
    within(emulate::device_of(queue->stream), [=] { memcpy(to, from, bytes); });
}

void *llm_cuda_mark_new(void)
{
    return malloc(1);
}

void llm_cuda_mark_destroy(void *mark)
{
    free(mark);
}

void llm_cuda_mark_set(const llm_cuda_queue_t *, void *)
{
}

void llm_cuda_mark_wait(void *)
{
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

void llm_cuda_emulated_order(uint64_t seed)
{
    emulate::order(seed);
}

bool llm_cuda_is_emulated(void)
{
    return true;
}

void llm_cuda_emulated_open(const llm_cuda_queue_t *queue)
{
    emulate::window_open(emulate::device_of(queue->stream));
}

void llm_cuda_emulated_close(const llm_cuda_queue_t *queue)
{
    emulate::window_close(emulate::device_of(queue->stream));
}

int llm_cuda_emulated_number(void *stream)
{
    return (int)(&emulate::device_of(stream) - emulate::devices);
}

bool llm_cuda_emulated_holds(int device, const void *at, size_t bytes)
{
    return emulate::memory_holds(emulate::devices[device], (const char *)at, bytes);
}

#else

static const char *told(cudaError_t error)
{
    return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

static cudaStream_t stream_of(const llm_cuda_queue_t *queue)
{
    return (cudaStream_t)queue->stream;
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

const char *llm_cuda_count(int *count)
{
    return told(cudaGetDeviceCount(count));
}

const char *llm_cuda_device(int device, llm_cuda_device_t *out)
{
    cudaDeviceProp properties;
    const cudaError_t error = cudaGetDeviceProperties(&properties, device);
    if (error != cudaSuccess)
        return cudaGetErrorString(error);
    *out = llm_cuda_device_t{};
    snprintf(out->name, sizeof out->name, "%.*s", LLM_CUDA_NAME_MAX - 1, properties.name);
    out->major = properties.major;
    out->minor = properties.minor;
    out->memory = properties.totalGlobalMem;
    return nullptr;
}

const char *llm_cuda_use(int device)
{
    return told(cudaSetDevice(device));
}

const char *llm_cuda_queue_open(llm_cuda_queue_t *queue, bool bf16)
{
    cudaStream_t stream;
    const cudaError_t error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (error != cudaSuccess)
        return cudaGetErrorString(error);
    *queue = llm_cuda_queue_t{};
    queue->stream = stream;
    queue->bf16 = bf16;
    queue->failure = (const char **)calloc(1, sizeof *queue->failure);
    if (queue->failure)
        return nullptr;
    cudaStreamDestroy(stream);
    *queue = llm_cuda_queue_t{};
    return "out of memory";
}

void llm_cuda_queue_close(llm_cuda_queue_t *queue)
{
    if (queue->stream)
        cudaStreamDestroy(stream_of(queue));
    free((void *)queue->failure);
    *queue = llm_cuda_queue_t{};
}

const char *llm_cuda_queue_wait(const llm_cuda_queue_t *queue)
{
    keep_failure(queue, cudaStreamSynchronize(stream_of(queue)));
    return *queue->failure;
}

const char *llm_cuda_queue_ask(const llm_cuda_queue_t *queue, bool *done)
{
    const cudaError_t error = cudaStreamQuery(stream_of(queue));
    *done = error != cudaErrorNotReady;
    if (*done) {
        keep_failure(queue, error);
        return told(error);
    }
    (void)cudaGetLastError(); /* this is no failure, and nobody is to find one later */
    return nullptr;
}

void *llm_cuda_alloc(size_t bytes)
{
    void *memory = nullptr;
    if (cudaMalloc(&memory, bytes ? bytes : 1) == cudaSuccess)
        return memory;
    (void)cudaGetLastError(); /* it is told, so that nobody has to find it later */
    return nullptr;
}

void llm_cuda_release(void *memory)
{
    cudaFree(memory);
}

size_t llm_cuda_memory_free(void)
{
    size_t left = 0, all = 0;
    return cudaMemGetInfo(&left, &all) == cudaSuccess ? left : SIZE_MAX;
}

void *llm_cuda_pinned_alloc(size_t bytes)
{
    void *memory = nullptr;
    if (cudaMallocHost(&memory, bytes ? bytes : 1) == cudaSuccess)
        return memory;
    (void)cudaGetLastError();
    return nullptr;
}

void llm_cuda_pinned_release(void *memory)
{
    cudaFreeHost(memory);
}

const char *llm_cuda_upload(void *to, const void *host, size_t bytes)
{
    const cudaError_t error = cudaMemcpy(to, host, bytes, cudaMemcpyHostToDevice);
    /* The last of it may still be on its way, and queues do not wait for it. */
    return told(error != cudaSuccess ? error : cudaStreamSynchronize(cudaStreamLegacy));
}

const char *llm_cuda_download(void *host, const void *from, size_t bytes)
{
    return told(cudaMemcpy(host, from, bytes, cudaMemcpyDeviceToHost));
}

void llm_cuda_copy_in(const llm_cuda_queue_t *queue, void *to, const void *host, size_t bytes)
{
    keep_failure(queue, cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream_of(queue)));
}

void llm_cuda_copy_out(const llm_cuda_queue_t *queue, void *host, const void *from, size_t bytes)
{
    keep_failure(queue,
                 cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_of(queue)));
}

void llm_cuda_zero(const llm_cuda_queue_t *queue, void *memory, size_t bytes)
{
    keep_failure(queue, cudaMemsetAsync(memory, 0, bytes, stream_of(queue)));
}

void llm_cuda_copy(const llm_cuda_queue_t *queue, void *to, const void *from, size_t bytes)
{
    keep_failure(queue,
                 cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(queue)));
}

void *llm_cuda_mark_new(void)
{
    cudaEvent_t event = nullptr;
    return cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess ? event
                                                                                   : nullptr;
}

void llm_cuda_mark_destroy(void *mark)
{
    if (mark)
        cudaEventDestroy((cudaEvent_t)mark);
}

void llm_cuda_mark_set(const llm_cuda_queue_t *queue, void *mark)
{
    keep_failure(queue, cudaEventRecord((cudaEvent_t)mark, stream_of(queue)));
}

void llm_cuda_mark_wait(void *mark)
{
    cudaEventSynchronize((cudaEvent_t)mark); /* what failed is found by who waits for the queue */
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
    cudaStream_t stream = stream_of(queue);
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

void llm_cuda_emulated_order(uint64_t)
{
}

bool llm_cuda_is_emulated(void)
{
    return false;
}

void llm_cuda_emulated_open(const llm_cuda_queue_t *)
{
}

void llm_cuda_emulated_close(const llm_cuda_queue_t *)
{
}

int llm_cuda_emulated_number(void *)
{
    return -1;
}

bool llm_cuda_emulated_holds(int, const void *, size_t)
{
    return false;
}

#endif
