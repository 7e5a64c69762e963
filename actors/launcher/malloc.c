/*
 * malloc.c - the program's malloc: the C library's, with a reserve behind it.
 *
 * A program may replace malloc by defining it; these hand on to glibc's own
 * under their second names, so that free() stays as it is.  Every library of the
 * process comes through here.  Elsewhere, and where a sanitizer replaces malloc,
 * there is no reserve and a small allocation that fails is a library's to judge.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "actors/launcher/reserve.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&       \
    !defined(FEDMQ_NO_RESERVE)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/* Once the reserve is spent, what is left is for small ones. */
static bool is_refused(size_t size)
{
    if (size <= FMQ_RESERVE_SMALL_MAX || !fmq_reserve_is_spent())
        return false;
    errno = ENOMEM;
    return true;
}

/* Two threads may fail at once, and one of them gives the block back. */
static bool try_again(size_t size, int *tries)
{
    return size <= FMQ_RESERVE_SMALL_MAX && (*tries)++ == 0 &&
           (fmq_reserve_spend(size) || fmq_reserve_is_spent());
}

/* Seen by the other libraries too. */
#pragma GCC visibility push(default)

void *malloc(size_t size)
{
    void *memory = NULL;
    int tries = 0;
    if (is_refused(size))
        return NULL;
    do
        memory = __libc_malloc(size);
    while (!memory && try_again(size, &tries));
    return memory;
}

void *calloc(size_t count, size_t size)
{
    void *memory = NULL;
    int tries = 0;
    size_t whole = 0;
    if (__builtin_mul_overflow(count, size, &whole))
        whole = SIZE_MAX;
    if (is_refused(whole))
        return NULL;
    do
        memory = __libc_calloc(count, size);
    while (!memory && try_again(whole, &tries));
    return memory;
}

void *realloc(void *old, size_t size)
{
    void *memory = NULL;
    int tries = 0;
    if (is_refused(size))
        return NULL;
    do
        memory = __libc_realloc(old, size);
    while (!memory && size > 0 && try_again(size, &tries));
    return memory;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    void *memory = NULL;
    int tries = 0;
    if (is_refused(size))
        return NULL;
    do
        memory = __libc_memalign(alignment, size);
    while (!memory && try_again(size, &tries));
    return memory;
}

int posix_memalign(void **memory_p, size_t alignment, size_t size)
{
    int saved = errno;
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0)
        return EINVAL;
    void *memory = aligned_alloc(alignment, size);
    errno = saved;
    if (!memory)
        return ENOMEM;
    *memory_p = memory;
    return 0;
}

#pragma GCC visibility pop

#else

typedef int fmq_malloc_is_the_c_librarys_t; /* ISO C wants something here */

#endif
