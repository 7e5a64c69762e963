/*
 * decoder.h - from the texts of tokens to the text they stand for.
 *
 * Private to the tokenizer.  Does what HF tokenizers' decoders do: a chain in
 * which each turns a list of texts into another; the last list is joined.
 */
#ifndef FEDMQ_LLM_TOKENIZER_DECODER_H
#define FEDMQ_LLM_TOKENIZER_DECODER_H

#include "llm/tokenizer/pieces.h"

typedef enum {
    LLM_DECODER_REPLACE,
    LLM_DECODER_BYTE_FALLBACK, /* "<0x41>" */
    LLM_DECODER_FUSE,
    LLM_DECODER_STRIP,
    LLM_DECODER_METASPACE,
    LLM_DECODER_BYTE_LEVEL
} llm_decoder_kind_t;

typedef struct {
    llm_decoder_kind_t kind;
    llm_step_t replace; /* of replace */
    llm_text_t content; /* of strip and metaspace: one character */
    size_t start, stop; /* of strip: characters at most */
    bool keep_first;    /* of metaspace: no space was put before the text */
} llm_decoder_t;

typedef struct {
    llm_decoder_t *decoders; /* owned */
    size_t size, capacity;
} llm_decoders_t;

llm_decoder_t *llm_decoders_add(llm_decoders_t *list, llm_decoder_kind_t kind, fmq_error_t *err);
void llm_decoders_release(llm_decoders_t *list);

/* Applies the chain to the spans there are now, each a token. */
int llm_decoders_run(const llm_decoders_t *list, llm_pieces_t *pieces, fmq_error_t *err);

#endif
