/*
 * oniguruma.h - expressions of a tokenizer.json, in PCRE2's syntax.
 *
 * Private to the tokenizer.  HF tokenizers compile them with Oniguruma (Ruby's
 * syntax).  Most of it means the same to PCRE2; what does not is rewritten or
 * refused.  Both sides' properties are of the Unicode version they were built
 * with, so characters that are newer than PCRE2's tables may be classed
 * differently.
 */
#ifndef FEDMQ_LLM_TOKENIZER_ONIGURUMA_H
#define FEDMQ_LLM_TOKENIZER_ONIGURUMA_H

#include "llm/tokenizer/text.h"

/* \w of the Rust crate regex, to be written within a class. */
#define LLM_RUST_WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}"

/* Appends the expression in PCRE2's syntax (for UTF, UCP and multi-line mode),
 * NUL-terminated.  FMQ_ERR_UNSUPPORTED names what cannot be rewritten. */
int llm_oniguruma_rewrite(llm_slice_t expression, llm_text_t *out, fmq_error_t *err);

#endif
