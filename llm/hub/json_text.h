/*
 * json_text.h - one JSON text (RFC 8259) into values, exactly by the grammar.
 *
 * Values are jansson's, but the reading is our own: its parser takes no NUL in
 * a key, ends at a NUL behind a number, forgets how a number was written, and
 * says what is wrong in words of its own.  Every valid text is taken and every
 * invalid one refused, with these limits: LLM_JSON_DEPTH_MAX brackets within
 * each other, numbers within a double's range unless they are kept as text, and
 * escapes that name half of a surrogate pair (which name no character) only
 * where they are mended.  A byte order mark is not part of a text: skip it.
 */
#ifndef FEDMQ_LLM_HUB_JSON_TEXT_H
#define FEDMQ_LLM_HUB_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LLM_JSON_DEPTH_MAX 512 /* arrays and objects within each other */

/* Ways to read, joined by |. */
enum {
    LLM_JSON_NUMBERS_AS_TEXT = 1, /* a number becomes a string of its source text, else a real */
    LLM_JSON_UNIQUE_KEYS = 2,     /* a repeated key is refused; else the last one counts */
    LLM_JSON_MEND = 4             /* half a surrogate pair becomes U+FFFD, else it is refused */
};

/* What is wrong with a text. */
typedef struct {
    bool no_memory;
    bool ends_early;       /* nothing is wrong but that more must follow */
    uint64_t line, column; /* both from 1; a column is a character */
    char text[192];
} llm_json_flaw_t;

/* The value, the caller's reference, or NULL with *flaw. */
json_t *llm_json_read(const char *text, size_t size, unsigned how, llm_json_flaw_t *flaw);

#endif
