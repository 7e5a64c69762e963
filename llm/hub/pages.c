/*
 * pages.c - see pages.h.  posix_madvise() would be the portable call, but
 * glibc's does nothing when asked for this.
 */
#include "llm/hub/pages.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void llm_pages_release(const void *data, size_t bytes)
{
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || bytes == 0)
        return;
    uintptr_t begin = (uintptr_t)data / (uintptr_t)page * (uintptr_t)page;
    uintptr_t end = (uintptr_t)data + bytes;
    (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}
