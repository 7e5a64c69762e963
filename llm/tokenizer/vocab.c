/*
 * vocab.c - open addressing over one run of texts.
 */
#include "llm/tokenizer/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/shape.h"

#define NO_TOKEN UINT32_MAX

/* FNV-1a, finished by a multiplication so that the low bits are good. */
static size_t hash(const char *text, size_t size)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        h = (h ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds this text, or the free one where it would go. */
static size_t slot_of(const llm_vocab_t *self, const char *text, size_t size)
{
    size_t mask = self->slots_size - 1;
    size_t slot = hash(text, size) & mask;
    for (; self->slots[slot]; slot = (slot + 1) & mask) {
        const llm_vocab_entry_t *entry = &self->entries[self->slots[slot] - 1];
        if (entry->length == size &&
            (size == 0 || memcmp(self->texts.data + entry->offset, text, size) == 0))
            break;
    }
    return slot;
}

static int rehash(llm_vocab_t *self, fmq_error_t *err)
{
    size_t wanted = self->slots_size ? 2 * self->slots_size : 256;
    uint32_t *slots = calloc(wanted, sizeof *slots);
    if (!slots)
        return llm_text_nomem(err);
    free(self->slots);
    self->slots = slots;
    self->slots_size = wanted;
    for (size_t id = 0; id < self->size; id++) {
        const llm_vocab_entry_t *entry = &self->entries[id];
        if (entry->length != NO_TOKEN)
            slots[slot_of(self, self->texts.data + entry->offset, entry->length)] =
                (uint32_t)id + 1;
    }
    return 0;
}

/* Makes entries reach up to id. */
static int reach(llm_vocab_t *self, size_t id, fmq_error_t *err)
{
    while (self->size <= id) {
        llm_vocab_entry_t *grown =
            llm_text_grow(self->entries, self->size, &self->capacity, sizeof *grown, err);
        if (!grown)
            return -1;
        self->entries = grown;
        self->entries[self->size++] = (llm_vocab_entry_t){0, NO_TOKEN};
    }
    return 0;
}

int llm_vocab_add(llm_vocab_t *self, const char *text, size_t size, uint64_t id, fmq_error_t *err)
{
    int shown = size > 100 ? 100 : (int)size;
    if (id >= LLM_VOCAB_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "token '%.*s' has id %llu, beyond %d", shown, text,
                             (unsigned long long)id, LLM_VOCAB_MAX - 1);
    if (self->texts.size + size >= NO_TOKEN)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "the vocabulary's texts are too long");
    if (2 * (self->used + 1) > self->slots_size && rehash(self, err) < 0)
        return -1;
    size_t slot = slot_of(self, text, size);
    if (self->slots[slot])
        return fmq_error_set(err, FMQ_ERR_FORMAT, "token '%.*s' has both id %u and id %llu", shown,
                             text, self->slots[slot] - 1, (unsigned long long)id);
    if (reach(self, (size_t)id, err) < 0)
        return -1;
    llm_vocab_entry_t *entry = &self->entries[id];
    if (entry->length != NO_TOKEN)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "id %llu is both token '%.*s' and token '%.*s'",
                             (unsigned long long)id, entry->length > 100 ? 100 : (int)entry->length,
                             self->texts.data + entry->offset, shown, text);
    uint32_t offset = (uint32_t)self->texts.size;
    if (llm_text_append(&self->texts, text, size, err) < 0)
        return -1;
    *entry = (llm_vocab_entry_t){offset, (uint32_t)size};
    self->slots[slot] = (uint32_t)id + 1;
    self->used++;
    return 0;
}

int32_t llm_vocab_find(const llm_vocab_t *self, const char *text, size_t size)
{
    return self->used ? (int32_t)self->slots[slot_of(self, text, size)] - 1 : -1;
}

const char *llm_vocab_text(const llm_vocab_t *self, int32_t id, size_t *size)
{
    if (id < 0 || (size_t)id >= self->size || self->entries[id].length == NO_TOKEN)
        return NULL;
    *size = self->entries[id].length;
    return *size ? self->texts.data + self->entries[id].offset : "";
}

void llm_vocab_release(llm_vocab_t *self)
{
    llm_text_release(&self->texts);
    free(self->entries);
    free(self->slots);
    *self = (llm_vocab_t){0};
}
