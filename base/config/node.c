/*
 * node.c - builds, copies, compares and walks configuration trees.  Depth is
 * bounded by the readers, so recursion is safe here.
 */
#include "base/config/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/config/scalar.h"

fmq_node_t *fmq_node_new(fmq_node_kind_t kind, const char *name, const char *text)
{
    fmq_node_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->kind = kind;
    if ((name && fmq_node_set_name(self, name) < 0) || (text && fmq_node_set_text(self, text) < 0))
        fmq_node_destroy(&self);
    return self;
}

fmq_node_t *fmq_node_clone(const fmq_node_t *self)
{
    fmq_node_t *copy = fmq_node_new(self->kind, self->name, self->text);
    if (!copy)
        return NULL;
    copy->quoted = self->quoted;
    copy->given = self->given;
    copy->key = self->key;
    if (self->origin && !(copy->origin = strdup(self->origin)))
        goto fail;
    for (size_t i = 0; i < self->size; i++) {
        fmq_node_t *item = fmq_node_clone(self->items[i]);
        if (!item || fmq_node_append(copy, &item) < 0) {
            fmq_node_destroy(&item);
            goto fail;
        }
    }
    return copy;
fail:
    fmq_node_destroy(&copy);
    return NULL;
}

void fmq_node_destroy(fmq_node_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    fmq_node_t *self = *self_p;
    for (size_t i = 0; i < self->size; i++)
        fmq_node_destroy(&self->items[i]);
    free(self->items);
    free(self->name);
    free(self->text);
    free(self->origin);
    free(self);
    *self_p = NULL;
}

static int set(char **field, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return -1;
    free(*field);
    *field = copy;
    return 0;
}

int fmq_node_set_name(fmq_node_t *self, const char *name)
{
    return set(&self->name, name);
}

int fmq_node_set_text(fmq_node_t *self, const char *text)
{
    return set(&self->text, text);
}

int fmq_node_move(fmq_node_t *self, const char *origin)
{
    return set(&self->origin, origin);
}

int fmq_node_set_origin(fmq_node_t *self, const char *origin)
{
    if (set(&self->origin, origin) < 0)
        return -1;
    self->given = true;
    for (size_t i = 0; i < self->size; i++)
        if (fmq_node_set_origin(self->items[i], origin) < 0)
            return -1;
    return 0;
}

int fmq_node_append(fmq_node_t *self, fmq_node_t **child_p)
{
    if (self->size == self->capacity) {
        size_t capacity = self->capacity ? 2 * self->capacity : 4;
        fmq_node_t **items = realloc(self->items, capacity * sizeof(*items));
        if (!items)
            return -1;
        self->items = items;
        self->capacity = capacity;
    }
    self->items[self->size++] = *child_p;
    *child_p = NULL;
    return 0;
}

fmq_node_t *fmq_node_take(fmq_node_t *self, size_t i)
{
    fmq_node_t *item = self->items[i];
    memmove(&self->items[i], &self->items[i + 1], (self->size - i - 1) * sizeof(*self->items));
    self->size--;
    return item;
}

void fmq_node_become(fmq_node_t *self, fmq_node_t **from_p)
{
    fmq_node_t *from = *from_p;
    fmq_node_t before = *self;
    *self = *from;
    self->name = before.name;
    self->key = before.key;
    before.name = from->name;
    *from = before;
    fmq_node_destroy(from_p);
}

fmq_node_t *fmq_node_child(const fmq_node_t *self, const char *name)
{
    if (self->kind == FMQ_NODE_MAP)
        for (size_t i = 0; i < self->size; i++)
            if (strcmp(self->items[i]->name, name) == 0)
                return self->items[i];
    return NULL;
}

static fmq_node_t *find_in_list(const fmq_node_t *self, const char *path)
{
    char *end;
    if (*path < '0' || *path > '9')
        return NULL;
    unsigned long i = strtoul(path, &end, 10);
    if (i >= self->size || (*end && *end != '.'))
        return NULL;
    return *end ? fmq_node_find(self->items[i], end + 1) : self->items[i];
}

/* A name in an open node may hold dots itself, so every child that path starts
 * with is tried. */
fmq_node_t *fmq_node_find(const fmq_node_t *self, const char *path)
{
    if (self->kind == FMQ_NODE_LIST)
        return find_in_list(self, path);
    if (self->kind != FMQ_NODE_MAP)
        return NULL;
    for (size_t i = 0; i < self->size; i++) {
        fmq_node_t *child = self->items[i];
        size_t length = strlen(child->name);
        if (strncmp(child->name, path, length) != 0)
            continue;
        if (!path[length])
            return child;
        fmq_node_t *found = path[length] == '.' ? fmq_node_find(child, path + length + 1) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

bool fmq_node_is_given(const fmq_node_t *self)
{
    if (self->given)
        return true;
    for (size_t i = 0; i < self->size; i++)
        if (fmq_node_is_given(self->items[i]))
            return true;
    return false;
}

static bool scalars_equal(const fmq_node_t *a, const fmq_node_t *b)
{
    double x, y;
    bool p, q;
    if (strcmp(a->text, b->text) == 0)
        return true;
    if (fmq_scalar_real(a->text, &x) == 0 && fmq_scalar_real(b->text, &y) == 0)
        return x == y;
    if (fmq_scalar_bool(a->text, &p) == 0 && fmq_scalar_bool(b->text, &q) == 0)
        return p == q;
    return false;
}

bool fmq_node_equal(const fmq_node_t *a, const fmq_node_t *b)
{
    if (a->kind != b->kind || a->size != b->size)
        return false;
    if (a->kind == FMQ_NODE_SCALAR)
        return scalars_equal(a, b);
    for (size_t i = 0; i < a->size; i++) {
        const fmq_node_t *other =
            a->kind == FMQ_NODE_MAP ? fmq_node_child(b, a->items[i]->name) : b->items[i];
        if (!other || !fmq_node_equal(a->items[i], other))
            return false;
    }
    return true;
}
