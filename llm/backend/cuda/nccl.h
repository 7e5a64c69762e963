/*
 * nccl.h - the seam below collectives: the few functions of NCCL that are used,
 * by the library where it is found (nccl_library.c), and by an emulation that
 * refuses what the library would refuse or wait for for ever (nccl_emulated.c).
 *
 * Functions are those of its public API; codes are ints, 0 being success, and
 * handles are pointers.  A group of sends and receives begins and ends in one
 * thread; what is sent to a rank is what that rank receives, in order and of the
 * same size.  On a device the work is on the stream when the group has ended;
 * emulated it is done.
 */
#ifndef LLM_BACKEND_CUDA_NCCL_H
#define LLM_BACKEND_CUDA_NCCL_H

#include <stddef.h>

#include "fedmq/base/error.h"

#define LLM_NCCL_FLOAT       7 /* ncclFloat32 */
#define LLM_NCCL_IN_PROGRESS 7 /* ncclInProgress: no failure */

typedef struct {
    /* Communicators of ranks 0 .. ranks - 1 on these devices, all at once. */
    int (*init_all)(void **comms, int ranks, const int *devices);
    int (*group_start)(void);
    int (*group_end)(void);
    int (*send)(const void *from, size_t count, int type, int peer, void *comm, void *stream);
    int (*receive)(void *to, size_t count, int type, int peer, void *comm, void *stream);
    int (*async_error)(void *comm, int *code); /* what has failed since, without waiting */
    int (*destroy)(void *comm);                /* when nothing is on its way */
    int (*abort)(void *comm);                  /* and what is, ends */
    const char *(*text)(int code);
} llm_nccl_t;

/* -1 with FMQ_ERR_UNSUPPORTED where the library is not: it is looked for at
 * $FEDMQ_NCCL, or else as libnccl.so.2 by the loader, and stays loaded. */
int llm_nccl_find(llm_nccl_t *out, fmq_error_t *err);

#endif
