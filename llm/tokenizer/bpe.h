/*
 * bpe.h - byte-pair encoding of one piece of text.
 *
 * Private to the tokenizer.  Does what HF tokenizers' models/bpe does (Sennrich
 * et al. 2016, with byte fallback and unknown tokens); takes n log n for n
 * characters, however long the piece is.
 */
#ifndef FEDMQ_LLM_TOKENIZER_BPE_H
#define FEDMQ_LLM_TOKENIZER_BPE_H

#include "fedmq/llm/tokenizer.h"
#include "llm/tokenizer/vocab.h"

#define LLM_BPE_DIRECT 0x180 /* characters whose tokens are found without hashing */

typedef struct {
    uint64_t pair; /* left id << 32 | right id, UINT64_MAX = free */
    uint32_t rank;
    uint32_t result;
} llm_merge_t;

typedef struct {
    llm_vocab_t vocab;
    llm_merge_t *merges; /* owned: open addressing */
    size_t merges_size;  /* slots, a power of two */
    size_t merges_used;
    int32_t direct[LLM_BPE_DIRECT];
    int32_t bytes[256]; /* ids of <0x00> ... <0xFF>, -1 where missing */
    int32_t unknown;    /* id, or -1 */
    bool byte_fallback, fuse_unknown, ignore_merges;
} llm_bpe_t;

/* Buffers of one caller, reused from piece to piece. */
typedef struct {
    struct llm_symbol *symbols; /* owned */
    size_t symbols_size, symbols_capacity;
    struct llm_candidate *heap; /* owned */
    size_t heap_size, heap_capacity;
} llm_bpe_work_t;

/* Adds the merge of the tokens left and right, both in the vocabulary, as is
 * their concatenation; else FMQ_ERR_FORMAT naming what is missing. */
int llm_bpe_add_merge(llm_bpe_t *self, llm_slice_t left, llm_slice_t right, uint32_t rank,
                      fmq_error_t *err);
/* Fills the tables that need the whole vocabulary. */
void llm_bpe_finish(llm_bpe_t *self);
void llm_bpe_release(llm_bpe_t *self);

/* Appends the ids of size bytes of valid UTF-8. */
int llm_bpe_encode(const llm_bpe_t *self, llm_bpe_work_t *work, llm_slice_t text, llm_ids_t *ids,
                   fmq_error_t *err);
void llm_bpe_work_release(llm_bpe_work_t *work);

#endif
