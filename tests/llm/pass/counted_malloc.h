/*
 * counted_malloc.h - how often this program allocated.  Link with
 * -Wl,--wrap=malloc,... (see CMakeLists.txt), which sends every call of the
 * rooms' objects through the counter.
 */
#ifndef FEDMQ_TESTS_LLM_PASS_COUNTED_MALLOC_H
#define FEDMQ_TESTS_LLM_PASS_COUNTED_MALLOC_H

#include <stddef.h>

size_t counted_malloc_calls(void);

#endif
