/*
 * prune.c - magnitude pruning: of every linear module of a layer the smallest
 * weights become zero and are not stored.  Whole channels: narrow.c.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/offsite/draft.h"
#include "llm/offsite/magnitude.h"
#include "llm/offsite/strategy.h"
#include "llm/weights/part.h"

/* Magnitudes as integers that sort like them; NaN is above infinity. */
static uint32_t magnitude(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffffu;
}

/* The bucket in which the drop-th smallest lies, and how many lie below it. */
static uint32_t find_bucket(const uint64_t *histogram, uint64_t drop, uint64_t *below)
{
    uint32_t bucket = 0;
    *below = 0;
    while (*below + histogram[bucket] < drop)
        *below += histogram[bucket++];
    return bucket;
}

/* Magnitude of the drop-th smallest (from 1) of values, by two passes over
 * halves of the bits; *equal tells how many of that magnitude belong to them. */
static uint32_t threshold_of(const float *values, uint64_t count, uint64_t drop,
                             uint64_t histogram[LLM_MAGNITUDE_BUCKETS], uint64_t *equal)
{
    uint64_t below_high, below_low;
    memset(histogram, 0, LLM_MAGNITUDE_BUCKETS * sizeof *histogram);
    for (uint64_t i = 0; i < count; i++)
        histogram[magnitude(values[i]) >> 16]++;
    uint32_t high = find_bucket(histogram, drop, &below_high);
    memset(histogram, 0, LLM_MAGNITUDE_BUCKETS * sizeof *histogram);
    for (uint64_t i = 0; i < count; i++) {
        if (magnitude(values[i]) >> 16 == high)
            histogram[magnitude(values[i]) & 0xffffu]++;
    }
    uint32_t low = find_bucket(histogram, drop - below_high, &below_low);
    *equal = drop - below_high - below_low;
    return high << 16 | low;
}

int llm_magnitude_mask(const float *values, uint64_t count, uint64_t drop, uint8_t *mask,
                       fmq_error_t *err)
{
    memset(mask, 0, (size_t)((count + 7) / 8));
    uint64_t equal = 0;
    uint32_t threshold = 0;
    if (drop > 0) {
        uint64_t *histogram = malloc(LLM_MAGNITUDE_BUCKETS * sizeof *histogram);
        if (!histogram)
            return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a histogram");
        threshold = threshold_of(values, count, drop, histogram, &equal);
        free(histogram);
    }
    for (uint64_t i = 0; i < count; i++) {
        uint32_t one = magnitude(values[i]);
        bool dropped = one < threshold || (one == threshold && equal > 0);
        if (dropped && one == threshold)
            equal--;
        if (!dropped)
            mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << (i % 8));
    }
    return 0;
}

/* Adds the values whose bit is set, in order. */
static int add_values(llm_draft_t *draft, const llm_layer_tensor_t *tensor, const uint8_t *mask,
                      uint64_t kept, fmq_error_t *err)
{
    uint64_t count = tensor->rows * tensor->columns, next = 0;
    llm_draft_tensor_t out = {
        .name = tensor->name, .suffix = LLM_PART_VALUES, .rank = 1, .shape = {kept}};
    float *values = malloc((size_t)kept * sizeof *values + 1);
    if (!values)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a pruned weight");
    for (uint64_t i = 0; i < count; i++) {
        if (mask[i / 8] >> (i % 8) & 1)
            values[next++] = tensor->values[i];
    }
    int rc = llm_draft_add_values(draft, &out, values, err);
    free(values);
    return rc;
}

/* Takes *mask_p on success. */
static int add_sparse(llm_draft_t *draft, const llm_layer_tensor_t *tensor, void **mask_p,
                      uint64_t kept, fmq_error_t *err)
{
    uint64_t bytes = (tensor->rows * tensor->columns + 7) / 8;
    llm_draft_tensor_t out = {.name = tensor->name,
                              .suffix = LLM_PART_MASK,
                              .dtype = "U8",
                              .rank = 1,
                              .shape = {bytes},
                              .bytes = bytes};
    if (add_values(draft, tensor, *mask_p, kept, err) < 0)
        return -1;
    return llm_draft_add(draft, &out, mask_p, err);
}

typedef struct {
    llm_draft_t draft;
    double ratio;
} pruning_t;

static int prune_tensor(void *argument, const llm_layer_tensor_t *tensor, fmq_error_t *err)
{
    pruning_t *self = argument;
    if (tensor->parameter->role != LLM_ROLE_MODULE || tensor->parameter->bias)
        return llm_draft_add_layer_tensor(&self->draft, tensor, err);
    uint64_t count = tensor->rows * tensor->columns;
    uint64_t drop = (uint64_t)(self->ratio * (double)count);
    void *mask = malloc((size_t)((count + 7) / 8));
    if (!mask)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a mask");
    int rc = llm_magnitude_mask(tensor->values, count, drop, mask, err);
    if (rc == 0)
        rc = add_sparse(&self->draft, tensor, &mask, count - drop, err);
    free(mask);
    return rc;
}

static int make_layer(const llm_making_t *making, uint32_t i, const char *path, fmq_error_t *err)
{
    pruning_t pruning = {.ratio = making->spec->prune_ratio};
    int rc =
        llm_layer_each(making->teacher, llm_making_source(making, i), prune_tensor, &pruning, err);
    if (rc == 0)
        rc = llm_draft_save(&pruning.draft, path, err);
    llm_draft_release(&pruning.draft);
    return rc;
}

int llm_make_pruned(const llm_making_t *self, char *const *paths, fmq_error_t *err)
{
    return llm_making_each(self, paths, make_layer, err);
}
