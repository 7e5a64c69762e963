/*
 * messages_page.h - a message as docs/runs.md shows it: heading, what it is for,
 * and the table of its keys.
 */
#ifndef FEDMQ_TESTS_ACTORS_MESSAGES_PAGE_H
#define FEDMQ_TESTS_ACTORS_MESSAGES_PAGE_H

#include "actors/protocol/tables.h"

/* The page with the section of every message written anew from its table; what else a
 * section says stays behind its table.  A message that the page does not know gets its
 * section behind the last one.  The caller's to free; NULL: no memory. */
char *messages_page(const char *page);

#endif
