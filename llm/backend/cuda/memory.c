/*
 * memory.c - the device's memory: blocks of it, and copies between it and the
 * host through two halves of pinned memory, so that the host fills one while
 * the device reads the other.
 */
#include "llm/backend/cuda/cuda.h"

#include <string.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void *allocate(llm_backend_t *be, size_t bytes)
{
    (void)llm_cuda_enter(be);
    return bytes > LLM_BACKEND_BYTES_MAX ? NULL : llm_cuda_alloc(bytes);
}

/* What is on the queue may still want it. */
static void release(llm_backend_t *be, void *memory)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    if (!memory)
        return;
    llm_cuda_fail(self, llm_cuda_queue_wait(&self->queue));
    llm_cuda_release(memory);
}

static size_t memory_free(const llm_backend_t *be)
{
    (void)llm_cuda_enter(be);
    return llm_cuda_memory_free();
}

void llm_cuda_send(llm_cuda_t *self, void *to, const void *host, size_t bytes)
{
    for (size_t first = 0; first < bytes; first += LLM_CUDA_STAGING_BYTES) {
        size_t count = smaller(bytes - first, LLM_CUDA_STAGING_BYTES);
        void *half = self->staging[self->turn].half, *mark = self->staging[self->turn].mark;
        llm_cuda_mark_wait(mark);
        memcpy(half, (const char *)host + first, count);
        llm_cuda_copy_in(&self->queue, (char *)to + first, half, count);
        llm_cuda_mark_set(&self->queue, mark);
        self->turn ^= 1;
    }
}

/* The device fills one half while the host empties the other. */
void llm_cuda_fetch(llm_cuda_t *self, void *host, const void *from, size_t bytes)
{
    size_t asked = 0, got = 0; /* bytes that are on their way, and that are there */
    unsigned fill = self->turn, empty = self->turn;
    while (got < bytes) {
        while (asked < bytes && asked < got + 2 * LLM_CUDA_STAGING_BYTES) {
            size_t count = smaller(bytes - asked, LLM_CUDA_STAGING_BYTES);
            llm_cuda_copy_out(&self->queue, self->staging[fill].half, (const char *)from + asked,
                              count);
            llm_cuda_mark_set(&self->queue, self->staging[fill].mark);
            asked += count;
            fill ^= 1;
        }
        size_t count = smaller(bytes - got, LLM_CUDA_STAGING_BYTES);
        llm_cuda_mark_wait(self->staging[empty].mark);
        memcpy((char *)host + got, self->staging[empty].half, count);
        got += count;
        empty ^= 1;
    }
}

static void upload(llm_backend_t *be, void *to, const void *host, size_t bytes)
{
    llm_cuda_send(llm_cuda_enter(be), to, host, bytes);
}

static void download(llm_backend_t *be, void *host, const void *from, size_t bytes)
{
    llm_cuda_fetch(llm_cuda_enter(be), host, from, bytes);
}

static void zero(llm_backend_t *be, void *memory, size_t bytes)
{
    const llm_cuda_t *self = llm_cuda_enter(be);
    if (bytes)
        llm_cuda_zero(&self->queue, memory, bytes);
}

static void copy(llm_backend_t *be, void *to, const void *from, size_t bytes)
{
    const llm_cuda_t *self = llm_cuda_enter(be);
    if (bytes && to != from)
        llm_cuda_copy(&self->queue, to, from, bytes);
}

static void copy_rows(llm_backend_t *be, llm_act_t *to, size_t to_stride, const llm_act_t *from,
                      size_t from_stride, size_t M, size_t width)
{
    const llm_cuda_t *self = llm_cuda_enter(be);
    llm_cuda_copy_rows(&self->queue, to, to_stride, from, from_stride, M, width);
}

static void widen(llm_backend_t *be, float *to, const llm_act_t *x, size_t n, bool add)
{
    llm_cuda_widen(&llm_cuda_enter(be)->queue, to, x, n, add);
}

static void narrow(llm_backend_t *be, llm_act_t *to, const float *x, size_t n, bool add)
{
    llm_cuda_narrow(&llm_cuda_enter(be)->queue, to, x, n, add);
}

void llm_cuda_memory_ops(llm_ops_t *ops)
{
    ops->alloc = allocate;
    ops->release = release;
    ops->memory_free = memory_free;
    ops->upload = upload;
    ops->download = download;
    ops->zero = zero;
    ops->copy = copy;
    ops->copy_rows = copy_rows;
    ops->widen = widen;
    ops->narrow = narrow;
}
