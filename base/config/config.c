/*
 * config.c - fills a config: defaults, files, KEY VALUE pairs, and what each
 * client has of its own.  Reading values is in values.c, judging the whole in
 * check.c.
 */
#include "fedmq/base/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/merge.h"
#include "base/config/reader.h"
#include "base/config/scalar.h"

#define CLIENT_MAX 65535u

/* The map at path below map, made where it is missing.  path is cut up. */
static fmq_node_t *descend(fmq_node_t *map, char *path)
{
    char *rest = NULL;
    for (char *name = strtok_r(path, ".", &rest); name; name = strtok_r(NULL, ".", &rest)) {
        fmq_node_t *child = fmq_node_child(map, name);
        if (!child) {
            fmq_node_t *added = fmq_node_new(FMQ_NODE_MAP, name, NULL);
            child = added;
            if (!added || fmq_node_append(map, &added) < 0) {
                fmq_node_destroy(&added);
                return NULL;
            }
        }
        map = child;
    }
    return map;
}

/* Puts *leaf_p at a dotted path below map.  -1: out of memory. */
static int put_at(fmq_node_t *map, const char *path, fmq_node_t **leaf_p)
{
    char above[2 * FMQ_KEY_PATH_MAX];
    (void)snprintf(above, sizeof above, "%s", path);
    char *dot = strrchr(above, '.');
    if (fmq_node_set_name(*leaf_p, dot ? dot + 1 : above) < 0)
        return -1;
    if (dot) {
        *dot = '\0';
        map = descend(map, above);
    }
    return map ? fmq_node_append(map, leaf_p) : -1;
}

fmq_node_t *fmq_config_default_of(const fmq_key_t *key)
{
    fmq_node_t *node = key->type == FMQ_KEY_TEXT
                           ? fmq_node_new(FMQ_NODE_SCALAR, NULL, key->fallback)
                           : fmq_literal_read(key->fallback);
    if (node) {
        node->key = key;
        node->quoted = key->type == FMQ_KEY_TEXT;
    }
    return node;
}

fmq_node_t *fmq_config_defaults(void)
{
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    fmq_node_t *root = fmq_node_new(FMQ_NODE_MAP, NULL, NULL);
    for (size_t i = 0; i < count && root; i++) {
        fmq_node_t *leaf = fmq_config_default_of(&keys[i]);
        if (!leaf || put_at(root, keys[i].path, &leaf) < 0) {
            fmq_node_destroy(&leaf);
            fmq_node_destroy(&root);
        }
    }
    return root;
}

fmq_config_t *fmq_config_new(void)
{
    fmq_config_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->root = fmq_config_defaults();
    if (!self->root)
        fmq_config_destroy(&self);
    return self;
}

/* The overrides of a client, made when missing.  NULL: out of memory. */
static fmq_node_t *client_overrides(fmq_config_t *self, uint32_t client)
{
    for (size_t i = 0; i < self->clients_size; i++)
        if (self->clients[i].client == client)
            return self->clients[i].overrides;
    if (self->clients_size == self->clients_capacity) {
        size_t capacity = self->clients_capacity ? 2 * self->clients_capacity : 8;
        fmq_config_client_t *clients = realloc(self->clients, capacity * sizeof *clients);
        if (!clients)
            return NULL;
        self->clients = clients;
        self->clients_capacity = capacity;
    }
    fmq_node_t *overrides = fmq_node_new(FMQ_NODE_MAP, NULL, NULL);
    if (overrides)
        self->clients[self->clients_size++] = (fmq_config_client_t){client, overrides};
    return overrides;
}

static fmq_config_t *clone_without_clients(const fmq_config_t *self)
{
    fmq_config_t *copy = calloc(1, sizeof *copy);
    if (!copy)
        return NULL;
    copy->root = fmq_node_clone(self->root);
    copy->pairs = self->pairs;
    fmq_mistakes_copy(&copy->mistakes, &self->mistakes);
    if (!copy->root)
        fmq_config_destroy(&copy);
    return copy;
}

fmq_config_t *fmq_config_clone(const fmq_config_t *self)
{
    fmq_config_t *copy = clone_without_clients(self);
    for (size_t i = 0; copy && i < self->clients_size; i++) {
        fmq_node_t *overrides = client_overrides(copy, self->clients[i].client);
        fmq_node_t *source = fmq_node_clone(self->clients[i].overrides);
        if (!overrides || !source || fmq_merge_graft(overrides, &source) < 0)
            fmq_config_destroy(&copy);
        fmq_node_destroy(&source);
    }
    return copy;
}

