/*
 * bend.h - what attention with a window, a soft cap or slopes asks of blocks of
 * queries, in floats (attention.c) and in BF16 (half_attention.c): which keys
 * they look at, and how the kernels bend the scores.
 */
#ifndef LLM_BACKEND_CPU_BEND_H
#define LLM_BACKEND_CPU_BEND_H

#include "llm/backend/cpu/cpu.h"

/* The first key that a block of queries from `query` on looks at: where there is
 * a window, all keys before are behind it.  Whole blocks of keys on every machine. */
static inline size_t llm_cpu_first_key(const llm_attention_t *shape, size_t query)
{
    return llm_first_seen(shape->window, query) / LLM_CPU_WIDTH_MAX * LLM_CPU_WIDTH_MAX;
}

/* Whether scores are more than scaled products. */
static inline bool llm_cpu_is_bent(const llm_attention_t *shape)
{
    return shape->window > 0 || shape->softcap > 0 || shape->slopes;
}

/* How the scores of a query of head h are bent, from key `from` on; scale is what
 * they are still to be multiplied by. */
static inline llm_cpu_bend_t llm_cpu_bend_of(const llm_attention_t *shape, float scale, size_t h,
                                             size_t query, size_t from)
{
    return (llm_cpu_bend_t){.scale = scale,
                            .cap = shape->softcap,
                            .slope = shape->slopes ? shape->slopes[h] : 0,
                            .query = query - from,
                            .hidden = llm_first_seen(shape->window, query) - from,
                            .factor = shape->scale};
}

#endif
