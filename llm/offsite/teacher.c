/*
 * teacher.c - runs the full model from where the emulated layers begin.
 *
 * Streams are taken behind layers of [l, r), for the sequences that are not
 * kept; then, for logits, the layers from r on run over the whole batch.
 */
#include "llm/offsite/teacher.h"

#include <stdlib.h>
#include <string.h>

#include "llm/pass/stages.h"
#include "llm/train/prefix_cache.h"

/* With a cache, logits go on from the kept stream behind r - 1. */
static int choose_taps(llm_teacher_t *self, const llm_teacher_wish_t *wish, fmq_error_t *err)
{
    const llm_offsite_t *offsite = self->offsite;
    bool restarts = self->cache && wish->whole;
    if (wish->taps + 1 > LLM_LAYERS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "%zu streams of the full model are too many",
                             wish->taps);
    for (size_t i = 0; i < wish->taps; i++) {
        if (wish->tap[i] < offsite->l || wish->tap[i] >= offsite->r)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "the emulator's layer %zu stands for layer %u, which is not one "
                                 "of the emulated layers %u to %u",
                                 i, wish->tap[i], offsite->l, offsite->r - 1);
        self->tap[self->taps++] = wish->tap[i];
    }
    if (restarts && (!self->taps || self->tap[self->taps - 1] != offsite->r - 1))
        self->tap[self->taps++] = offsite->r - 1;
    return 0;
}

static int reserve(llm_teacher_t *self, fmq_error_t *err)
{
    size_t elements = 0;
    bool fits = !__builtin_mul_overflow(self->tokens_max, self->width, &elements) &&
                !__builtin_mul_overflow(elements, self->taps, &elements) &&
                elements <= SIZE_MAX / sizeof(float) - 1;
    self->kept = calloc(self->sequences_max + 1, sizeof *self->kept);
    self->starts = calloc(self->sequences_max + 1, sizeof *self->starts);
    self->ids = calloc(self->tokens_max + 1, sizeof *self->ids);
    if (fits && self->taps)
        self->streams = self->be->ops->alloc(self->be, llm_act_bytes(self->be, elements));
    if (fits && self->cache)
        self->host = malloc(llm_act_bytes(self->be, elements) + 1);
    if (!self->kept || !self->starts || !self->ids || (self->taps && !self->streams) ||
        (self->cache && !self->host))
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "out of memory for %zu streams of the full model over %zu tokens",
                             self->taps, self->tokens_max);
    return 0;
}

/* What the kept streams depend on.  A's layers lie below them only when the
 * emulated ones do not begin at the bottom. */
static fmq_digest_t tag_of(const llm_teacher_t *self, const float *adapter)
{
    static const char purpose[] = "fedmq: streams of the full model for alignment";
    const llm_offsite_t *offsite = self->offsite;
    fmq_digest_t model = llm_model_digest(offsite->teacher);
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(offsite->plugged));
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    fmq_digest_add(&state, purpose, sizeof purpose);
    fmq_digest_add(&state, &model, sizeof model);
    fmq_digest_add(&state, &offsite->l, sizeof offsite->l);
    fmq_digest_add(&state, self->tap, self->taps * sizeof *self->tap);
    if (offsite->l > 0)
        fmq_digest_add(&state, adapter, (size_t)elements * sizeof *adapter);
    return fmq_digest_end(&state);
}

int llm_teacher_init(llm_teacher_t *self, const llm_align_t *align, const llm_teacher_wish_t *wish,
                     const float *adapter, fmq_error_t *err)
{
    const llm_offsite_t *offsite = align->offsite;
    *self = (llm_teacher_t){.offsite = offsite,
                            .be = align->be,
                            .cache = align->cache,
                            .tokens_max = wish->tokens_max,
                            .sequences_max = wish->sequences_max,
                            .width = offsite->full->width,
                            .whole = wish->whole};
    if (!offsite->teacher)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "aligning the emulator needs the full model, which is not held here");
    if (choose_taps(self, wish, err) < 0 || reserve(self, err) < 0)
        return -1;
    llm_stack_t stack = {.model = offsite->teacher, .adapter = offsite->plugged};
    llm_limits_t limits = {.tokens_max = wish->tokens_max, .supervised_max = LLM_ALIGN_ROWS_MAX};
    self->ws = llm_workspace_new_stack(&stack, &limits, self->be, err);
    if (!self->ws || llm_workspace_set_params(self->ws, adapter, err) < 0)
        return -1;
    if (!self->cache)
        return 0;
    fmq_digest_t tag = tag_of(self, adapter);
    llm_prefix_cache_tag(self->cache, &tag);
    return llm_prefix_cache_bind(self->cache, llm_dataset_size(align->data),
                                 llm_act_bytes(self->be, self->taps * self->width), err);
}

void llm_teacher_release(llm_teacher_t *self)
{
    llm_workspace_destroy(&self->ws);
    if (self->streams)
        self->be->ops->release(self->be, self->streams);
    free(self->host);
    free(self->kept);
    free(self->starts);
    free(self->ids);
    *self = (llm_teacher_t){0};
}

