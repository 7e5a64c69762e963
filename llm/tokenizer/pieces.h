/*
 * pieces.h - a text on its way to ids, or tokens on their way to text: a list
 * of spans over one buffer, and the steps that rewrite or split them.
 *
 * Private to the tokenizer.  The steps do what HF tokenizers' normalizers and
 * pre_tokenizers do; each of those is one step or a few.
 */
#ifndef FEDMQ_LLM_TOKENIZER_PIECES_H
#define FEDMQ_LLM_TOKENIZER_PIECES_H

#include "llm/tokenizer/pattern.h"
#include "llm/tokenizer/unicode.h"

typedef struct {
    size_t begin, end; /* in the buffer */
    bool first;        /* begins where the whole text begins */
} llm_span_t;

typedef struct {
    llm_span_t *spans; /* owned */
    size_t size, capacity;
    llm_text_t text;
} llm_spans_t;

typedef struct {
    llm_spans_t now;  /* what the last step left */
    llm_spans_t next; /* what a step is making */
    void *match;      /* owned: see llm_pattern_match_new() */
} llm_pieces_t;

int llm_pieces_init(llm_pieces_t *pieces, fmq_error_t *err);
void llm_pieces_release(llm_pieces_t *pieces);
/* Forgets all spans. */
void llm_pieces_clear(llm_pieces_t *pieces);
/* Appends a span with this text to what is there now. */
int llm_pieces_add(llm_pieces_t *pieces, const char *data, size_t size, bool first,
                   fmq_error_t *err);

/* Building the next list: begin, then for every span put its parts and close
 * it, then commit. */
void llm_pieces_begin(llm_pieces_t *pieces);
int llm_pieces_put(llm_pieces_t *pieces, const char *data, size_t size, fmq_error_t *err);
int llm_pieces_close(llm_pieces_t *pieces, bool first, fmq_error_t *err);
void llm_pieces_commit(llm_pieces_t *pieces);

typedef enum {
    LLM_STEP_REPLACE, /* matches become content */
    LLM_STEP_PREFIX,  /* content before a span */
    LLM_STEP_SPLIT,   /* spans end at matches */
    LLM_STEP_BYTES,   /* every byte becomes its character in GPT-2's alphabet */
    LLM_STEP_UNICODE  /* what unicode.h does */
} llm_step_kind_t;

typedef enum {
    LLM_SPLIT_ISOLATED,
    LLM_SPLIT_REMOVED,
    LLM_SPLIT_WITH_PREVIOUS,
    LLM_SPLIT_WITH_NEXT,
    LLM_SPLIT_CONTIGUOUS
} llm_split_t;

typedef struct {
    llm_step_kind_t kind;
    llm_pattern_t pattern; /* of replace and split */
    llm_text_t content;    /* of replace and prefix */
    llm_split_t split;
    bool invert;    /* split: what does not match is the delimiter */
    bool if_absent; /* prefix: unless the span begins with it */
    bool if_first;  /* prefix: only the first span of the text */
    llm_unicode_t unicode;
} llm_step_t;

typedef struct {
    llm_step_t *steps; /* owned */
    size_t size, capacity;
} llm_steps_t;

/* Appends a zeroed step of this kind, or NULL. */
llm_step_t *llm_steps_add(llm_steps_t *steps, llm_step_kind_t kind, fmq_error_t *err);
void llm_steps_release(llm_steps_t *steps);

/* Applies the steps to the spans there are now. */
int llm_steps_run(const llm_steps_t *steps, llm_pieces_t *pieces, fmq_error_t *err);
int llm_pieces_replace(llm_pieces_t *pieces, const llm_step_t *step, fmq_error_t *err);

/* GPT-2's alphabet: the code point that stands for a byte (below 0x180), and
 * the byte that a code point stands for, or -1. */
uint32_t llm_alphabet_point(unsigned char byte);
int llm_alphabet_byte(uint32_t point);

#endif
