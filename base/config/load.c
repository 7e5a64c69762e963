/*
 * load.c - merges trees that were read into a config, and reads them from
 * files.  A source with mistakes still gives all its right values.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/merge.h"
#include "base/config/reader.h"
#include "base/config/scalar.h"

#define CLIENT_MAX 65535u

/* Puts what a group holds under old names into renamed under the new ones. */
static int rename_group(const fmq_node_t *group, fmq_node_t *renamed)
{
    int rc = 0;
    for (size_t i = 0; group && i < group->size && rc == 0; i++) {
        const fmq_node_t *old = group->items[i];
        const char *path = old->key ? fmq_key_renamed(old->key->path) : NULL;
        fmq_node_t *standard = path ? fmq_config_default_of(old->key) : NULL;
        if (standard && !fmq_node_equal(standard, old)) {
            fmq_node_t *copy = fmq_node_clone(old);
            rc = copy ? fmq_config_put(renamed, path, &copy) : -1;
            fmq_node_destroy(&copy);
        }
        fmq_node_destroy(&standard);
    }
    return rc;
}

/* Old names still set the new keys, unless they hold their default. */
static int apply_old_names(fmq_config_t *self, fmq_node_t *map)
{
    static const char *const groups[] = {"data", "llm.accelation"};
    fmq_node_t *renamed = fmq_node_new(FMQ_NODE_MAP, NULL, NULL);
    int rc = renamed ? 0 : -1;
    for (size_t i = 0; i < sizeof groups / sizeof *groups && rc == 0; i++)
        rc = rename_group(fmq_node_find(map, groups[i]), renamed);
    if (rc == 0)
        rc = fmq_merge_check(renamed, self->offers, &self->mistakes);
    if (rc == 0)
        rc = fmq_merge_graft(map, &renamed);
    fmq_node_destroy(&renamed);
    return rc;
}

/* Checks *from_p and merges it into map; takes it in any case. */
static int merge_into(fmq_config_t *self, fmq_node_t *map, fmq_node_t **from_p)
{
    int rc = map ? fmq_merge_check(*from_p, self->offers, &self->mistakes) : -1;
    if (rc == 0)
        rc = apply_old_names(self, *from_p);
    if (rc == 0)
        return fmq_merge_graft(map, from_p);
    fmq_node_destroy(from_p);
    return rc;
}

long fmq_config_client_number(const char *name)
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
    long client = fmq_config_client_number(node->name);
    if (client < 1 || (unsigned long)client > CLIENT_MAX)
        fmq_mistakes_add(&self->mistakes, node->origin, "'%s': clients are numbered 1 to %u",
                         node->name, CLIENT_MAX);
    else if (node->kind != FMQ_NODE_MAP)
        fmq_mistakes_add(&self->mistakes, node->origin, "'%s' must hold a group of keys",
                         node->name);
    else
        return merge_into(self, fmq_config_client_overrides(self, (uint32_t)client), node_p);
    fmq_node_destroy(node_p);
    return 0;
}

int fmq_config_merge(fmq_config_t *self, fmq_node_t **root_p, bool clients_only)
{
    int rc = 0;
    fmq_node_t *root = *root_p;
    for (size_t i = 0; i < root->size && rc == 0;) {
        if (fmq_config_client_number(root->items[i]->name) >= 0) {
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

int fmq_config_outcome(const fmq_config_t *self, int rc, size_t before, fmq_error_t *err)
{
    if (rc < 0 || self->mistakes.no_memory)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the configuration");
    if (self->mistakes.count == before)
        return 0;
    const char *first = fmq_mistakes_first(&self->mistakes, before);
    return fmq_error_set(err, FMQ_ERR_CONFIG, "%s", first ? first : "too many mistakes");
}

static int parse(fmq_config_t *self, const char *name, const char *text, size_t size,
                 bool clients_only)
{
    size_t before = self->mistakes.count;
    fmq_node_t *root = fmq_yaml_read(name, text, size, &self->mistakes);
    if (!root)
        return 0;
    if (root->kind == FMQ_NODE_MAP)
        return fmq_config_merge(self, &root, clients_only);
    bool nothing = root->kind == FMQ_NODE_SCALAR && !root->quoted &&
                   fmq_scalar_kind(root->text) == FMQ_SCALAR_NULL;
    if (!nothing && self->mistakes.count == before)
        fmq_mistakes_add(&self->mistakes, root->origin, "a configuration is a map of keys");
    fmq_node_destroy(&root);
    return 0;
}

int fmq_config_parse(fmq_config_t *self, const char *name, const char *text, size_t size,
                     fmq_error_t *err)
{
    size_t before = self->mistakes.count;
    int rc = parse(self, name, text, size, false);
    return fmq_config_outcome(self, rc, before, err);
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
        return fmq_error_copy(err, &reason);
    }
    int rc = parse(self, path, text, size, clients_only);
    free(text);
    return fmq_config_outcome(self, rc, before, err);
}

int fmq_config_load(fmq_config_t *self, const char *path, fmq_error_t *err)
{
    return load(self, path, false, err);
}

int fmq_config_load_clients(fmq_config_t *self, const char *path, fmq_error_t *err)
{
    return load(self, path, true, err);
}
