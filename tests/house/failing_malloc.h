/*
 * failing_malloc.h - our own code's allocations, of which one can be made to fail.
 *
 * For programs linked with --wrap (see CMakeLists.txt): allocations of other
 * libraries are not counted and do not fail.  Any thread.
 */
#ifndef FEDMQ_TESTS_HOUSE_FAILING_MALLOC_H
#define FEDMQ_TESTS_HOUSE_FAILING_MALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the nth allocation (from 1) fails; 0: none does. */
void failing_malloc_at(size_t nth);
/* True when that one has failed. */
bool failing_malloc_failed(void);

#endif
