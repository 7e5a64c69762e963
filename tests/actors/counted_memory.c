/*
 * counted_memory.c - see counted_memory.h.
 */
#include "tests/actors/counted_memory.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>

/* The linker's names for the wrapped functions and their originals. */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
void __wrap_free(void *memory);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
void __real_free(void *memory);

/* Backends' memory is freed by free() too: it is counted apart, by address. */
#define ALIGNED_MAX 4096

static atomic_llong live, most;
static _Atomic(void *) aligned[ALIGNED_MAX];

static void count(long long bytes)
{
    long long now = atomic_fetch_add(&live, bytes) + bytes;
    long long before = atomic_load(&most);
    while (now > before && !atomic_compare_exchange_weak(&most, &before, now)) {
    }
}

static long long size_of(void *memory)
{
    return memory ? (long long)malloc_usable_size(memory) : 0;
}

/* Puts memory into the list in the place of `before`; false: there is none. */
static _Bool replace(void *before, void *memory)
{
    for (size_t i = 0; i < ALIGNED_MAX; i++) {
        void *expected = before;
        if (atomic_load_explicit(&aligned[i], memory_order_relaxed) == before &&
            atomic_compare_exchange_strong(&aligned[i], &expected, memory))
            return 1;
    }
    return 0;
}

int64_t counted_memory_live(void)
{
    return atomic_load(&live);
}

int64_t counted_memory_most(void)
{
    return atomic_load(&most);
}

void counted_memory_begin(void)
{
    atomic_store(&most, atomic_load(&live));
}

void *__wrap_malloc(size_t size)
{
    void *memory = __real_malloc(size);
    count(size_of(memory));
    return memory;
}

void *__wrap_calloc(size_t number, size_t size)
{
    void *memory = __real_calloc(number, size);
    count(size_of(memory));
    return memory;
}

void *__wrap_realloc(void *memory, size_t size)
{
    long long before = size_of(memory);
    void *grown = __real_realloc(memory, size);
    if (grown)
        count(size_of(grown) - before);
    return grown;
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    int failed = __real_posix_memalign(out, alignment, size);
    if (!failed && !replace(NULL, *out))
        count(size_of(*out));
    return failed;
}

void __wrap_free(void *memory)
{
    if (memory && !replace(memory, NULL))
        count(-size_of(memory));
    __real_free(memory);
}