void fmq_config_destroy(fmq_config_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    fmq_config_t *self = *self_p;
    fmq_node_destroy(&self->root);
    for (size_t i = 0; i < self->clients_size; i++)
        fmq_node_destroy(&self->clients[i].overrides);
    free(self->clients);
    fmq_mistakes_release(&self->mistakes);
    free(self);
    *self_p = NULL;
}

/* FS-LLM's old names still set the new keys, unless they hold their default. */
static int apply_old_names(fmq_node_t *map, fmq_mistakes_t *mistakes)
{
    const fmq_node_t *data = fmq_node_child(map, "data");
    fmq_node_t *renamed = fmq_node_new(FMQ_NODE_MAP, NULL, NULL);
    int rc = renamed ? 0 : -1;
    for (size_t i = 0; data && i < data->size && rc == 0; i++) {
        const fmq_node_t *old = data->items[i];
        const char *path = old->key ? fmq_key_renamed(old->key->path) : NULL;
        fmq_node_t *standard = path ? fmq_config_default_of(old->key) : NULL;
        if (standard && !fmq_node_equal(standard, old)) {
            fmq_node_t *copy = fmq_node_clone(old);
            rc = copy ? put_at(renamed, path, &copy) : -1;
            fmq_node_destroy(&copy);
        }
        fmq_node_destroy(&standard);
    }
    if (rc == 0)
        rc = fmq_merge_check(renamed, mistakes);
    if (rc == 0)
        rc = fmq_merge_graft(map, &renamed);
    fmq_node_destroy(&renamed);
    return rc;
}

/* Checks *from_p and merges it into map; takes it in any case. */
static int merge_into(fmq_config_t *self, fmq_node_t *map, fmq_node_t **from_p)
{
    int rc = map ? fmq_merge_check(*from_p, &self->mistakes) : -1;
    if (rc == 0)
        rc = apply_old_names(*from_p, &self->mistakes);
    if (rc == 0)
        return fmq_merge_graft(map, from_p);
    fmq_node_destroy(from_p);
    return rc;
}

/* The k of "client_<k>", or -1. */
static long client_number(const char *name)
{
    static const char prefix[] = "client_";
    const char *digits = name + sizeof prefix - 1;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0 || !*digits ||
        strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 9)
        return -1;
    return strtol(digits, NULL, 10);
}

static int merge_client(fmq_config_t *self, fmq_node_t **node_p)
{
    const fmq_node_t *node = *node_p;
    long client = client_number(node->name);
    if (client < 1 || (unsigned long)client > CLIENT_MAX)
        fmq_mistakes_add(&self->mistakes, node->origin, "'%s': clients are numbered 1 to %u",
                         node->name, CLIENT_MAX);
    else if (node->kind != FMQ_NODE_MAP)
        fmq_mistakes_add(&self->mistakes, node->origin, "'%s' must hold a group of keys",
                         node->name);
    else
        return merge_into(self, client_overrides(self, (uint32_t)client), node_p);
    fmq_node_destroy(node_p);
    return 0;
}

/* Merges a whole tree; the nodes client_<k> of its first level are apart. */
static int merge_tree(fmq_config_t *self, fmq_node_t **root_p, bool clients_only)
{
    int rc = 0;
    fmq_node_t *root = *root_p;
    for (size_t i = 0; i < root->size && rc == 0;) {
        if (client_number(root->items[i]->name) >= 0) {
            fmq_node_t *client = fmq_node_take(root, i);
            rc = merge_client(self, &client);
        } else if (clients_only) {
            fmq_node_t *other = fmq_node_take(root, i);
            fmq_mistakes_add(&self->mistakes, other->origin,
                             "'%s': a client file holds client_1, client_2, ... only", other->name);
            fmq_node_destroy(&other);
        } else {
            i++;
        }
    }
    if (rc == 0)
        return merge_into(self, self->root, root_p);
    fmq_node_destroy(root_p);
    return rc;
}

/* What a loading function returns, given the number of mistakes before it. */
static int outcome(const fmq_config_t *self, int rc, size_t before, fmq_error_t *err)
{
    if (rc < 0)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the configuration");
    if (self->mistakes.count == before)
        return 0;
    const char *first = fmq_mistakes_first(&self->mistakes, before);
    return fmq_error_set(err, FMQ_ERR_CONFIG, "%s", first ? first : "too many mistakes");
}

