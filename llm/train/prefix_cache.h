/*
 * prefix_cache.h - what a cache does for the trainer: finds and keeps streams.
 *
 * A stream is what the frozen layers gave for one example, so many bytes a
 * token of host memory.  Nothing here knows models or batches.
 */
#ifndef FEDMQ_LLM_TRAIN_PREFIX_CACHE_H
#define FEDMQ_LLM_TRAIN_PREFIX_CACHE_H

#include "fedmq/llm/prefix_cache.h"

/* Makes the cache one of so many examples with streams of this size; empties
 * it when it was another's.  FMQ_ERR_NOMEM, and then it is empty. */
int llm_prefix_cache_bind(llm_prefix_cache_t *self, size_t examples, size_t token_bytes,
                          fmq_error_t *err);

/* The stream of an example of so many tokens, or NULL; counts a hit or a miss.
 * Valid until the cache is tagged anew, bound anew or destroyed. */
const void *llm_prefix_cache_find(llm_prefix_cache_t *self, size_t example, uint32_t tokens);

/* Copies a stream in if there is room for it; does nothing otherwise. */
void llm_prefix_cache_keep(llm_prefix_cache_t *self, size_t example, uint32_t tokens,
                           const void *stream);

#endif
