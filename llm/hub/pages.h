/*
 * pages.h - giving back the memory behind a mapped file.
 *
 * Private to the engine.
 */
#ifndef FEDMQ_LLM_HUB_PAGES_H
#define FEDMQ_LLM_HUB_PAGES_H

#include <stddef.h>

/* Drops the pages that bytes at data lie on out of this process; data must be
 * in a read-only mapping of a file.  Who reads them again, now or later and in
 * any thread, gets them from the file: only time can be lost. */
void llm_pages_release(const void *data, size_t bytes);

#endif
