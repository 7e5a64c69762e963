/*
 * deal.c - cuts a batch between sequences.
 */
#include "llm/train/deal.h"

#include <stdlib.h>

size_t llm_deal_tokens_max(size_t tokens_max, size_t longest, size_t ranks)
{
    size_t most = tokens_max / ranks + (tokens_max % ranks != 0) + longest;
    return most < tokens_max ? most : tokens_max;
}

int llm_deal_init(llm_deal_t *self, size_t tokens_max, fmq_error_t *err)
{
    self->tokens_max = tokens_max;
    self->starts = calloc(tokens_max + 1, sizeof *self->starts);
    self->rows = calloc(tokens_max + 1, sizeof *self->rows);
    if (!self->starts || !self->rows)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a part of %zu tokens",
                             tokens_max);
    return 0;
}

void llm_deal_release(llm_deal_t *self)
{
    free(self->starts);
    free(self->rows);
    *self = (llm_deal_t){0};
}

/* The first sequence of a rank's part: ranks ascend with the middles. */
static size_t first_of(const llm_batch_t *whole, unsigned rank, unsigned ranks)
{
    uint64_t doubled = 2 * (uint64_t)whole->starts[whole->sequences];
    size_t s = 0;
    while (s < whole->sequences &&
           ((uint64_t)whole->starts[s] + whole->starts[s + 1]) * ranks < doubled * rank)
        s++;
    return s;
}

static size_t first_supervised(const llm_batch_t *whole, uint32_t row)
{
    size_t low = 0, high = whole->supervised;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uint32_t)whole->rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Rows and starts count from the part's first row. */
static void take_rows(llm_deal_t *self, const llm_batch_t *whole, size_t sequences)
{
    uint32_t begin = whole->starts[self->first], end = whole->starts[self->first + sequences];
    size_t from = first_supervised(whole, begin), to = first_supervised(whole, end);
    for (size_t s = 0; s <= sequences; s++)
        self->starts[s] = whole->starts[self->first + s] - begin;
    for (size_t i = from; i < to; i++)
        self->rows[i - from] = whole->rows[i] - (int32_t)begin;
    self->batch = (llm_batch_t){.sequences = sequences,
                                .starts = self->starts,
                                .ids = whole->ids + begin,
                                .supervised = to - from,
                                .rows = self->rows,
                                .targets = whole->targets ? whole->targets + from : NULL,
                                .first_row = whole->first_row + begin};
}

int llm_deal_take(llm_deal_t *self, const llm_batch_t *whole, unsigned rank, unsigned ranks,
                  size_t prefix_bytes, fmq_error_t *err)
{
    self->first = first_of(whole, rank, ranks);
    size_t behind = rank + 1 == ranks ? whole->sequences : first_of(whole, rank + 1, ranks);
    size_t begin = whole->starts[self->first], tokens = whole->starts[behind] - begin;
    self->batch = (llm_batch_t){0};
    if (tokens > self->tokens_max)
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "a part of the batch has %zu tokens; %zu were planned for", tokens,
                             self->tokens_max);
    if (behind == self->first)
        return 0;
    take_rows(self, whole, behind - self->first);
    if (whole->prefix)
        self->batch.prefix = (const char *)whole->prefix + begin * prefix_bytes;
    if (whole->prefix_out)
        self->batch.prefix_out = (char *)whole->prefix_out + begin * prefix_bytes;
    return 0;
}
