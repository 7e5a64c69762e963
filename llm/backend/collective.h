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
 * Nobody waits for a rank that has failed: what carries the vectors either
 * needs nothing of it, or ends all calls of the group, from then on, with -1.
 *
 * bounds are ranks + 1 ascending element numbers: rank r owns what lies from
 * bounds[r] to bounds[r + 1].  A range may be empty.
 */
#ifndef LLM_BACKEND_COLLECTIVE_H
#define LLM_BACKEND_COLLECTIVE_H

#include "fedmq/llm/backend.h"

#define LLM_RANKS_MAX 64

typedef struct {
    const char *name; /* of what carries the vectors */
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

/* Elements of an owner's range that a round beginning at `at` of it moves, which
 * are `most` at a time. */
static inline size_t llm_collective_piece(const size_t *bounds, unsigned owner, size_t at,
                                          size_t most)
{
    size_t size = bounds[owner + 1] - bounds[owner];
    if (at >= size)
        return 0;
    return size - at < most ? size - at : most;
}

/* Elements of the longest range: where rounds end. */
static inline size_t llm_collective_longest(const size_t *bounds, unsigned ranks)
{
    size_t longest = 0;
    for (unsigned r = 0; r < ranks; r++)
        if (bounds[r + 1] - bounds[r] > longest)
            longest = bounds[r + 1] - bounds[r];
    return longest;
}

#endif
