/*
 * bell.h - a descriptor that is readable while it rings: how a thread tells
 * another, which polls, that something waits for it.
 */
#ifndef FEDMQ_BASE_BELL_H
#define FEDMQ_BASE_BELL_H

/* -1 with errno when no file can be opened; close() ends it. */
int fmq_bell_open(void);
/* Any thread; one that rings already goes on, and one that does not is silent. */
void fmq_bell_ring(int bell);
void fmq_bell_silence(int bell);

#endif
