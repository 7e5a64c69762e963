/*
 * counted_digest.c - stands before fmq_digest_add.
 */
#include "tests/base/counted_digest.h"

#include <stdatomic.h>

#include "fedmq/base/digest.h"

static atomic_ullong digested;

void __real_fmq_digest_add(fmq_digest_state_t *state, const void *data, size_t size);
void __wrap_fmq_digest_add(fmq_digest_state_t *state, const void *data, size_t size);

void __wrap_fmq_digest_add(fmq_digest_state_t *state, const void *data, size_t size)
{
    atomic_fetch_add(&digested, size);
    __real_fmq_digest_add(state, data, size);
}

uint64_t counted_digest(void)
{
    return atomic_load(&digested);
}
