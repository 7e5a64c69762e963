/*
 * text.h - a growing run of bytes, and UTF-8.
 *
 * Private to the tokenizer.
 */
#ifndef FEDMQ_LLM_TOKENIZER_TEXT_H
#define FEDMQ_LLM_TOKENIZER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/error.h"

typedef struct {
    char *data; /* owned */
    size_t size, capacity;
} llm_text_t;

/* Bytes of someone else's. */
typedef struct {
    const char *data; /* borrowed */
    size_t size;
} llm_slice_t;

int llm_text_append(llm_text_t *text, const char *data, size_t size, fmq_error_t *err);
/* Appends a NUL that size does not count. */
int llm_text_terminate(llm_text_t *text, fmq_error_t *err);
void llm_text_release(llm_text_t *text);

/* Sets err to FMQ_ERR_NOMEM; returns -1. */
int llm_text_nomem(fmq_error_t *err);

/* Makes room for one more element of an array of *capacity elements of size
 * bytes; returns the array, which may have moved, or NULL with the old one
 * still there. */
void *llm_text_grow(void *array, size_t used, size_t *capacity, size_t size, fmq_error_t *err);

bool llm_utf8_valid(const char *data, size_t size);
/* Appends data with every maximal invalid part replaced by U+FFFD, as Python's
 * errors="replace" and Rust's from_utf8_lossy do. */
int llm_utf8_repair(llm_text_t *text, const char *data, size_t size, fmq_error_t *err);
/* Whether a code point is White_Space, as Rust's and Oniguruma's \s. */
bool llm_utf8_is_space(uint32_t point);
/* Bytes of the character that begins here; the text must be valid. */
size_t llm_utf8_length(const char *at);
/* Its code point. */
uint32_t llm_utf8_decode(const char *at);
/* Writes a code point below 0x800 and returns its bytes. */
size_t llm_utf8_encode(uint32_t point, char out[2]);

#endif
