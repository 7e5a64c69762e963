/*
 * proc.h - what Linux says of this machine and process in files of /proc and
 * /sys.  Elsewhere, and where a file is missing, nothing is known.
 */
#ifndef FMQ_BASE_PROC_H
#define FMQ_BASE_PROC_H

#include <stdbool.h>
#include <stdint.h>

/* The first number of a file of one line; UINT64_MAX when there is none ("max"). */
uint64_t fmq_proc_number(const char *path);

/* A line "name: N kB" of a file of such lines, in bytes; UINT64_MAX without. */
uint64_t fmq_proc_kilobytes(const char *path, const char *name);

/* Bytes that the machine, or the container that the process lives in where it
 * has less, can still give without swapping; UINT64_MAX when neither says.
 * container may be NULL. */
uint64_t fmq_proc_memory(bool *container);

#endif
