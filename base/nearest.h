/*
 * nearest.h - the word that a misspelt one may mean.
 *
 * Pure functions over short words; what is longer than they look at is like
 * nothing.
 */
#ifndef FEDMQ_BASE_NEAREST_H
#define FEDMQ_BASE_NEAREST_H

#include <stddef.h>

#define FMQ_NEAREST_MAX 256 /* bytes of a word with the final NUL */

/* Levenshtein's distance without regard to case.  b ends at b_length, which is
 * less than FMQ_NEAREST_MAX. */
size_t fmq_nearest_distance(const char *a, const char *b, size_t b_length);

/* Of "a|b|c" the word most like the given one, written into out; an empty text
 * when none is near. */
void fmq_nearest_choice(const char *choices, const char *word, char out[FMQ_NEAREST_MAX]);

#endif
