/*
 * bell.c - an eventfd, which is readable while it holds a number; reading takes
 * the number away.
 */
#include "base/bell.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int fmq_bell_open(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void fmq_bell_ring(int bell)
{
    const uint64_t one = 1;
    if (write(bell, &one, sizeof one) < 0)
        errno = 0; /* it rings already */
}

void fmq_bell_silence(int bell)
{
    uint64_t rung;
    if (read(bell, &rung, sizeof rung) < 0)
        errno = 0; /* it did not ring */
}
