/*
 * added.h - tokens that are found in the text before anything else happens to
 * it: the added and special tokens.
 *
 * Private to the tokenizer.  Does what HF tokenizers' AddedVocabulary does:
 * leftmost, longest first, first in the raw text and then, for tokens that are
 * "normalized", in the normalized text.
 */
#ifndef FEDMQ_LLM_TOKENIZER_ADDED_H
#define FEDMQ_LLM_TOKENIZER_ADDED_H

#include "llm/tokenizer/pieces.h"
#include "llm/tokenizer/vocab.h"

#define LLM_ADDED_MAX 65536

typedef struct {
    llm_text_t content; /* owned: what is searched for */
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} llm_added_token_t;

/* Those of one pass, by first byte and then from long to short. */
typedef struct {
    uint32_t *order; /* owned: indices of tokens */
    size_t first[257];
} llm_added_pass_t;

typedef struct {
    llm_added_token_t *tokens; /* owned */
    size_t size, capacity;
    llm_vocab_t vocab; /* ids and texts as given */
    llm_added_pass_t raw, normalized;
    llm_pattern_t word; /* one character of a word */
    bool *special;      /* owned: by id, vocab.size of them */
} llm_added_t;

/* Adds a token whose flags are given; content is copied. */
int llm_added_add(llm_added_t *self, const llm_added_token_t *flags, const char *content,
                  size_t size, fmq_error_t *err);
/* Normalizes the contents and orders the tokens; nothing can be added after. */
int llm_added_finish(llm_added_t *self, const llm_steps_t *normalizer, fmq_error_t *err);
void llm_added_release(llm_added_t *self);

bool llm_added_is_special(const llm_added_t *self, int32_t id);

/* A part of the text: a token, or what lies between (id -1). */
typedef struct {
    size_t begin, end;
    int32_t id;
} llm_part_t;

typedef struct {
    llm_part_t *parts; /* owned */
    size_t size, capacity;
} llm_parts_t;

/* Fills parts with all of a valid text, in order, without empty ones. */
int llm_added_split(const llm_added_t *self, const llm_added_pass_t *pass, llm_slice_t text,
                    llm_parts_t *parts, fmq_error_t *err);

#endif
