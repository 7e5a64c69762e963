/*
 * json.c - a part of a config as JSON, for readers of other people's arguments.
 */
#include <jansson.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/scalar.h"

static json_t *json_of_scalar(const fmq_node_t *node)
{
    bool truth = false;
    int64_t whole = 0;
    double real = 0;
    fmq_scalar_kind_t kind = node->quoted ? FMQ_SCALAR_TEXT : fmq_scalar_kind(node->text);
    if (kind == FMQ_SCALAR_NULL)
        return json_null();
    if (kind == FMQ_SCALAR_BOOL && fmq_scalar_bool(node->text, &truth) == 0)
        return json_boolean(truth);
    if (kind == FMQ_SCALAR_INT && fmq_scalar_int(node->text, &whole) == 0)
        return json_integer(whole);
    if (kind != FMQ_SCALAR_TEXT && fmq_scalar_real(node->text, &real) == 0)
        return json_real(real);
    return json_string(node->text);
}

static bool is_in(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* NULL: out of memory, or a text that is not UTF-8, or a number that is not finite. */
static json_t *json_of(const fmq_node_t *node)
{
    if (node->kind == FMQ_NODE_SCALAR)
        return json_of_scalar(node);
    bool map = node->kind == FMQ_NODE_MAP;
    json_t *all = map ? json_object() : json_array();
    for (size_t i = 0; all && i < node->size; i++) {
        json_t *one = json_of(node->items[i]);
        int rc = map ? json_object_set_new(all, node->items[i]->name, one)
                     : json_array_append_new(all, one);
        if (rc < 0) {
            json_decref(all);
            all = NULL;
        }
    }
    return all;
}

char *fmq_config_json(const fmq_config_t *self, const char *key, const char *const *without,
                      fmq_error_t *err)
{
    const char *name;
    void *next;
    json_t *item;
    const fmq_node_t *node = fmq_node_find(self->root, key);
    if (!node) {
        fmq_error_set(err, FMQ_ERR_CONFIG, "'%s' is not given", key);
        return NULL;
    }
    json_t *value = json_of(node);
    json_object_foreach_safe(value, next, name, item)
    {
        if (is_in(without, name))
            (void)json_object_del(value, name);
    }
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    if (!text)
        fmq_error_set(err, FMQ_ERR_CONFIG,
                      "%s: '%s' has a text that is not UTF-8 or a number that is not finite, or "
                      "there is no memory for it",
                      fmq_config_origin(self, key), key);
    return text;
}
