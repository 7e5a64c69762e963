/*
 * prefix_batch.c - finds, computes, keeps and lays together the streams of a
 * batch.  A sequence's stream does not depend on what it is packed with, to
 * the byte, so that none of this shows in the result.
 */
#include "llm/train/prefix_batch.h"

#include <stdlib.h>
#include <string.h>

#include "llm/train/prefix_cache.h"
#include "llm/train/team.h"

static int reserve(llm_prefix_batch_t *self, size_t sequences, size_t tokens)
{
    size_t bytes;
    if (__builtin_mul_overflow(tokens + 1, self->token_bytes, &bytes))
        return -1;
    self->streams = malloc(bytes);
    self->kept = malloc((sequences + 1) * sizeof *self->kept);
    self->starts = malloc((sequences + 1) * sizeof *self->starts);
    self->ids = malloc((tokens + 1) * sizeof *self->ids);
    return self->streams && self->kept && self->starts && self->ids ? 0 : -1;
}

int llm_prefix_batch_init(llm_prefix_batch_t *self, const llm_dataset_t *dataset,
                          uint32_t batch_size, fmq_error_t *err)
{
    self->token_bytes = self->cache ? llm_workspace_prefix_bytes(self->ws) : 0;
    if (self->token_bytes == 0)
        self->cache = NULL;
    if (!self->cache)
        return 0;
    size_t examples = llm_dataset_size(dataset);
    size_t tokens = llm_dataset_batch_max(dataset, batch_size);
    if (reserve(self, batch_size < examples ? batch_size : examples, tokens) < 0)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "cannot lay the prefix of %zu tokens together: out of memory; lower "
                             "dataloader.batch_size or switch the prefix cache off",
                             tokens);
    return llm_prefix_cache_bind(self->cache, examples, self->token_bytes, err);
}

void llm_prefix_batch_release(llm_prefix_batch_t *self)
{
    free(self->streams);
    free(self->kept);
    free(self->starts);
    free(self->ids);
    *self = (llm_prefix_batch_t){0};
}

static uint32_t tokens_of(const llm_batch_t *batch, size_t s)
{
    return batch->starts[s + 1] - batch->starts[s];
}

/* Looks every sequence up and packs those that are not kept. */
static llm_batch_t find_missing(llm_prefix_batch_t *self, const uint32_t *examples,
                                const llm_batch_t *batch)
{
    llm_batch_t missing = {.starts = self->starts, .ids = self->ids};
    self->starts[0] = 0;
    for (size_t s = 0; s < batch->sequences; s++) {
        uint32_t tokens = tokens_of(batch, s), begin = self->starts[missing.sequences];
        self->kept[s] = llm_prefix_cache_find(self->cache, examples[s], tokens);
        if (self->kept[s])
            continue;
        memcpy(self->ids + begin, batch->ids + batch->starts[s], tokens * sizeof *self->ids);
        missing.sequences++;
        self->starts[missing.sequences] = begin + tokens;
    }
    return missing;
}

/* Moves the computed streams, which lie one behind the other, to the places
 * of their sequences.  None moves down, so the last goes first. */
static void spread(llm_prefix_batch_t *self, const llm_batch_t *batch, const llm_batch_t *missing)
{
    size_t left = missing->sequences;
    for (size_t s = batch->sequences; s-- > 0 && left > 0;) {
        if (self->kept[s])
            continue;
        left--;
        char *to = self->streams + batch->starts[s] * self->token_bytes;
        const char *from = self->streams + missing->starts[left] * self->token_bytes;
        if (to != from)
            memmove(to, from, tokens_of(batch, s) * self->token_bytes);
    }
}

static int compute(const llm_prefix_batch_t *self, const llm_batch_t *missing, fmq_error_t *err)
{
    return self->team ? llm_team_prefix(self->team, missing, self->streams, err)
                      : llm_workspace_prefix(self->ws, missing, self->streams, err);
}

int llm_prefix_batch_fill(llm_prefix_batch_t *self, const uint32_t *examples, llm_batch_t *batch,
                          fmq_error_t *err)
{
    if (!self->cache)
        return 0;
    llm_batch_t missing = find_missing(self, examples, batch);
    if (missing.sequences > 0 && compute(self, &missing, err) < 0)
        return -1;
    spread(self, batch, &missing);
    for (size_t s = 0; s < batch->sequences; s++) {
        char *stream = self->streams + batch->starts[s] * self->token_bytes;
        uint32_t tokens = tokens_of(batch, s);
        if (self->kept[s])
            memcpy(stream, self->kept[s], tokens * self->token_bytes);
        else
            llm_prefix_cache_keep(self->cache, examples[s], tokens, stream);
    }
    batch->prefix = self->streams;
    return 0;
}
