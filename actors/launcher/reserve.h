/*
 * reserve.h - address space that is kept for the moment when memory runs out.
 *
 * libzmq and CZMQ end the process where a small allocation of theirs fails.  So
 * the program (not the library) keeps a block that nobody uses, and its malloc
 * (malloc.c) gives it back when a small one fails: what is under way can then
 * end in order, while whoever wants much is refused from then on.  Any thread.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_RESERVE_H
#define FEDMQ_ACTORS_LAUNCHER_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "fedmq/base/error.h"

#define FMQ_RESERVE_BYTES     (24u << 20) /* of address space; never touched */
#define FMQ_RESERVE_SMALL_MAX (64u << 10) /* bytes of what the reserve is for */

/* Takes the block, once a process. */
int fmq_reserve_open(fmq_error_t *err);

/* An allocation of size bytes has failed: gives the block back for a small one.
 * True when it is worth trying again. */
bool fmq_reserve_spend(size_t size);

/* True when the block was given back: memory has run out, and the process has
 * to end. */
bool fmq_reserve_is_spent(void);

#endif
