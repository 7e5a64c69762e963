/*
 * nearest.c - Levenshtein's distance, and the nearest of some words.
 */
#include "base/nearest.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ASKED_MAX 80 /* longer words are not worth the search */

static size_t least_of(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* One row of the table at a time. */
size_t fmq_nearest_distance(const char *a, const char *b, size_t b_length)
{
    size_t row[FMQ_NEAREST_MAX];
    for (size_t k = 0; k <= b_length; k++)
        row[k] = k;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t k = 1; k <= b_length; k++) {
            size_t above = row[k];
            bool same = (a[i] | 0x20) == (b[k - 1] | 0x20);
            row[k] = least_of(above + 1, row[k - 1] + 1, diagonal + !same);
            diagonal = above;
        }
    }
    return row[b_length];
}

void fmq_nearest_choice(const char *choices, const char *word, char out[FMQ_NEAREST_MAX])
{
    size_t best = strlen(word) / 3 + 1;
    out[0] = '\0';
    for (const char *at = choices; strlen(word) <= ASKED_MAX;) {
        size_t length = strcspn(at, "|");
        size_t far = length < FMQ_NEAREST_MAX ? fmq_nearest_distance(word, at, length) : SIZE_MAX;
        if (length && far <= best) {
            best = far ? far - 1 : 0;
            (void)snprintf(out, FMQ_NEAREST_MAX, "%.*s", (int)length, at);
        }
        if (!at[length])
            return;
        at += length + 1;
    }
}
