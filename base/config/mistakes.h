/*
 * mistakes.h - a list of messages that are shown together at the end.
 */
#ifndef FEDMQ_BASE_CONFIG_MISTAKES_H
#define FEDMQ_BASE_CONFIG_MISTAKES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "fedmq/base/config.h"

typedef struct {
    size_t name_length; /* of the file's name within the text */
    unsigned long line, column;
    size_t said; /* where in the text the message begins, behind its origin */
} fmq_mistake_place_t;

typedef struct {
    char *texts[FMQ_CONFIG_MISTAKES_MAX]; /* owned */
    fmq_mistake_place_t places[FMQ_CONFIG_MISTAKES_MAX];
    size_t kept;
    size_t count;   /* of all, also those that were not kept */
    bool no_memory; /* for one of them, or for what was read: no mistake of the file's */
} fmq_mistakes_t;

/* Adds "origin: <formatted>", control characters blanked. */
void fmq_mistakes_add(fmq_mistakes_t *self, const char *origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void fmq_mistakes_copy(fmq_mistakes_t *self, const fmq_mistakes_t *from);
/* Orders them by place within each source; sources stay in their order. */
void fmq_mistakes_sort(fmq_mistakes_t *self);
void fmq_mistakes_print(const fmq_mistakes_t *self, FILE *out);
/* True when a message is about that key, a group above it, or something below. */
bool fmq_mistakes_about(const fmq_mistakes_t *self, const char *key);
/* Writes "'FILE'" into out when all that were kept are of one file, else "the
 * configuration". */
void fmq_mistakes_where(const fmq_mistakes_t *self, char *out, size_t size);
/* The first text that was kept after the first `from` of all, or NULL. */
const char *fmq_mistakes_first(const fmq_mistakes_t *self, size_t from);
void fmq_mistakes_release(fmq_mistakes_t *self);

#endif
