/*
 * pages.c - see pages.h.  posix_madvise() would be the portable call, but
 * glibc's does nothing when asked for this.
 */
#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void fmq_pages_release(const void *data, size_t bytes)
{
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || bytes == 0)
        return;
    uintptr_t begin = (uintptr_t)data / (uintptr_t)page * (uintptr_t)page;
    uintptr_t end = (uintptr_t)data + bytes;
    (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void fmq_pages_forget(void *data, size_t bytes)
{
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0)
        return;
    uintptr_t size = (uintptr_t)page;
    uintptr_t begin = ((uintptr_t)data + size - 1) / size * size;
    uintptr_t end = ((uintptr_t)data + bytes) / size * size;
    if (end > begin)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}
