/*
 * counted_memory.h - bytes of the C library's malloc that live, and at most did.
 *
 * For programs that wrap malloc, calloc, realloc and free.  Backends take their
 * memory by posix_memalign and are not counted: what is left is what actors and
 * the fabric hold.
 */
#ifndef FEDMQ_TESTS_COUNTED_MEMORY_H
#define FEDMQ_TESTS_COUNTED_MEMORY_H

#include <stdint.h>

int64_t counted_memory_live(void);
/* The most that lived since counted_memory_begin(). */
int64_t counted_memory_most(void);
void counted_memory_begin(void);

#endif
