/*
 * node.h - the tree that a configuration is held in while it is read, merged
 * and asked: scalars as they were written, lists, maps.  A tree belongs to
 * one thread and owns all its texts.
 */
#ifndef FEDMQ_BASE_CONFIG_NODE_H
#define FEDMQ_BASE_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "fedmq/base/config.h"

typedef enum { FMQ_NODE_SCALAR, FMQ_NODE_LIST, FMQ_NODE_MAP } fmq_node_kind_t;

typedef struct fmq_node {
    fmq_node_kind_t kind;
    bool quoted;          /* a scalar that was in quotes: a text, whatever it looks like */
    bool given;           /* by a file or a pair; else it is a default */
    char *name;           /* owned; NULL for the root and for items of a list */
    char *text;           /* owned; of a scalar */
    char *origin;         /* owned; "file:line:column", NULL for a default */
    const fmq_key_t *key; /* when declared */
    struct fmq_node **items;
    size_t size, capacity;
} fmq_node_t;

/* name and text are copied and may be NULL.  NULL: out of memory. */
fmq_node_t *fmq_node_new(fmq_node_kind_t kind, const char *name, const char *text);
fmq_node_t *fmq_node_clone(const fmq_node_t *self);
void fmq_node_destroy(fmq_node_t **self_p);

int fmq_node_set_name(fmq_node_t *self, const char *name);
int fmq_node_set_text(fmq_node_t *self, const char *text);
/* Sets the origin of this node alone. */
int fmq_node_move(fmq_node_t *self, const char *origin);
/* Sets the origin of a whole tree and marks it as given. */
int fmq_node_set_origin(fmq_node_t *self, const char *origin);

/* Takes *child_p as the last item.  -1: out of memory, *child_p is kept. */
int fmq_node_append(fmq_node_t *self, fmq_node_t **child_p);
/* Takes item i out of self and gives it to the caller. */
fmq_node_t *fmq_node_take(fmq_node_t *self, size_t i);
/* Moves what *from_p holds into self's place, keeping self's name and key. */
void fmq_node_become(fmq_node_t *self, fmq_node_t **from_p);

/* The child of a map by name, or NULL. */
fmq_node_t *fmq_node_child(const fmq_node_t *self, const char *name);
/* The node at a dotted path; list items by index.  NULL: none. */
fmq_node_t *fmq_node_find(const fmq_node_t *self, const char *path);
/* True when self or anything below was given. */
bool fmq_node_is_given(const fmq_node_t *self);
/* True when both hold the same values (1.0 equals 1, 'x' equals x). */
bool fmq_node_equal(const fmq_node_t *a, const fmq_node_t *b);

#endif
