/*
 * unicode.h - normalizers that go by what Unicode says of characters.
 *
 * Private to the tokenizer.  Properties and forms are libutf8proc's, which knows a
 * newer Unicode than HF tokenizers: characters that came later than its tables differ.
 */
#ifndef FEDMQ_LLM_TOKENIZER_UNICODE_H
#define FEDMQ_LLM_TOKENIZER_UNICODE_H

#include "llm/tokenizer/text.h"

typedef enum {
    LLM_UNICODE_FORM,         /* a normal form */
    LLM_UNICODE_LOWER,        /* lower case, a character at a time */
    LLM_UNICODE_DROP_MARKS,   /* without marks of all kinds */
    LLM_UNICODE_DROP_ACCENTS, /* without those that take no room */
    LLM_UNICODE_STRIP,        /* without white space at the ends */
    LLM_UNICODE_CLEAN,        /* BERT: without controls, and white space is a space */
    LLM_UNICODE_IDEOGRAPHS    /* BERT: spaces around CJK ideographs */
} llm_unicode_kind_t;

typedef enum { LLM_NFC, LLM_NFD, LLM_NFKC, LLM_NFKD } llm_form_t;

typedef struct {
    llm_unicode_kind_t kind;
    llm_form_t form;  /* of FORM */
    bool left, right; /* STRIP: of which ends */
} llm_unicode_t;

/* Appends what it makes of a valid text. */
int llm_unicode_append(llm_text_t *out, const llm_unicode_t *how, llm_slice_t text,
                       fmq_error_t *err);

#endif
