/*
 * vocab.h - token texts and their ids, both ways.
 *
 * Private to the tokenizer.  Ids may have holes; texts may hold any bytes.
 */
#ifndef FEDMQ_LLM_TOKENIZER_VOCAB_H
#define FEDMQ_LLM_TOKENIZER_VOCAB_H

#include "llm/tokenizer/text.h"

typedef struct {
    uint32_t offset, length; /* in the texts; length UINT32_MAX: no such token */
} llm_vocab_entry_t;

typedef struct {
    llm_text_t texts;
    llm_vocab_entry_t *entries; /* owned, by id */
    size_t size, capacity;      /* size: highest id + 1 */
    uint32_t *slots;            /* owned: ids + 1 by hash, 0 = free */
    size_t slots_size, used;
} llm_vocab_t;

/* Adds a token.  FMQ_ERR_FORMAT when the text or the id is taken already,
 * FMQ_ERR_LIMIT for ids from LLM_VOCAB_MAX on. */
int llm_vocab_add(llm_vocab_t *self, const char *text, size_t size, uint64_t id, fmq_error_t *err);
/* The id of a text, or -1. */
int32_t llm_vocab_find(const llm_vocab_t *self, const char *text, size_t size);
/* The text of an id (borrowed, not terminated), or NULL. */
const char *llm_vocab_text(const llm_vocab_t *self, int32_t id, size_t *size);
void llm_vocab_release(llm_vocab_t *self);

#endif
