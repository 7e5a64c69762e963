/*
 * process.h - what this process may take of the system, and what it will need.
 *
 * Limits that we may raise ourselves are raised; what a number of actors needs
 * is asked for before the first of them is started, because libraries below us
 * do not survive to be refused.  Nothing here knows of a run.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_PROCESS_H
#define FEDMQ_ACTORS_LAUNCHER_PROCESS_H

#include <stdint.h>

#include "fedmq/base/error.h"

/* Measured: docs/performance.md, "Many clients in one process". */
#define FMQ_ACTOR_FILES  3            /* a pipe of two sockets, what its link rings */
#define FMQ_ACTOR_BYTES  (320u << 10) /* without its stack and what it computes with */
#define FMQ_CLIENT_BYTES (64u << 10)  /* that waits: it has no thread and no file */

/* At the program's start, before there is a second thread: smaller stacks, few
 * arenas where address space is limited, the reserve. */
int fmq_process_prepare(fmq_error_t *err);

typedef struct {
    uint32_t actors;  /* of this process that have a thread: all but clients */
    uint32_t clients; /* of this process */
    uint32_t threads; /* beside those of actors */
    uint32_t peers;   /* of other processes, a connection each */
} fmq_needs_t;

/* Raises what may be raised and asks whether files, threads and memory
 * for these can be had now.  -1 with FMQ_ERR_NOMEM: what is needed, what there
 * is, the limit's name, and what to do. */
int fmq_process_ask(const fmq_needs_t *needs, fmq_error_t *err);

/* Puts behind an FMQ_ERR_NOMEM how much memory there is and what limits it. */
void fmq_process_explain(fmq_error_t *err);

#endif
