/*
 * collective.h - what ranks that train one model do to their vectors together.
 *
 * A group has one member a rank, with a backend and a thread of its own.  All
 * ranks call the same function with the same sizes, in the same order; a call
 * returns when this rank's vector is ready, and nobody's result depends on who
 * came first.  Vectors are floats in the memory of the member's backend.  Sums
 * are ((v0 + v1) + v2) + ..., in the order of ranks, whatever carries them: the
 * same bytes on every rank, every time, and in every implementation.
 *
 * bounds are ranks + 1 ascending element numbers: rank r owns what lies from
 * bounds[r] to bounds[r + 1].  A range may be empty.
 */
#ifndef FEDMQ_LLM_TRAIN_COLLECTIVE_H
#define FEDMQ_LLM_TRAIN_COLLECTIVE_H

#include "fedmq/llm/backend.h"

#define LLM_RANKS_MAX 64

typedef struct llm_collective llm_collective_t;

typedef struct {
    const char *name;
    void (*destroy)(llm_collective_t *self);
    /* The owner's range becomes the sum of all ranks'; what lies outside of it
     * is left as it was.  -1 with what went wrong on the backend or on the way. */
    int (*reduce_scatter)(llm_collective_t *self, float *vector, const size_t *bounds,
                          fmq_error_t *err);
    /* Every range becomes its owner's. */
    int (*all_gather)(llm_collective_t *self, float *vector, const size_t *bounds,
                      fmq_error_t *err);
} llm_collective_ops_t;

struct llm_collective {
    const llm_collective_ops_t *ops;
    unsigned rank, ranks;
    llm_backend_t *be; /* borrowed */
};

/* A group of threads of this process, over host memory: whatever the backends
 * are.  members gets one a rank, to be closed with llm_collective_close(). */
int llm_collective_local(llm_backend_t *const *backends, unsigned ranks, llm_collective_t **members,
                         fmq_error_t *err);
/* Nobody may be in a call.  Entries may be NULL. */
void llm_collective_close(llm_collective_t **members, unsigned ranks);

/* n elements in ranges of the same size, to a multiple of 16 elements. */
void llm_collective_share(size_t n, unsigned ranks, size_t *bounds);
/* All of them at one rank. */
void llm_collective_give(size_t n, unsigned ranks, unsigned owner, size_t *bounds);

/* In terms of the two above.  all_reduce: the sum, on every rank; broadcast:
 * root's vector, on every rank. */
int llm_collective_all_reduce(llm_collective_t *self, float *vector, size_t n, fmq_error_t *err);
int llm_collective_broadcast(llm_collective_t *self, float *vector, size_t n, unsigned root,
                             fmq_error_t *err);

#endif
