/*
 * config.c - makes, copies and destroys a config.  Files are read in load.c,
 * KEY VALUE pairs in pairs.c; values.c gives values, check.c judges the whole.
 */
#include "fedmq/base/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/merge.h"
#include "base/config/reader.h"

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

int fmq_config_put(fmq_node_t *map, const char *path, fmq_node_t **leaf_p)
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
        if (!leaf || fmq_config_put(root, keys[i].path, &leaf) < 0) {
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

fmq_node_t *fmq_config_client_overrides(fmq_config_t *self, uint32_t client)
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
    copy->offers = self->offers;
    fmq_mistakes_copy(&copy->mistakes, &self->mistakes);
    if (!copy->root)
        fmq_config_destroy(&copy);
    return copy;
}

fmq_config_t *fmq_config_clone(const fmq_config_t *self)
{
    fmq_config_t *copy = clone_without_clients(self);
    for (size_t i = 0; copy && i < self->clients_size; i++) {
        fmq_node_t *overrides = fmq_config_client_overrides(copy, self->clients[i].client);
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

static const fmq_node_t *overrides_of(const fmq_config_t *self, uint32_t client)
{
    const fmq_node_t *overrides = NULL;
    for (size_t i = 0; i < self->clients_size; i++)
        if (self->clients[i].client == client)
            overrides = self->clients[i].overrides;
    return overrides;
}

bool fmq_config_differs_for(const fmq_config_t *self, uint32_t client)
{
    return overrides_of(self, client) != NULL;
}

fmq_config_t *fmq_config_for_client(const fmq_config_t *self, uint32_t client, fmq_error_t *err)
{
    const fmq_node_t *overrides = overrides_of(self, client);
    fmq_config_t *view = clone_without_clients(self);
    fmq_node_t *copy = overrides ? fmq_node_clone(overrides) : NULL;
    if (!view || (overrides && (!copy || fmq_merge_graft(view->root, &copy) < 0))) {
        fmq_node_destroy(&copy);
        fmq_config_destroy(&view);
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the configuration of client %u",
                            (unsigned)client);
    }
    return view;
}
