/*
 * prefix_batch.h - gives batches their prefix: kept streams from a cache, the
 * others computed together in one pass through the frozen layers.
 *
 * The memory is taken once for the largest batch; a cache that has room takes
 * more as it grows.
 */
#ifndef FEDMQ_LLM_TRAIN_PREFIX_BATCH_H
#define FEDMQ_LLM_TRAIN_PREFIX_BATCH_H

#include "fedmq/llm/data.h"
#include "fedmq/llm/prefix_cache.h"
#include "fedmq/llm/team.h"
#include "fedmq/llm/workspace.h"

/* All zero it leaves batches as they are. */
typedef struct {
    llm_workspace_t *ws;       /* borrowed; set before it is initialized */
    llm_team_t *team;          /* as that: computes what is missing; NULL: ws does */
    llm_prefix_cache_t *cache; /* as that; NULL: nothing is done */
    size_t token_bytes;        /* of a stream */
    char *streams;             /* owned, [tokens][token_bytes]: a batch's prefix */
    const void **kept;         /* owned, [sequences]: NULL where it is missing */
    uint32_t *starts;          /* owned: the missing ones, packed ... */
    int32_t *ids;              /* owned */
} llm_prefix_batch_t;

/* For batches of at most batch_size examples of the dataset, which is the one
 * that the cache belongs to.  Without frozen layers below in the workspace,
 * nothing is done.  Release after failure too. */
int llm_prefix_batch_init(llm_prefix_batch_t *self, const llm_dataset_t *dataset,
                          uint32_t batch_size, fmq_error_t *err);
void llm_prefix_batch_release(llm_prefix_batch_t *self);

/* Sets batch->prefix; sequence s of it is example examples[s].  Valid until
 * the next call. */
int llm_prefix_batch_fill(llm_prefix_batch_t *self, const uint32_t *examples, llm_batch_t *batch,
                          fmq_error_t *err);

#endif
