/*
 * spread.c - copies a batch's lists with gaps before its sequences.
 */
#include "llm/pass/spread.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

size_t llm_spread_tokens(size_t count, size_t tokens, size_t sequences)
{
    size_t rows = 0, most = sequences && sequences < tokens ? sequences : tokens;
    if (__builtin_mul_overflow(count, most, &rows) || __builtin_add_overflow(rows, tokens, &rows))
        return SIZE_MAX;
    return rows;
}

int llm_spread_init(llm_spread_t *self, size_t count, size_t tokens_max, fmq_error_t *err)
{
    self->count = count;
    self->tokens_max = tokens_max;
    if (!count)
        return 0;
    self->starts = malloc((tokens_max + 1) * sizeof *self->starts);
    self->ids = malloc(tokens_max * sizeof *self->ids);
    self->rows = malloc(tokens_max * sizeof *self->rows);
    if (!self->starts || !self->ids || !self->rows)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a batch of %zu tokens",
                             tokens_max);
    return 0;
}

void llm_spread_release(llm_spread_t *self)
{
    free(self->starts);
    free(self->ids);
    free(self->rows);
    *self = (llm_spread_t){0};
}

static int check(const llm_spread_t *self, const llm_batch_t *batch, uint32_t reach,
                 fmq_error_t *err)
{
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t tokens = batch->starts[s + 1] - batch->starts[s];
        if (tokens + self->count > reach)
            return fmq_error_set(err, FMQ_ERR_LIMIT,
                                 "sequence %zu of the batch has %zu tokens behind %zu virtual "
                                 "ones; the model takes %" PRIu32 " in all",
                                 s, tokens, self->count, reach);
    }
    size_t rows = llm_spread_tokens(self->count, batch->starts[batch->sequences], batch->sequences);
    if (rows > self->tokens_max)
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "the batch does not fit: %zu sequences with %zu virtual tokens in "
                             "front of each make %zu rows, the workspace was planned for %zu",
                             batch->sequences, self->count, rows, self->tokens_max);
    return 0;
}

int32_t llm_spread_row(const llm_spread_t *self, const llm_batch_t *batch, int32_t row)
{
    if (!self->count)
        return row;
    size_t low = 0, high = batch->sequences;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (batch->starts[middle] <= (uint32_t)row)
            low = middle;
        else
            high = middle;
    }
    return row + (int32_t)(self->count * (low + 1));
}

static void spread_sequences(llm_spread_t *self, const llm_batch_t *batch)
{
    uint32_t end = 0;
    self->starts[0] = 0;
    for (size_t s = 0; s < batch->sequences; s++) {
        uint32_t from = batch->starts[s], tokens = batch->starts[s + 1] - from;
        for (size_t i = 0; i < self->count; i++)
            self->ids[end + i] = batch->ids[from];
        memcpy(self->ids + end + self->count, batch->ids + from, tokens * sizeof *self->ids);
        end += (uint32_t)self->count + tokens;
        self->starts[s + 1] = end;
    }
}

int llm_spread_batch(llm_spread_t *self, const llm_batch_t *batch, uint32_t reach, llm_batch_t *out,
                     fmq_error_t *err)
{
    *out = *batch;
    if (!self->count)
        return 0;
    if (check(self, batch, reach, err) < 0)
        return -1;
    spread_sequences(self, batch);
    out->starts = self->starts;
    out->ids = self->ids;
    return 0;
}

const int32_t *llm_spread_rows(llm_spread_t *self, const llm_batch_t *batch)
{
    if (!self->count)
        return batch->rows;
    for (size_t i = 0; i < batch->supervised; i++)
        self->rows[i] = llm_spread_row(self, batch, batch->rows[i]);
    return self->rows;
}
