/*
 * pattern.h - what a tokenizer.json searches for: a literal or a regular
 * expression, and how a text is split at its matches.
 *
 * Private to the tokenizer.  Expressions are Oniguruma's in the file and PCRE2's
 * here (UTF and UCP); what the two read differently is rewritten or refused.
 * A compiled pattern is read-only and may be shared by threads.
 */
#ifndef FEDMQ_LLM_TOKENIZER_PATTERN_H
#define FEDMQ_LLM_TOKENIZER_PATTERN_H

#include "llm/tokenizer/text.h"

#define LLM_PATTERN_SIZE_MAX 16384 /* bytes of an expression */

typedef struct {
    char *literal; /* owned, when it is a literal */
    size_t literal_size;
    void *code; /* owned pcre2_code, when it is an expression */
} llm_pattern_t;

int llm_pattern_literal(llm_pattern_t *pattern, const char *text, size_t size, fmq_error_t *err);
/* Compiles Oniguruma's syntax. */
int llm_pattern_expression(llm_pattern_t *pattern, const char *text, size_t size, fmq_error_t *err);
void llm_pattern_release(llm_pattern_t *pattern);

/* Memory that a search needs, one for each caller; released with free_match. */
void *llm_pattern_match_new(fmq_error_t *err);
void llm_pattern_match_free(void *match);

/* A search through one text. */
typedef struct {
    const llm_pattern_t *pattern;
    void *match; /* borrowed */
    const char *text;
    size_t size;
    size_t from;       /* where the next search begins */
    size_t begin, end; /* of the match that was found */
} llm_search_t;

/* 1 and begin/end for the next match, 0 when there is none, -1 with err when
 * the expression takes too long. */
int llm_pattern_next(llm_search_t *search, fmq_error_t *err);

#endif
