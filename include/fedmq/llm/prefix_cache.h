/*
 * prefix_cache.h - what frozen layers gave for the examples of a dataset.
 *
 * With the adapter in the last layers, everything below the lowest trainable
 * one gives the same stream for the same example in every epoch and round.
 * The cache keeps it in host memory, an example at a time, as long as there is
 * room; what is not kept is computed again.  Results are the same to the byte.
 * One thread at a time; a budget may be shared by the caches of many threads.
 */
#ifndef FEDMQ_LLM_PREFIX_CACHE_H
#define FEDMQ_LLM_PREFIX_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/digest.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

/* Bytes that caches may hold together.  Thread-safe; outlives its caches. */
typedef struct llm_prefix_budget llm_prefix_budget_t;
llm_prefix_budget_t *llm_prefix_budget_new(uint64_t bytes_max);
void llm_prefix_budget_destroy(llm_prefix_budget_t **self_p);

/* A cache belongs to one dataset; the budget is borrowed. */
typedef struct llm_prefix_cache llm_prefix_cache_t;
llm_prefix_cache_t *llm_prefix_cache_new(llm_prefix_budget_t *budget, fmq_error_t *err);
void llm_prefix_cache_destroy(llm_prefix_cache_t **self_p);

/* Says what the streams depend on beside the tokens: the frozen layers, how
 * many of them lie below what trains, fixed vectors.  Another tag than before
 * empties the cache. */
void llm_prefix_cache_tag(llm_prefix_cache_t *self, const fmq_digest_t *tag);

typedef struct {
    uint64_t hits, misses; /* examples */
    uint64_t bytes;        /* held now */
} llm_prefix_cache_stats_t;
llm_prefix_cache_stats_t llm_prefix_cache_stats(const llm_prefix_cache_t *self);

FMQ_API_END

#endif
