/*
 * runtime.h - devices, their memory, queues of work, waiting and timing: what
 * the host part needs of the CUDA runtime, and the same of the emulation.
 *
 * Every function that can fail returns NULL or what went wrong as a text that
 * lives for ever.  A thread works on one device at a time, the first one until
 * llm_cuda_use() says another: that of the queues that it puts work on.
 *
 * Emulated, there are some devices, whose memory lies at addresses that the
 * host may not touch (emulate_memory.h); copies and kernels have finished when
 * they return.
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

#define LLM_CUDA_NAME_MAX 96 /* bytes with the final NUL */
typedef struct {
    char name[LLM_CUDA_NAME_MAX]; /* "NVIDIA H100 80GB HBM3" */
    int major, minor;             /* of the compute capability */
    size_t memory;                /* bytes in all */
} llm_cuda_device_t;
/* How many devices there are; no driver, or one that is too old, is a failure. */
const char *llm_cuda_count(int *count);
const char *llm_cuda_device(int device, llm_cuda_device_t *out);
/* From now on this thread's work is on that device. */
const char *llm_cuda_use(int device);

/* A queue of its own on this thread's device.  Close with llm_cuda_queue_close(). */
const char *llm_cuda_queue_open(llm_cuda_queue_t *queue, bool bf16);
void llm_cuda_queue_close(llm_cuda_queue_t *queue);
/* Waits until what is on the queue is done; the first failure since it was
 * opened, of a launch or of the work itself. */
const char *llm_cuda_queue_wait(const llm_cuda_queue_t *queue);
/* Whether it is done, without waiting; what the work has met. */
const char *llm_cuda_queue_ask(const llm_cuda_queue_t *queue, bool *done);

/* Of this thread's device.  Returns NULL when there is no memory.  Release with
 * llm_cuda_release(), on any thread. */
void *llm_cuda_alloc(size_t bytes);
void llm_cuda_release(void *memory);
/* Bytes that this thread's device has left. */
size_t llm_cuda_memory_free(void);

/* Host memory that copies run beside the device's work with; NULL: none. */
void *llm_cuda_pinned_alloc(size_t bytes);
void llm_cuda_pinned_release(void *memory);

/* Both have finished when they return. */
const char *llm_cuda_upload(void *to, const void *host, size_t bytes);
const char *llm_cuda_download(void *host, const void *from, size_t bytes);

/* On the queue: from and to host memory, which is pinned and stays as it is until
 * the copy is done; device memory filled with zeros; a copy on the device. */
void llm_cuda_copy_in(const llm_cuda_queue_t *queue, void *to, const void *host, size_t bytes);
void llm_cuda_copy_out(const llm_cuda_queue_t *queue, void *host, const void *from, size_t bytes);
void llm_cuda_zero(const llm_cuda_queue_t *queue, void *memory, size_t bytes);
void llm_cuda_copy(const llm_cuda_queue_t *queue, void *to, const void *from, size_t bytes);

/* A place in a queue that the host can wait for.  NULL: out of memory. */
void *llm_cuda_mark_new(void);
void llm_cuda_mark_destroy(void *mark);
void llm_cuda_mark_set(const llm_cuda_queue_t *queue, void *mark);
void llm_cuda_mark_wait(void *mark);

/* Waits for all queues; the first failure of any launch since the last call
 * that was on no queue of llm_cuda_queue_open(). */
const char *llm_cuda_synchronize(void);

/* Milliseconds that work(argument, i) for i = 0 .. times - 1 takes on the
 * queue's device, by its own clock; negative when it failed. */
double llm_cuda_milliseconds(const llm_cuda_queue_t *queue, int times,
                             void (*work)(void *argument, int i), void *argument);

/* The emulation's order of blocks, warps and lanes; nothing on a device. */
void llm_cuda_emulated_order(uint64_t seed);
/* Whether this is the emulation. */
bool llm_cuda_is_emulated(void);
/* Between the two, this process may touch the memory of the queue's emulated
 * device: for what takes a library's place there.  Nothing on a device. */
void llm_cuda_emulated_open(const llm_cuda_queue_t *queue);
void llm_cuda_emulated_close(const llm_cuda_queue_t *queue);
/* The number of the emulated device behind a queue's stream, and whether a block of
 * its memory holds so many bytes there.  -1 and false on a device. */
int llm_cuda_emulated_number(void *stream);
bool llm_cuda_emulated_holds(int device, const void *at, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
