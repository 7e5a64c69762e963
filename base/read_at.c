/*
 * read_at.c - goes on where a signal or a short read interrupted.
 */
#include "base/read_at.h"

#include <errno.h>
#include <unistd.h>

ssize_t fmq_read_at(int fd, uint64_t offset, void *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (char *)out + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}
