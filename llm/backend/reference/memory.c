/*
 * memory.c - the reference backend's memory: the process's own heap.
 */
#include "llm/backend/reference/reference.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

static void *allocate(llm_backend_t *be, size_t bytes)
{
    (void)be;
    if (bytes > LLM_BACKEND_BYTES_MAX)
        return NULL;
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return aligned_alloc(ALIGNMENT, rounded ? rounded : ALIGNMENT);
}

static void release(llm_backend_t *be, void *memory)
{
    (void)be;
    free(memory);
}

static size_t memory_free(const llm_backend_t *be)
{
    (void)be;
    return SIZE_MAX;
}

static void move(llm_backend_t *be, void *to, const void *from, size_t bytes)
{
    (void)be;
    if (bytes)
        memmove(to, from, bytes);
}

static void zero(llm_backend_t *be, void *memory, size_t bytes)
{
    (void)be;
    if (bytes)
        memset(memory, 0, bytes);
}

void llm_reference_memory(llm_ops_t *ops)
{
    ops->alloc = allocate;
    ops->release = release;
    ops->memory_free = memory_free;
    ops->upload = move;
    ops->download = move;
    ops->copy = move;
    ops->zero = zero;
}
