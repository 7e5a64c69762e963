/*
 * planted.h - kernels with one mistake each, which the emulation and the checks
 * must find, and the same without it.
 */
#ifndef TESTS_BACKEND_CUDA_PLANTED_H
#define TESTS_BACKEND_CUDA_PLANTED_H

#include "llm/backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    NOTHING_WRONG,
    NO_BARRIER,        /* between a write to and a read from shared memory */
    NO_WARP_BARRIER,   /* the same within a warp */
    DIVERGENT_BARRIER, /* half of the threads wait at another one */
    MISSING_LANE,      /* a shuffle that one lane does not come to */
    OUT_OF_BOUNDS,     /* a store behind the last element */
    OUT_OF_SHARED,     /* a store behind a shared array */
    NO_WAIT,           /* cp_async's target read before it has been waited for */
    MISALIGNED,        /* 16 bytes at an address of 4 */
    BLOCK_ORDER,       /* a block that reads what another one writes */
} mistake_t;

/* to[i] = from[n - 1 - i] + 32 for n floats, a multiple of 64, by way of shared
 * memory, with one mistake. */
void planted_reverse(const llm_cuda_queue_t *queue, float *to, const float *from, size_t n,
                     mistake_t mistake);

#ifdef __cplusplus
}
#endif

#endif
