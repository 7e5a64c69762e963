/*
 * open.c - makes and destroys an instance of the GPU backend: looks at the
 * device, opens a queue, puts the table together.
 */
#include "llm/backend/cuda/cuda.h"

#include <stdlib.h>

#define CAPABILITY_MIN 8    /* sm_80: bf16 products and asynchronous copies */
#define HEAD_ROWS      4096 /* enough for a product to fill the largest device */
#define HEAD_BYTES_MIN ((size_t)64 << 20)
#define HEAD_OF_MEMORY 64 /* logits take no more than this part of a device */

static int synchronize(llm_backend_t *be, fmq_error_t *err)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    llm_cuda_fail(self, llm_cuda_queue_wait(&self->queue));
    return llm_instance_synchronize(be, err);
}

static void destroy(llm_backend_t *be)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    if (self->queue.stream)
        (void)llm_cuda_queue_wait(&self->queue);
    llm_cuda_product_close(self);
    for (size_t i = 0; i < LLM_CUDA_ROOMS; i++)
        llm_cuda_release(self->rooms[i].memory);
    for (size_t i = 0; i < 2; i++) {
        llm_cuda_mark_destroy(self->staging[i].mark);
        llm_cuda_pinned_release(self->staging[i].half);
    }
    llm_cuda_queue_close(&self->queue);
    free(self);
}

static llm_backend_t *another(const llm_backend_t *be, unsigned threads, fmq_error_t *err)
{
    const llm_cuda_t *self = be->context;
    (void)threads; /* the host only asks */
    return llm_cuda_new((int)self->instance.device, self->queue.bf16, err);
}

static void fill_table(llm_cuda_t *self)
{
    llm_ops_t *ops = &self->instance.ops;
    size_t most = self->about.memory / HEAD_OF_MEMORY;
    ops->name = llm_cuda_is_emulated() ? "cuda-emulated" : "cuda";
    ops->act = self->queue.bf16 ? FMQ_BF16 : FMQ_F32;
    ops->head_rows = HEAD_ROWS;
    ops->head_bytes = most > HEAD_BYTES_MIN ? most : HEAD_BYTES_MIN;
    ops->device_starts = true;
    ops->destroy = destroy;
    ops->another = another;
    ops->synchronize = synchronize;
    llm_cuda_memory_ops(ops);
    llm_cuda_matrix_ops(ops);
    llm_cuda_linear_ops(ops);
    llm_cuda_dense_ops(ops);
    llm_cuda_elements_ops(ops);
    llm_cuda_rows_ops(ops);
    llm_cuda_norms_ops(ops);
    llm_cuda_losses_ops(ops);
    llm_cuda_vectors_ops(ops);
    llm_cuda_attention_ops(ops);
    llm_cuda_lora_ops(ops);
    llm_cuda_scales_ops(ops);
    llm_cuda_collective_ops(ops);
}

/* Looks for the device, and makes it this thread's. */
static int choose(llm_cuda_t *self, int device, fmq_error_t *err)
{
    int count = 0;
    const char *wrong = llm_cuda_count(&count);
    if (wrong)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "no GPU can be used: %s; nvidia-smi shows which driver is there, if "
                             "any; mend it, or use 'cpu'",
                             wrong);
    if (device >= count)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "there is no GPU of number %d: this machine has %d, numbered from 0",
                             device, count);
    wrong = llm_cuda_device(device, &self->about);
    if (wrong)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "GPU %d cannot be asked what it is: %s",
                             device, wrong);
    if (self->about.major < CAPABILITY_MIN)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "GPU %d, '%s', has compute capability %d.%d, but 8.0 or later is "
                             "needed (an A100, or newer)",
                             device, self->about.name, self->about.major, self->about.minor);
    wrong = llm_cuda_use(device);
    if (wrong)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "GPU %d, '%s', cannot be used: %s", device,
                             self->about.name, wrong);
    self->several = count > 1;
    self->instance.device = (unsigned)device;
    self->instance.variant = self->about.name;
    return 0;
}

static int open_parts(llm_cuda_t *self, bool bf16, fmq_error_t *err)
{
    const char *wrong = llm_cuda_queue_open(&self->queue, bf16);
    if (wrong)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "GPU %u, '%s', gives no stream: %s",
                             self->instance.device, self->about.name, wrong);
    for (size_t i = 0; i < 2; i++) {
        self->staging[i].half = llm_cuda_pinned_alloc(LLM_CUDA_STAGING_BYTES);
        self->staging[i].mark = llm_cuda_mark_new();
        if (!self->staging[i].half || !self->staging[i].mark)
            return fmq_error_set(
                err, FMQ_ERR_NOMEM,
                "out of memory: no %zu bytes of pinned memory for copies to GPU %u",
                LLM_CUDA_STAGING_BYTES, self->instance.device);
    }
    return llm_cuda_product_open(self, err);
}

llm_backend_t *llm_cuda_new(int device, bool bf16, fmq_error_t *err)
{
    llm_cuda_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a backend on GPU %d", device);
        return NULL;
    }
    self->instance.backend = (llm_backend_t){.ops = &self->instance.ops, .context = self};
    if (choose(self, device, err) < 0) {
        free(self);
        return NULL;
    }
    if (open_parts(self, bf16, err) < 0) {
        destroy(&self->instance.backend);
        return NULL;
    }
    fill_table(self);
    return &self->instance.backend;
}
