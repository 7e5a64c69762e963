/*
 * bpe.c - merging symbols in order of rank with a heap of candidates.
 *
 * The order in which candidates are tried, stale ones included, is that of HF
 * tokenizers' Word::merge_all(), because ids must be the same.
 */
#include "llm/tokenizer/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FREE_SLOT UINT64_MAX

struct llm_symbol {
    int32_t id;
    int32_t previous, next; /* -1 at the ends */
    bool gone;              /* merged into its left neighbour */
};

struct llm_candidate {
    uint64_t order; /* rank << 32 | position of the left symbol */
    int32_t result;
};

static size_t hash_pair(uint64_t pair)
{
    pair *= UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(pair ^ pair >> 32);
}

static llm_merge_t *slot_of(const llm_bpe_t *self, uint64_t pair)
{
    size_t mask = self->merges_size - 1;
    size_t slot = hash_pair(pair) & mask;
    while (self->merges[slot].pair != FREE_SLOT && self->merges[slot].pair != pair)
        slot = (slot + 1) & mask;
    return &self->merges[slot];
}

static const llm_merge_t *find_merge(const llm_bpe_t *self, int32_t left, int32_t right)
{
    if (self->merges_used == 0)
        return NULL;
    const llm_merge_t *merge = slot_of(self, (uint64_t)(uint32_t)left << 32 | (uint32_t)right);
    return merge->pair == FREE_SLOT ? NULL : merge;
}

static int grow_merges(llm_bpe_t *self, fmq_error_t *err)
{
    llm_merge_t *old = self->merges;
    size_t old_size = self->merges_size;
    size_t wanted = old_size ? 2 * old_size : 256;
    llm_merge_t *grown = malloc(wanted * sizeof *grown);
    if (!grown)
        return llm_text_nomem(err);
    for (size_t i = 0; i < wanted; i++)
        grown[i].pair = FREE_SLOT;
    self->merges = grown;
    self->merges_size = wanted;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].pair != FREE_SLOT)
            *slot_of(self, old[i].pair) = old[i];
    free(old);
    return 0;
}

/* The id of left and right written together, or -1. */
static int find_joined(const llm_bpe_t *self, llm_slice_t left, llm_slice_t right, int32_t *out,
                       fmq_error_t *err)
{
    llm_text_t joined = {0};
    if (llm_text_append(&joined, left.data, left.size, err) < 0 ||
        llm_text_append(&joined, right.data, right.size, err) < 0) {
        llm_text_release(&joined);
        return -1;
    }
    *out = llm_vocab_find(&self->vocab, joined.data, joined.size);
    llm_text_release(&joined);
    return 0;
}

int llm_bpe_add_merge(llm_bpe_t *self, llm_slice_t left, llm_slice_t right, uint32_t rank,
                      fmq_error_t *err)
{
    int32_t left_id = llm_vocab_find(&self->vocab, left.data, left.size);
    int32_t right_id = llm_vocab_find(&self->vocab, right.data, right.size);
    int32_t result;
    if (find_joined(self, left, right, &result, err) < 0)
        return -1;
    if (left_id < 0 || right_id < 0 || result < 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "merge %u ('%.*s' + '%.*s') needs a token that the vocabulary does "
                             "not have: the %s",
                             rank, (int)(left.size < 100 ? left.size : 100), left.data,
                             (int)(right.size < 100 ? right.size : 100), right.data,
                             left_id < 0    ? "left part"
                             : right_id < 0 ? "right part"
                                            : "result");
    if (2 * (self->merges_used + 1) > self->merges_size && grow_merges(self, err) < 0)
        return -1;
    uint64_t pair = (uint64_t)(uint32_t)left_id << 32 | (uint32_t)right_id;
    llm_merge_t *merge = slot_of(self, pair);
    self->merges_used += merge->pair == FREE_SLOT;
    *merge = (llm_merge_t){pair, rank, (uint32_t)result}; /* a repeated merge counts last */
    return 0;
}

void llm_bpe_finish(llm_bpe_t *self)
{
    for (uint32_t point = 0; point < LLM_BPE_DIRECT; point++) {
        char text[2];
        size_t size = llm_utf8_encode(point, text);
        self->direct[point] = llm_vocab_find(&self->vocab, text, size);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        int size = snprintf(text, sizeof text, "<0x%02X>", byte);
        self->bytes[byte] = llm_vocab_find(&self->vocab, text, (size_t)size);
    }
}

void llm_bpe_release(llm_bpe_t *self)
{
    llm_vocab_release(&self->vocab);
    free(self->merges);
    *self = (llm_bpe_t){0};
}

void llm_bpe_work_release(llm_bpe_work_t *work)
{
    free(work->symbols);
    free(work->heap);
    *work = (llm_bpe_work_t){0};
}

static int add_symbol(llm_bpe_work_t *work, int32_t id, fmq_error_t *err)
{
    struct llm_symbol *grown = llm_text_grow(work->symbols, work->symbols_size,
                                             &work->symbols_capacity, sizeof *grown, err);
    if (!grown)
        return -1;
    work->symbols = grown;
    int32_t index = (int32_t)work->symbols_size++;
    grown[index] = (struct llm_symbol){.id = id, .previous = index - 1, .next = -1};
    if (index > 0)
        grown[index - 1].next = index;
    return 0;
}

static int32_t find_character(const llm_bpe_t *self, const char *at, size_t size)
{
    uint32_t point = llm_utf8_decode(at);
    return point < LLM_BPE_DIRECT ? self->direct[point] : llm_vocab_find(&self->vocab, at, size);
}

