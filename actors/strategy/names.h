/*
 * names.h - finding a row of a table by its name, and saying which there are.
 */
#ifndef FEDMQ_ACTORS_STRATEGY_NAMES_H
#define FEDMQ_ACTORS_STRATEGY_NAMES_H

#include <stddef.h>

#include "fedmq/base/error.h"

typedef struct {
    const char *what; /* a row is */
    const char *key;  /* of the configuration: it chooses one */
    /* The name of a row, and what it is; NULL behind the last. */
    const char *(*at)(size_t index, const char **help);
    int (*compare)(const char *a, const char *b); /* 0: the same name */
} fmq_names_t;

/* The index of the row; -1 with FMQ_ERR_UNSUPPORTED naming those that exist. */
int fmq_names_find(const fmq_names_t *self, const char *name, fmq_error_t *err);

#endif
