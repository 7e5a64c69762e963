/*
 * cuda.h - the inside of the GPU backend's host part.
 *
 * An instance is a queue on one device, with rooms of device memory that its
 * ops use one after another.  A family file puts its ops into the table; an op
 * finds its instance by llm_cuda_enter() and calls kernels (kernels.h), which
 * return before the device has done anything.  Nothing here dereferences the
 * device's memory.  The sources are those of the real module and of the
 * emulated one: what differs is behind runtime.h, kernels.h and product.h.
 */
#ifndef LLM_BACKEND_CUDA_CUDA_H
#define LLM_BACKEND_CUDA_CUDA_H

#include "llm/backend/cuda/runtime.h"
#include "llm/backend/instance.h"

#define LLM_CUDA_STAGING_BYTES ((size_t)8 << 20) /* of each half */

/* What a room is for.  What one op left there is nothing to the next. */
typedef enum {
    LLM_CUDA_ROOM_SUMS,    /* parts of sums */
    LLM_CUDA_ROOM_RESULT,  /* what goes to the host */
    LLM_CUDA_ROOM_WEIGHT,  /* of products: a weight widened from codes ... */
    LLM_CUDA_ROOM_OPERAND, /* ... rows that begin at multiples of 16 bytes ... */
    LLM_CUDA_ROOM_BIAS,    /* ... and a bias in the type of the result */
    LLM_CUDA_ROOMS
} llm_cuda_room_t;

typedef struct {
    llm_instance_t instance; /* first: see instance.h */
    llm_cuda_queue_t queue;  /* owned */
    llm_cuda_device_t about; /* instance.variant is its name */
    bool several;            /* there are other devices: threads have to say which they use */
    struct {
        void *memory; /* owned, on the device */
        size_t bytes;
    } rooms[LLM_CUDA_ROOMS];
    struct {
        void *half; /* owned, pinned host memory of LLM_CUDA_STAGING_BYTES */
        void *mark; /* owned: set when the device has read it */
    } staging[2];
    unsigned turn; /* the half of staging that is next */
    void *product; /* owned by llm_cuda_product_open() and _close() */
} llm_cuda_t;

/* The instance behind a backend, its device being this thread's from now on.
 * The first line of every op. */
llm_cuda_t *llm_cuda_enter(const llm_backend_t *be);

/* At least so many bytes of device memory for this op alone.  NULL when there
 * are none: synchronize() will say so, and the op returns. */
void *llm_cuda_room(llm_cuda_t *self, llm_cuda_room_t which, size_t bytes);

/* The room for parts of sums, of so many floats. */
static inline float *llm_cuda_sums(llm_cuda_t *self, size_t floats)
{
    return llm_cuda_room(self, LLM_CUDA_ROOM_SUMS, floats * sizeof(float));
}

/* Keeps the first failure; text lives for ever, and NULL is none. */
void llm_cuda_fail(llm_cuda_t *self, const char *text);

/* Puts host memory on the device, and gets it back, through the staging halves. */
void llm_cuda_send(llm_cuda_t *self, void *to, const void *host, size_t bytes);
void llm_cuda_fetch(llm_cuda_t *self, void *host, const void *from, size_t bytes);

/* An instance on device number `device`, its activations bf16 or float.  NULL
 * with FMQ_ERR_UNSUPPORTED when there is no such device, or none that will do. */
llm_backend_t *llm_cuda_new(int device, bool bf16, fmq_error_t *err);

/* What products keep in `product`: 0, or -1 with err. */
int llm_cuda_product_open(llm_cuda_t *self, fmq_error_t *err);
void llm_cuda_product_close(llm_cuda_t *self);

void llm_cuda_memory_ops(llm_ops_t *ops);
void llm_cuda_elements_ops(llm_ops_t *ops);
void llm_cuda_rows_ops(llm_ops_t *ops);
void llm_cuda_norms_ops(llm_ops_t *ops);
void llm_cuda_losses_ops(llm_ops_t *ops);
void llm_cuda_vectors_ops(llm_ops_t *ops);
void llm_cuda_attention_ops(llm_ops_t *ops);
void llm_cuda_lora_ops(llm_ops_t *ops);
void llm_cuda_scales_ops(llm_ops_t *ops);
void llm_cuda_matrix_ops(llm_ops_t *ops);
void llm_cuda_linear_ops(llm_ops_t *ops);
void llm_cuda_dense_ops(llm_ops_t *ops); /* and gemm */
void llm_cuda_collective_ops(llm_ops_t *ops);

#endif