/* 1 when the character became bytes, 0 when a byte token is missing. */
static int add_bytes(const llm_bpe_t *self, llm_bpe_work_t *work, llm_slice_t character,
                     fmq_error_t *err)
{
    for (size_t i = 0; i < character.size; i++)
        if (self->bytes[(unsigned char)character.data[i]] < 0)
            return 0;
    for (size_t i = 0; i < character.size; i++)
        if (add_symbol(work, self->bytes[(unsigned char)character.data[i]], err) < 0)
            return -1;
    return 1;
}

/* Turns characters into symbols.  A character without a token becomes its
 * bytes, or an unknown token, or nothing.  As in HF, an unknown waits for the
 * next known character before it is added. */
static int add_characters(const llm_bpe_t *self, llm_bpe_work_t *work, llm_slice_t text,
                          fmq_error_t *err)
{
    bool waiting = false;
    for (size_t i = 0; i < text.size;) {
        llm_slice_t character = {text.data + i, llm_utf8_length(text.data + i)};
        i += character.size;
        int32_t id = find_character(self, character.data, character.size);
        if (id < 0 && self->byte_fallback) {
            int added = add_bytes(self, work, character, err);
            if (added < 0)
                return -1;
            if (added)
                continue;
        }
        bool flush = waiting && (id >= 0 || !self->fuse_unknown);
        if (flush && add_symbol(work, self->unknown, err) < 0)
            return -1;
        if (id >= 0 && add_symbol(work, id, err) < 0)
            return -1;
        waiting = id < 0 && self->unknown >= 0;
    }
    return waiting ? add_symbol(work, self->unknown, err) : 0;
}

static void sift_up(struct llm_candidate *heap, size_t index)
{
    struct llm_candidate moved = heap[index];
    while (index > 0 && heap[(index - 1) / 2].order > moved.order) {
        heap[index] = heap[(index - 1) / 2];
        index = (index - 1) / 2;
    }
    heap[index] = moved;
}

static void sift_down(struct llm_candidate *heap, size_t size, size_t index)
{
    struct llm_candidate moved = heap[index];
    for (size_t child = 2 * index + 1; child < size; child = 2 * index + 1) {
        if (child + 1 < size && heap[child + 1].order < heap[child].order)
            child++;
        if (heap[child].order >= moved.order)
            break;
        heap[index] = heap[child];
        index = child;
    }
    heap[index] = moved;
}

/* Makes the pair that begins at a symbol a candidate when it has a merge. */
static int propose(const llm_bpe_t *self, llm_bpe_work_t *work, int32_t left, fmq_error_t *err)
{
    if (left < 0 || work->symbols[left].next < 0)
        return 0;
    const llm_merge_t *merge =
        find_merge(self, work->symbols[left].id, work->symbols[work->symbols[left].next].id);
    if (!merge)
        return 0;
    struct llm_candidate *grown =
        llm_text_grow(work->heap, work->heap_size, &work->heap_capacity, sizeof *grown, err);
    if (!grown)
        return -1;
    work->heap = grown;
    grown[work->heap_size] = (struct llm_candidate){(uint64_t)merge->rank << 32 | (uint32_t)left,
                                                    (int32_t)merge->result};
    sift_up(grown, work->heap_size++);
    return 0;
}

/* Takes the first candidate off the heap and merges its pair, unless the pair
 * has changed meanwhile into one with another result. */
static int merge_first(const llm_bpe_t *self, llm_bpe_work_t *work, fmq_error_t *err)
{
    struct llm_candidate first = work->heap[0];
    work->heap[0] = work->heap[--work->heap_size];
    if (work->heap_size)
        sift_down(work->heap, work->heap_size, 0);

    int32_t position = (int32_t)(first.order & UINT32_MAX);
    struct llm_symbol *left = &work->symbols[position];
    if (left->gone || left->next < 0)
        return 0;
    struct llm_symbol *right = &work->symbols[left->next];
    const llm_merge_t *merge = find_merge(self, left->id, right->id);
    if (!merge || (int32_t)merge->result != first.result)
        return 0;
    left->id = first.result;
    left->next = right->next;
    right->gone = true;
    if (left->next >= 0)
        work->symbols[left->next].previous = position;
    if (propose(self, work, left->previous, err) < 0)
        return -1;
    return propose(self, work, position, err);
}

int llm_bpe_encode(const llm_bpe_t *self, llm_bpe_work_t *work, llm_slice_t text, llm_ids_t *ids,
                   fmq_error_t *err)
{
    int32_t whole = self->ignore_merges ? llm_vocab_find(&self->vocab, text.data, text.size) : -1;
    if (whole >= 0)
        return llm_ids_append(ids, whole, err);
    if (text.size > INT32_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "a text of %zu bytes is too long to tokenize",
                             text.size);
    work->symbols_size = 0;
    work->heap_size = 0;
    if (add_characters(self, work, text, err) < 0)
        return -1;
    for (size_t i = 0; i + 1 < work->symbols_size; i++)
        if (propose(self, work, (int32_t)i, err) < 0)
            return -1;
    while (work->heap_size)
        if (merge_first(self, work, err) < 0)
            return -1;
    for (int32_t i = work->symbols_size ? 0 : -1; i >= 0; i = work->symbols[i].next)
        if (llm_ids_append(ids, work->symbols[i].id, err) < 0)
            return -1;
    return 0;
}