static int parse(fmq_config_t *self, const char *name, const char *text, size_t size,
                 bool clients_only)
{
    fmq_node_t *root = fmq_yaml_read(name, text, size, &self->mistakes);
    if (!root)
        return 0;
    if (root->kind == FMQ_NODE_MAP)
        return merge_tree(self, &root, clients_only);
    if (root->kind != FMQ_NODE_SCALAR || root->quoted ||
        fmq_scalar_kind(root->text) != FMQ_SCALAR_NULL)
        fmq_mistakes_add(&self->mistakes, root->origin, "a configuration is a map of keys");
    fmq_node_destroy(&root);
    return 0;
}

int fmq_config_parse(fmq_config_t *self, const char *name, const char *text, size_t size,
                     fmq_error_t *err)
{
    size_t before = self->mistakes.count;
    int rc = parse(self, name, text, size, false);
    return outcome(self, rc, before, err);
}

/* Reads at most one byte more than a configuration may have. */
static char *read_file(const char *path, size_t *size, fmq_error_t *err)
{
    FILE *file = fopen(path, "rb");
    char *text = file ? malloc(FMQ_CONFIG_FILE_MAX + 1) : NULL;
    if (!file)
        (void)fmq_error_set(err, errno == ENOENT ? FMQ_ERR_NOTFOUND : FMQ_ERR_IO,
                            "cannot open configuration '%s': %s", path, strerror(errno));
    else if (!text)
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for '%s'", path);
    else {
        *size = fread(text, 1, FMQ_CONFIG_FILE_MAX + 1, file);
        if (ferror(file)) {
            (void)fmq_error_set(err, FMQ_ERR_IO, "cannot read configuration '%s': %s", path,
                                strerror(errno));
            free(text);
            text = NULL;
        }
    }
    if (file)
        (void)fclose(file);
    return text;
}

static int load(fmq_config_t *self, const char *path, bool clients_only, fmq_error_t *err)
{
    fmq_error_t reason;
    size_t size = 0, before = self->mistakes.count;
    char *text = read_file(path, &size, &reason);
    if (!text) {
        fmq_mistakes_add(&self->mistakes, path, "%s", reason.text);
        return fmq_error_set(err, reason.code, "%s", reason.text);
    }
    int rc = parse(self, path, text, size, clients_only);
    free(text);
    return outcome(self, rc, before, err);
}

int fmq_config_load(fmq_config_t *self, const char *path, fmq_error_t *err)
{
    return load(self, path, false, err);
}

int fmq_config_load_clients(fmq_config_t *self, const char *path, fmq_error_t *err)
{
    return load(self, path, true, err);
}

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

static int set_pair(fmq_config_t *self, const char *key, const char *value)
{
    char origin[64];
    (void)snprintf(origin, sizeof origin, "command line:%u:1", ++self->pairs);
    size_t length = strlen(key);
    if (!length || length >= FMQ_KEY_PATH_MAX || key[0] == '.' || key[length - 1] == '.' ||
        strstr(key, "..") || strlen(value) > FMQ_CONFIG_FILE_MAX) {
        fmq_mistakes_add(&self->mistakes, origin, "'%.80s' cannot be a key with a value", key);
        return 0;
    }
    const char *path = key; /* behind client_<k>. */
    char first[FMQ_KEY_PATH_MAX];
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(key, "."), key);
    if (client_number(first) >= 0 && key[strlen(first)])
        path = key + strlen(first) + 1;
    size_t before = self->mistakes.count;
    fmq_node_t *root = fmq_node_new(FMQ_NODE_MAP, NULL, NULL);
    fmq_node_t *leaf = pair_value(self, origin, fmq_key_find(path), value);
    int rc = root && leaf ? put_at(root, key, &leaf) : -1;
    if (rc == 0)
        rc = fmq_node_set_origin(root, origin);
    fmq_node_destroy(&leaf);
    if (rc == 0)
        return merge_tree(self, &root, false);
    fmq_node_destroy(&root);
    return self->mistakes.count > before ? 0 : rc;
}

int fmq_config_set(fmq_config_t *self, const char *key, const char *value, fmq_error_t *err)
{
    size_t before = self->mistakes.count;
    int rc = set_pair(self, key, value);
    return outcome(self, rc, before, err);
}

fmq_config_t *fmq_config_for_client(const fmq_config_t *self, uint32_t client, fmq_error_t *err)
{
    const fmq_node_t *overrides = NULL;
    for (size_t i = 0; i < self->clients_size; i++)
        if (self->clients[i].client == client)
            overrides = self->clients[i].overrides;
    fmq_config_t *view = clone_without_clients(self);
    fmq_node_t *copy = overrides ? fmq_node_clone(overrides) : NULL;
    if (!view || (overrides && (!copy || fmq_merge_graft(view->root, &copy) < 0))) {
        fmq_config_destroy(&view);
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the configuration of client %u",
                            (unsigned)client);
    }
    return view;
}
