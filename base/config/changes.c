/*
 * changes.c - where two configs differ in what fedmq acts on.
 */
#include <stdlib.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"

/* Two views of one config, and what is told about them. */
typedef struct {
    const fmq_node_t *from, *to;
    const fmq_node_t *only[2]; /* not NULL: only what one of these overrides is told */
    const char *prefix;        /* "client_3." or "" */
    fmq_config_change_fn *visit;
    void *argument;
    bool failed; /* out of memory */
} comparison_t;

static bool is_same(const fmq_node_t *a, const fmq_node_t *b)
{
    return a && b ? fmq_node_equal(a, b) : a == b;
}

static bool is_asked(const comparison_t *self, const char *path)
{
    if (!self->only[0] && !self->only[1])
        return true;
    for (size_t i = 0; i < 2; i++)
        if (self->only[i] && fmq_node_find(self->only[i], path))
            return true;
    return false;
}

static char *text_of(const fmq_node_t *node)
{
    return node ? fmq_config_flow(node) : strdup("nothing");
}

static void compare(comparison_t *self, const fmq_key_t *key, const char *path)
{
    const fmq_node_t *from = fmq_node_find(self->from, path);
    const fmq_node_t *to = fmq_node_find(self->to, path);
    if (is_same(from, to) || !is_asked(self, path))
        return;
    char name[3 * FMQ_KEY_PATH_MAX];
    (void)snprintf(name, sizeof name, "%s%s", self->prefix, path);
    char *before = text_of(from), *after = text_of(to);
    const fmq_config_change_t change = {
        .key = name, .from = before, .to = after, .resume = key->resume};
    if (before && after)
        self->visit(self->argument, &change);
    else
        self->failed = true;
    free(before);
    free(after);
}

static const fmq_node_t *only_map(const fmq_node_t *list)
{
    return list && list->kind == FMQ_NODE_LIST && list->size == 1 &&
                   list->items[0]->kind == FMQ_NODE_MAP
               ? list->items[0]
               : NULL;
}

/* Lists of one map, as llm.adapter.args: what is in the map, item by item.
 * False when they are not both that. */
static bool compare_maps(comparison_t *self, const fmq_key_t *key)
{
    const fmq_node_t *maps[2] = {only_map(fmq_node_find(self->from, key->path)),
                                 only_map(fmq_node_find(self->to, key->path))};
    if (!maps[0] || !maps[1])
        return false;
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < maps[m]->size; i++) {
            char path[2 * FMQ_KEY_PATH_MAX];
            const char *name = maps[m]->items[i]->name;
            (void)snprintf(path, sizeof path, "%s.0.%s", key->path, name);
            if (m == 0 || !fmq_node_child(maps[0], name))
                compare(self, key, path);
        }
    return true;
}

/* What was added to an open node of `side`; of both when `other` lacks it. */
static void compare_added(comparison_t *self, const fmq_key_t *key, const fmq_node_t *side,
                          const fmq_node_t *other)
{
    const fmq_node_t *open = fmq_node_find(side, key->path);
    for (size_t i = 0; open && i < open->size; i++) {
        char path[2 * FMQ_KEY_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s.%s", key->path, open->items[i]->name);
        if (!fmq_key_find(path) && !fmq_key_is_group(path) &&
            !(other && fmq_node_find(other, path)))
            compare(self, key, path);
    }
}

static void compare_all(comparison_t *self)
{
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        if (keys[i].status != FMQ_KEY_ACTED_ON)
            continue;
        if (keys[i].type != FMQ_KEY_NODE) {
            if (!compare_maps(self, &keys[i]))
                compare(self, &keys[i], keys[i].path);
            continue;
        }
        compare_added(self, &keys[i], self->from, NULL);
        compare_added(self, &keys[i], self->to, self->from);
    }
}

static const fmq_node_t *overrides_of(const fmq_config_t *self, uint32_t client)
{
    for (size_t i = 0; i < self->clients_size; i++)
        if (self->clients[i].client == client)
            return self->clients[i].overrides;
    return NULL;
}

/* What the configs say to one client alone. */
static int compare_client(const comparison_t *all, const fmq_config_t *from, const fmq_config_t *to,
                          uint32_t client)
{
    char prefix[32];
    fmq_config_t *before = fmq_config_for_client(from, client, NULL);
    fmq_config_t *after = fmq_config_for_client(to, client, NULL);
    comparison_t self = *all;
    (void)snprintf(prefix, sizeof prefix, "client_%u.", (unsigned)client);
    self.prefix = prefix;
    self.only[0] = overrides_of(from, client);
    self.only[1] = overrides_of(to, client);
    self.failed = !before || !after;
    if (!self.failed) {
        self.from = before->root;
        self.to = after->root;
        compare_all(&self);
    }
    fmq_config_destroy(&before);
    fmq_config_destroy(&after);
    return self.failed ? -1 : 0;
}

int fmq_config_visit_changes(const fmq_config_t *from, const fmq_config_t *to,
                             fmq_config_change_fn *visit, void *argument, fmq_error_t *err)
{
    comparison_t self = {
        .from = from->root, .to = to->root, .prefix = "", .visit = visit, .argument = argument};
    compare_all(&self);
    for (size_t i = 0; i < from->clients_size && !self.failed; i++)
        self.failed = compare_client(&self, from, to, from->clients[i].client) < 0;
    for (size_t i = 0; i < to->clients_size && !self.failed; i++)
        if (!overrides_of(from, to->clients[i].client))
            self.failed = compare_client(&self, from, to, to->clients[i].client) < 0;
    return self.failed ? fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for two configurations")
                       : 0;
}
