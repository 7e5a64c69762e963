/*
 * values.c - what a config says.  Asking for a key that is not declared, or
 * for another type than its own, is a mistake of the caller and aborts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/config/config_private.h"
#include "base/config/scalar.h"

static _Noreturn void misuse(const char *key, const char *what)
{
    (void)fprintf(stderr, "fedmq: a mistake in the program: configuration key '%s' %s\n", key,
                  what);
    abort();
}

static const fmq_node_t *demand(const fmq_config_t *self, const char *key, fmq_key_type_t type)
{
    const fmq_node_t *node = fmq_node_find(self->root, key);
    if (!node)
        misuse(key, "does not exist");
    if (node->kind != FMQ_NODE_SCALAR || (node->key && node->key->type != type))
        misuse(key, "has another type");
    return node;
}

bool fmq_config_bool(const fmq_config_t *self, const char *key)
{
    bool value = false;
    if (fmq_scalar_bool(demand(self, key, FMQ_KEY_BOOL)->text, &value) < 0)
        misuse(key, "is no truth value");
    return value;
}

int64_t fmq_config_int(const fmq_config_t *self, const char *key)
{
    int64_t value = 0;
    if (fmq_scalar_int(demand(self, key, FMQ_KEY_INT)->text, &value) < 0)
        misuse(key, "is no whole number");
    return value;
}

double fmq_config_real(const fmq_config_t *self, const char *key)
{
    double value = 0;
    if (fmq_scalar_real(demand(self, key, FMQ_KEY_REAL)->text, &value) < 0)
        misuse(key, "is no number");
    return value;
}

const char *fmq_config_text(const fmq_config_t *self, const char *key)
{
    return demand(self, key, FMQ_KEY_TEXT)->text;
}

bool fmq_config_given(const fmq_config_t *self, const char *key)
{
    const fmq_node_t *node = fmq_node_find(self->root, key);
    return node && fmq_node_is_given(node);
}

size_t fmq_config_size(const fmq_config_t *self, const char *key)
{
    const fmq_node_t *node = fmq_node_find(self->root, key);
    return node ? node->size : 0;
}

const char *fmq_config_child(const fmq_config_t *self, const char *key, size_t i)
{
    const fmq_node_t *node = fmq_node_find(self->root, key);
    return node && i < node->size ? node->items[i]->name : NULL;
}

const char *fmq_config_origin(const fmq_config_t *self, const char *key)
{
    const fmq_node_t *node = fmq_node_find(self->root, key);
    return node && node->origin ? node->origin : "default";
}

/* The scalar at key, or NULL with err set. */
static const fmq_node_t *scalar_at(const fmq_config_t *self, const char *key, fmq_error_t *err)
{
    const fmq_node_t *node = fmq_node_find(self->root, key);
    if (!node)
        (void)fmq_error_set(err, FMQ_ERR_CONFIG, "key '%s' is not given", key);
    else if (node->kind != FMQ_NODE_SCALAR)
        (void)fmq_error_set(err, FMQ_ERR_CONFIG, "%s: %s: a single value is expected",
                            fmq_config_origin(self, key), key);
    else
        return node;
    return NULL;
}

static int other_type(const fmq_config_t *self, const char *key, const fmq_node_t *node,
                      const char *expected, fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: %s: '%.80s' is not %s",
                         fmq_config_origin(self, key), key, node->text, expected);
}

int fmq_config_get_int(const fmq_config_t *self, const char *key, int64_t *out, fmq_error_t *err)
{
    const fmq_node_t *node = scalar_at(self, key, err);
    if (!node)
        return -1;
    return fmq_scalar_int(node->text, out) < 0 ? other_type(self, key, node, "a whole number", err)
                                               : 0;
}

int fmq_config_get_real(const fmq_config_t *self, const char *key, double *out, fmq_error_t *err)
{
    const fmq_node_t *node = scalar_at(self, key, err);
    if (!node)
        return -1;
    return fmq_scalar_real(node->text, out) < 0 ? other_type(self, key, node, "a number", err) : 0;
}

int fmq_config_get_bool(const fmq_config_t *self, const char *key, bool *out, fmq_error_t *err)
{
    const fmq_node_t *node = scalar_at(self, key, err);
    if (!node)
        return -1;
    return fmq_scalar_bool(node->text, out) < 0 ? other_type(self, key, node, "True or False", err)
                                                : 0;
}

int fmq_config_get_text(const fmq_config_t *self, const char *key, const char **out,
                        fmq_error_t *err)
{
    const fmq_node_t *node = scalar_at(self, key, err);
    if (!node)
        return -1;
    fmq_scalar_kind_t kind = node->quoted ? FMQ_SCALAR_TEXT : fmq_scalar_kind(node->text);
    if (kind != FMQ_SCALAR_TEXT && kind != FMQ_SCALAR_NULL)
        return other_type(self, key, node, "a text", err);
    *out = kind == FMQ_SCALAR_NULL ? "" : node->text;
    return 0;
}
