/*
 * runtime.h - device memory, waiting and timing, for what drives the kernels.
 *
 * Emulated, a device's memory is the host's.  Every function that can fail
 * returns NULL or what went wrong as a text that lives for ever.
 */
#ifndef LLM_BACKEND_CUDA_RUNTIME_H
#define LLM_BACKEND_CUDA_RUNTIME_H

#include "llm/backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "NVIDIA H100 80GB HBM3, compute capability 9.0, 132 multiprocessors", or
 * "emulated". */
const char *llm_cuda_describe(char *text, size_t size);

/* Returns NULL when there is no memory.  Release with llm_cuda_release(). */
void *llm_cuda_alloc(size_t bytes);
void llm_cuda_release(void *memory);

/* Both have finished when they return. */
const char *llm_cuda_upload(void *to, const void *host, size_t bytes);
const char *llm_cuda_download(void *host, const void *from, size_t bytes);

/* Waits for all queues; the first failure of any launch since the last call. */
const char *llm_cuda_synchronize(void);

/* Milliseconds that work(argument, i) for i = 0 .. times - 1 takes on the
 * queue's device, by its own clock; negative when it failed. */
double llm_cuda_milliseconds(const llm_cuda_queue_t *queue, int times,
                             void (*work)(void *argument, int i), void *argument);

/* A copy of bytes from device memory to device memory, on the queue. */
void llm_cuda_copy(const llm_cuda_queue_t *queue, void *to, const void *from, size_t bytes);

/* The emulation's order of blocks, warps and lanes; nothing on a device. */
void llm_cuda_emulated_order(uint64_t seed);
/* Whether this is the emulation. */
bool llm_cuda_is_emulated(void);

#ifdef __cplusplus
}
#endif

#endif
