/*
 * counted_digest.h - how many bytes were given to digests, by any thread.
 *
 * For programs that are linked with --wrap=fmq_digest_add.
 */
#ifndef FEDMQ_TESTS_BASE_COUNTED_DIGEST_H
#define FEDMQ_TESTS_BASE_COUNTED_DIGEST_H

#include <stdint.h>

/* Since the program began. */
uint64_t counted_digest(void);

#endif