static size_t tokens_of(const llm_batch_t *batch, size_t s)
{
    return batch->starts[s + 1] - batch->starts[s];
}

static llm_act_t *stream_at(const llm_teacher_t *self, size_t i, size_t row)
{
    return llm_act_at(self->be, self->streams, (i * self->tokens_max + row) * self->width);
}

const llm_act_t *llm_teacher_stream(const llm_teacher_t *self, size_t i)
{
    return stream_at(self, i, 0);
}

/* Looks every sequence up and packs those that are not kept; puts the kept
 * streams in place. */
static llm_batch_t find_missing(llm_teacher_t *self, const llm_batch_t *batch,
                                const uint32_t *examples)
{
    llm_batch_t missing = {.starts = self->starts, .ids = self->ids};
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t tokens = tokens_of(batch, s);
        size_t bytes = llm_act_bytes(self->be, tokens * self->width);
        self->kept[s] =
            self->cache ? llm_prefix_cache_find(self->cache, examples[s], (uint32_t)tokens) : NULL;
        if (self->kept[s]) {
            for (size_t i = 0; i < self->taps; i++)
                self->be->ops->upload(self->be, stream_at(self, i, batch->starts[s]),
                                      (const char *)self->kept[s] + i * bytes, bytes);
            continue;
        }
        uint32_t begin = self->starts[missing.sequences];
        memcpy(self->ids + begin, batch->ids + batch->starts[s], tokens * sizeof *self->ids);
        self->starts[++missing.sequences] = begin + (uint32_t)tokens;
    }
    return missing;
}

/* Copies the rows of the missing sequences from where they lie in the batch to
 * the packed ones, or back. */
static void move_rows(llm_teacher_t *self, llm_act_t *to, const llm_act_t *from,
                      const llm_batch_t *batch, bool packing)
{
    size_t number = 0;
    for (size_t s = 0; s < batch->sequences; s++) {
        if (self->kept[s])
            continue;
        size_t there = batch->starts[s] * self->width;
        size_t here = self->starts[number++] * self->width;
        self->be->ops->copy(self->be, llm_act_at(self->be, to, packing ? here : there),
                            llm_act_const_at(self->be, from, packing ? there : here),
                            llm_act_bytes(self->be, tokens_of(batch, s) * self->width));
    }
}

/* Runs the emulated layers over the missing sequences, as far as needed. */
static int run_missing(llm_teacher_t *self, const llm_batch_t *batch, const llm_batch_t *missing,
                       const llm_act_t *h, fmq_error_t *err)
{
    const llm_offsite_t *offsite = self->offsite;
    llm_packed_t packed;
    if (llm_stages_begin(self->ws, missing, NULL, &packed, err) < 0)
        return -1;
    move_rows(self, llm_stages_stream(self->ws, offsite->l), h, batch, true);
    size_t left = self->taps;
    for (uint32_t l = offsite->l; l < offsite->r && (left || self->whole); l++) {
        llm_stages_forward(self->ws, &packed, l, l + 1);
        for (size_t i = 0; i < self->taps; i++) {
            if (self->tap[i] != l)
                continue;
            move_rows(self, stream_at(self, i, 0), llm_stages_stream(self->ws, l + 1), batch,
                      false);
            left--;
        }
    }
    return 0;
}

static void keep_missing(llm_teacher_t *self, const llm_batch_t *batch, const uint32_t *examples)
{
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t tokens = tokens_of(batch, s);
        size_t bytes = llm_act_bytes(self->be, tokens * self->width);
        if (self->kept[s])
            continue;
        for (size_t i = 0; i < self->taps; i++)
            self->be->ops->download(self->be, self->host + i * bytes,
                                    stream_at(self, i, batch->starts[s]), bytes);
        llm_prefix_cache_keep(self->cache, examples[s], (uint32_t)tokens, self->host);
    }
}

/* The rest of the model, from the stream behind r - 1 on. */
static int run_rest(llm_teacher_t *self, const llm_batch_t *batch, fmq_error_t *err)
{
    uint32_t r = self->offsite->r;
    llm_packed_t packed;
    if (llm_stages_begin(self->ws, batch, NULL, &packed, err) < 0)
        return -1;
    if (self->cache)
        self->be->ops->copy(self->be, llm_stages_stream(self->ws, r),
                            llm_teacher_stream(self, self->taps - 1),
                            llm_act_bytes(self->be, packed.tokens * self->width));
    llm_stages_forward(self->ws, &packed, r, self->offsite->full->layers);
    return 0;
}

int llm_teacher_run(llm_teacher_t *self, const llm_batch_t *batch, const uint32_t *examples,
                    const llm_act_t *h, fmq_error_t *err)
{
    self->starts[0] = 0;
    llm_batch_t missing = find_missing(self, batch, examples);
    if (missing.sequences > 0 && run_missing(self, batch, &missing, h, err) < 0)
        return -1;
    if (self->cache)
        keep_missing(self, batch, examples);
    return self->whole ? run_rest(self, batch, err) : 0;
}
