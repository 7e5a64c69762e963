/*
 * prefix_cache.c - streams by example number, and the budget they share.
 *
 * Nothing is ever thrown out to make room: every pass meets every example
 * once, so that throwing out the oldest would throw out what is needed next.
 */
#include "llm/train/prefix_cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct llm_prefix_budget {
    uint64_t bytes_max;
    atomic_uint_fast64_t bytes; /* taken */
};

typedef struct {
    void *stream; /* owned; NULL: not kept */
    uint32_t tokens;
} kept_t;

struct llm_prefix_cache {
    llm_prefix_budget_t *budget; /* borrowed */
    fmq_digest_t tag;
    bool tagged;
    size_t size, token_bytes; /* examples, and of a token's stream */
    kept_t *kept;             /* owned, [size] */
    llm_prefix_cache_stats_t stats;
};

llm_prefix_budget_t *llm_prefix_budget_new(uint64_t bytes_max)
{
    llm_prefix_budget_t *self = calloc(1, sizeof *self);
    if (self) {
        self->bytes_max = bytes_max;
        atomic_init(&self->bytes, 0);
    }
    return self;
}

void llm_prefix_budget_destroy(llm_prefix_budget_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

/* Taken bytes guard no memory of their own, so that no order is needed between
 * threads: the sum alone has to be right. */
static bool budget_take(llm_prefix_budget_t *self, uint64_t bytes)
{
    uint_fast64_t taken = atomic_load_explicit(&self->bytes, memory_order_relaxed);
    do {
        if (bytes > self->bytes_max - taken)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&self->bytes, &taken, taken + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void budget_give(llm_prefix_budget_t *self, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&self->bytes, bytes, memory_order_relaxed);
}

llm_prefix_cache_t *llm_prefix_cache_new(llm_prefix_budget_t *budget, fmq_error_t *err)
{
    llm_prefix_cache_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a prefix cache");
        return NULL;
    }
    self->budget = budget;
    return self;
}

static uint64_t stream_bytes(const llm_prefix_cache_t *self, uint32_t tokens)
{
    uint64_t bytes;
    return __builtin_mul_overflow((uint64_t)self->token_bytes, (uint64_t)tokens, &bytes)
               ? UINT64_MAX
               : bytes;
}

static void forget(llm_prefix_cache_t *self, kept_t *kept)
{
    if (!kept->stream)
        return;
    uint64_t bytes = stream_bytes(self, kept->tokens);
    free(kept->stream);
    *kept = (kept_t){0};
    self->stats.bytes -= bytes;
    budget_give(self->budget, bytes);
}

static void forget_all(llm_prefix_cache_t *self)
{
    for (size_t i = 0; i < self->size; i++)
        forget(self, &self->kept[i]);
}

void llm_prefix_cache_destroy(llm_prefix_cache_t **self_p)
{
    llm_prefix_cache_t *self = *self_p;
    if (!self)
        return;
    forget_all(self);
    free(self->kept);
    free(self);
    *self_p = NULL;
}

void llm_prefix_cache_tag(llm_prefix_cache_t *self, const fmq_digest_t *tag)
{
    if (self->tagged && fmq_digest_equal(&self->tag, tag))
        return;
    forget_all(self);
    self->tag = *tag;
    self->tagged = true;
}

llm_prefix_cache_stats_t llm_prefix_cache_stats(const llm_prefix_cache_t *self)
{
    return self->stats;
}

int llm_prefix_cache_bind(llm_prefix_cache_t *self, size_t examples, size_t token_bytes,
                          fmq_error_t *err)
{
    if (self->size == examples && self->token_bytes == token_bytes)
        return 0;
    forget_all(self);
    free(self->kept);
    self->size = 0;
    self->token_bytes = token_bytes;
    self->kept =
        examples < SIZE_MAX / sizeof *self->kept ? calloc(examples + 1, sizeof *self->kept) : NULL;
    if (!self->kept)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "out of memory for the prefix cache of %zu examples", examples);
    self->size = examples;
    return 0;
}

const void *llm_prefix_cache_find(llm_prefix_cache_t *self, size_t example, uint32_t tokens)
{
    const kept_t *kept = example < self->size ? &self->kept[example] : NULL;
    if (kept && kept->stream && kept->tokens == tokens) {
        self->stats.hits++;
        return kept->stream;
    }
    self->stats.misses++;
    return NULL;
}

void llm_prefix_cache_keep(llm_prefix_cache_t *self, size_t example, uint32_t tokens,
                           const void *stream)
{
    uint64_t bytes = stream_bytes(self, tokens);
    if (example >= self->size || bytes == 0 || bytes > SIZE_MAX)
        return;
    kept_t *kept = &self->kept[example];
    forget(self, kept);
    if (!budget_take(self->budget, bytes))
        return;
    kept->stream = malloc((size_t)bytes);
    if (!kept->stream) {
        budget_give(self->budget, bytes);
        return;
    }
    memcpy(kept->stream, stream, (size_t)bytes);
    kept->tokens = tokens;
    self->stats.bytes += bytes;
}
