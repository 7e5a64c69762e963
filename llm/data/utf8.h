/*
 * utf8.h - telling valid UTF-8 from the rest.  Knows nothing of characters'
 * meaning.
 */
#ifndef FEDMQ_LLM_DATA_UTF8_H
#define FEDMQ_LLM_DATA_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Looks at the first bytes of text (size > 0): *valid says whether they are
 * one character; returns its length, or the length of the maximal invalid
 * piece that one U+FFFD stands for (Unicode 15, 3.9, as Python has it). */
size_t llm_utf8_step(const char *text, size_t size, bool *valid);

/* Bytes that text takes after every invalid piece has become U+FFFD; writes
 * them to out unless it is NULL. */
size_t llm_utf8_mend(const char *text, size_t size, char *out);

#endif
