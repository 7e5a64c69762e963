/*
 * given.c - what somebody wrote, as against what holds by itself.
 */
#include <stdlib.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/scalar.h"

bool fmq_config_switched_off(const fmq_config_t *self, const char *path)
{
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        char name[2 * FMQ_KEY_PATH_MAX];
        bool use = true;
        (void)snprintf(name, sizeof name, "%.*s.use", (int)(dot - path), path);
        const fmq_node_t *node = fmq_node_find(self->root, name);
        if (node && node->kind == FMQ_NODE_SCALAR && strcmp(name, path) != 0 &&
            fmq_scalar_bool(node->text, &use) == 0 && !use)
            return true;
    }
    return false;
}

bool fmq_config_differs(const fmq_config_t *self, const fmq_key_t *key)
{
    const fmq_node_t *node = fmq_node_find(self->root, key->path);
    if (!node || !node->given)
        return false;
    fmq_node_t *standard = fmq_config_default_of(key);
    bool differs = !standard || !fmq_node_equal(standard, node);
    fmq_node_destroy(&standard);
    return differs;
}
