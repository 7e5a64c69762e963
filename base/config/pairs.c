/*
 * pairs.c - the KEY VALUE pairs of a command line, read by the key's type.
 */
#include <stdlib.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/merge.h"
#include "base/config/reader.h"

/* A value that is neither a literal nor a text: YAML flow, or a plain word. */
static fmq_node_t *flow_value(fmq_config_t *self, const char *origin, const char *text)
{
    fmq_mistakes_t mistakes = {.count = 0};
    fmq_node_t *node = NULL;
    if (!*text || !strchr("[{", *text))
        return fmq_node_new(FMQ_NODE_SCALAR, NULL, text);
    node = fmq_yaml_read("value", text, strlen(text), &mistakes);
    if (mistakes.count) {
        const char *first = fmq_mistakes_first(&mistakes, 0);
        fmq_mistakes_add(&self->mistakes, origin, "%s", first ? first : "out of memory");
        fmq_node_destroy(&node);
    }
    self->mistakes.no_memory |= mistakes.no_memory;
    fmq_mistakes_release(&mistakes);
    return node;
}

static fmq_node_t *pair_value(fmq_config_t *self, const char *origin, const fmq_key_t *key,
                              const char *text)
{
    fmq_node_t *node = NULL;
    bool is_text = key && key->type == FMQ_KEY_TEXT;
    if (!is_text || *text == '\'' || *text == '"')
        node = fmq_literal_read(text);
    if (!node && is_text) {
        node = fmq_node_new(FMQ_NODE_SCALAR, NULL, text);
        if (node) /* a shell user cannot quote 007; None still means no text */
            node->quoted = strcmp(text, "None") != 0;
    }
    if (!node)
        node = flow_value(self, origin, text);
    if (node && fmq_node_set_origin(node, origin) < 0)
        fmq_node_destroy(&node);
    return node;
}

/* The declared list that path leads into ("llm.adapter.args.0.r"): its length
 * within path, or 0. */
static size_t list_above(const char *path)
{
    char above[FMQ_KEY_PATH_MAX];
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        (void)snprintf(above, sizeof above, "%.*s", (int)(dot - path), path);
        const fmq_key_t *key = fmq_key_find(above);
        if (key && key->type == FMQ_KEY_LIST)
            return (size_t)(dot - path);
    }
    return 0;
}

/* Puts *value_p where path leads within a list.  0, or -1: there is nothing. */
static int put_into_list(fmq_node_t *list, const char *path, fmq_node_t **value_p)
{
    char above[FMQ_KEY_PATH_MAX];
    fmq_node_t *old = fmq_node_find(list, path);
    if (old) {
        fmq_node_become(old, value_p);
        return 0;
    }
    (void)snprintf(above, sizeof above, "%s", path);
    char *dot = strrchr(above, '.');
    if (!dot)
        return -1;
    *dot = '\0';
    fmq_node_t *map = fmq_node_find(list, above);
    if (!map || map->kind != FMQ_NODE_MAP || fmq_node_set_name(*value_p, dot + 1) < 0)
        return -1;
    return fmq_node_append(map, value_p);
}

/* Turns a value for something within a list into the whole list as it would
 * be then.  length: of the list's path within path. */
static fmq_node_t *edited_list(const fmq_node_t *root, const char *path, size_t length,
                               fmq_node_t **value_p)
{
    char list_path[FMQ_KEY_PATH_MAX];
    (void)snprintf(list_path, sizeof list_path, "%.*s", (int)length, path);
    const fmq_node_t *now = fmq_node_find(root, list_path);
    fmq_node_t *list = now ? fmq_node_clone(now) : NULL;
    if (list && put_into_list(list, path + length + 1, value_p) < 0)
        fmq_node_destroy(&list);
    return list;
}

typedef struct {
    const char *key;  /* all of it */
    const char *path; /* behind client_<k>. */
    long client;      /* -1: everybody */
    char origin[64];
} pair_t;

static bool is_key(const char *key)
{
    size_t length = strlen(key);
    return length && length < FMQ_KEY_PATH_MAX && key[0] != '.' && key[length - 1] != '.' &&
           !strstr(key, "..");
}

static void split_key(pair_t *pair, const char *key)
{
    char first[FMQ_KEY_PATH_MAX];
    size_t length = strcspn(key, ".");
    (void)snprintf(first, sizeof first, "%.*s", (int)length, key);
    pair->key = pair->path = key;
    pair->client = key[length] ? fmq_config_client_number(first) : -1;
    if (pair->client >= 0)
        pair->path = key + length + 1;
}

/* Merges *leaf_p as the value of a dotted key. */
static int merge_leaf(fmq_config_t *self, const pair_t *pair, const char *key, fmq_node_t **leaf_p)
{
    fmq_node_t *root = fmq_node_new(FMQ_NODE_MAP, NULL, NULL);
    if (!root || fmq_config_put(root, key, leaf_p) < 0 ||
        fmq_node_set_origin(root, pair->origin) < 0) {
        fmq_node_destroy(&root);
        return -1;
    }
    return fmq_config_merge(self, &root, false);
}

static int merge_list_edit(fmq_config_t *self, const pair_t *pair, size_t length,
                           fmq_node_t **value_p)
{
    char key[FMQ_KEY_PATH_MAX];
    fmq_config_t *view = fmq_config_for_client(self, (uint32_t)pair->client, NULL);
    if (!view)
        return -1;
    fmq_node_t *list = edited_list(view->root, pair->path, length, value_p);
    fmq_config_destroy(&view);
    if (!list) {
        fmq_mistakes_add(&self->mistakes, pair->origin,
                         "'%s': the list has no such item; give the whole list", pair->key);
        return 0;
    }
    (void)snprintf(key, sizeof key, "%.*s", (int)(length + (size_t)(pair->path - pair->key)),
                   pair->key);
    int rc = merge_leaf(self, pair, key, &list);
    fmq_node_destroy(&list);
    return rc;
}

/* In FS-LLM's code a key is read as cfg.<key>, and people write that. */
static const char *without_prefix(const char *key)
{
    static const char prefix[] = "cfg.";
    size_t length = sizeof prefix - 1;
    return strncmp(key, prefix, length) == 0 ? key + length : key;
}

static int set_pair(fmq_config_t *self, const char *given, const char *value)
{
    pair_t pair;
    const char *key = without_prefix(given);
    (void)snprintf(pair.origin, sizeof pair.origin, "command line:%u:1", ++self->pairs);
    if (!is_key(key) || strlen(value) > FMQ_CONFIG_FILE_MAX) {
        fmq_mistakes_add(&self->mistakes, pair.origin, "'%.80s' cannot be a key with a value", key);
        return 0;
    }
    split_key(&pair, key);
    size_t before = self->mistakes.count;
    size_t length = list_above(pair.path);
    fmq_node_t *leaf = pair_value(self, pair.origin, fmq_key_find(pair.path), value);
    if (!leaf)
        return self->mistakes.count > before ? 0 : -1;
    int rc =
        length ? merge_list_edit(self, &pair, length, &leaf) : merge_leaf(self, &pair, key, &leaf);
    fmq_node_destroy(&leaf);
    return rc;
}

int fmq_config_set(fmq_config_t *self, const char *key, const char *value, fmq_error_t *err)
{
    size_t before = self->mistakes.count;
    int rc = set_pair(self, key, value);
    return fmq_config_outcome(self, rc, before, err);
}
