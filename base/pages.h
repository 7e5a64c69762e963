/*
 * pages.h - giving memory back to the system without giving up its addresses.
 */
#ifndef FEDMQ_BASE_PAGES_H
#define FEDMQ_BASE_PAGES_H

#include <stddef.h>

/* Drops the pages that bytes at data lie on out of this process; data must be
 * in a read-only mapping of a file.  Who reads them again, now or later and in
 * any thread, gets them from the file: only time can be lost. */
void fmq_pages_release(const void *data, size_t bytes);

/* Gives back the pages that lie wholly within bytes at data, memory of malloc()
 * or the like that is still the caller's: what is read there next is anybody's
 * guess, what is written there stays. */
void fmq_pages_forget(void *data, size_t bytes);

#endif
