/*
 * reserve.c - address space that is kept for the moment when memory runs out.
 *
 * malloc() has no argument in which the reserve could travel, so this state is
 * the process's.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "actors/launcher/reserve.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

static _Atomic(void *) block;
static atomic_bool spent;

int fmq_reserve_open(fmq_error_t *err)
{
    void *taken = mmap(NULL, FMQ_RESERVE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (taken == MAP_FAILED)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot reserve %u MiB of memory: %s",
                             FMQ_RESERVE_BYTES >> 20, strerror(errno));
    void *none = NULL;
    if (!atomic_compare_exchange_strong(&block, &none, taken))
        munmap(taken, FMQ_RESERVE_BYTES);
    return 0;
}

bool fmq_reserve_spend(size_t size)
{
    if (size > FMQ_RESERVE_SMALL_MAX)
        return false;
    void *taken = atomic_exchange(&block, NULL);
    if (!taken)
        return false;
    atomic_store(&spent, true);
    munmap(taken, FMQ_RESERVE_BYTES);
    return true;
}

bool fmq_reserve_is_spent(void)
{
    return atomic_load(&spent);
}
