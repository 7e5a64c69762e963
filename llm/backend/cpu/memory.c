/*
 * memory.c - the CPU backend's memory: the process's heap, in huge pages where
 * a block is large, since packed weights are read across many pages at a time.
 */
#define _DEFAULT_SOURCE /* madvise, MADV_HUGEPAGE */
#include "llm/backend/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/proc.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define PIECE     ((size_t)256 << 10) /* bytes that one item moves */

void *llm_cpu_allocate(size_t bytes)
{
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : LLM_CPU_ALIGNMENT;
    if (bytes > LLM_BACKEND_BYTES_MAX)
        return NULL;
    size_t rounded = llm_cpu_pieces(bytes ? bytes : 1, LLM_CPU_ALIGNMENT) * LLM_CPU_ALIGNMENT;
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, rounded) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (alignment == HUGE_PAGE) /* only a hint: its failure is no failure */
        (void)madvise(memory, rounded / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return memory;
}

static void *allocate(llm_backend_t *be, size_t bytes)
{
    (void)be;
    return llm_cpu_allocate(bytes);
}

static void release(llm_backend_t *be, void *memory)
{
    (void)be;
    free(memory);
}

static size_t memory_free(const llm_backend_t *be)
{
    (void)be;
    uint64_t bytes = fmq_proc_memory(NULL);
    return bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX;
}

typedef struct {
    char *to;
    const char *from;
} move_t;

static void zero_piece(const llm_cpu_kernels_t *kernels, void *job, size_t first, size_t count)
{
    (void)kernels;
    const move_t *move = job;
    memset(move->to + first, 0, count);
}

static void copy_piece(const llm_cpu_kernels_t *kernels, void *job, size_t first, size_t count)
{
    (void)kernels;
    const move_t *move = job;
    memcpy(move->to + first, move->from + first, count);
}

static void zero(llm_backend_t *be, void *memory, size_t bytes)
{
    move_t move = {.to = memory};
    llm_cpu_run_pieces(llm_cpu(be), bytes, PIECE, zero_piece, &move);
}

static void copy(llm_backend_t *be, void *to, const void *from, size_t bytes)
{
    if (to == from)
        return;
    move_t move = {.to = to, .from = from};
    llm_cpu_run_pieces(llm_cpu(be), bytes, PIECE, copy_piece, &move);
}

void llm_cpu_memory(llm_ops_t *ops)
{
    ops->alloc = allocate;
    ops->release = release;
    ops->memory_free = memory_free;
    ops->upload = copy;
    ops->download = copy;
    ops->zero = zero;
    ops->copy = copy;
}
