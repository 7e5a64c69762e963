/*
 * kind.h - what a file is that is not the text it should be, by its first bytes.
 *
 * For messages only: nothing is read because of it.
 */
#ifndef FEDMQ_LLM_HUB_KIND_H
#define FEDMQ_LLM_HUB_KIND_H

#include <stddef.h>

#define LLM_KIND_HEAD_BYTES 512 /* as many of a file's first bytes as are looked at */

/* What the file is and what to do, to follow "it is "; NULL when its first
 * bytes could be those of UTF-8 text. */
const char *llm_kind_of_binary(const void *head, size_t size);

/* The same for texts that stand in another one's place: a web page, a pointer
 * of Git LFS, a table.  NULL for JSON and for what is not known. */
const char *llm_kind_of_text(const void *head, size_t size);

/* Bytes of UTF-8's byte order mark at the beginning: 3 or 0. */
size_t llm_kind_mark(const void *head, size_t size);

#endif
