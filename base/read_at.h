/*
 * read_at.h - a range of an open file, whole, whatever the system gives at once.
 */
#ifndef FMQ_BASE_READ_AT_H
#define FMQ_BASE_READ_AT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads size bytes from offset on into out.  Returns how many there were, fewer
 * only where the file ends; -1 with errno. */
ssize_t fmq_read_at(int fd, uint64_t offset, void *out, size_t size);

#endif
