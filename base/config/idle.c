/*
 * idle.c - keys that fedmq acts on, but not in this configuration: what they
 * say needs another key that says otherwise.
 *
 * What stands below a node that is switched off is not among them: FS-LLM's
 * files hold whole trees that wait for their switch.
 */
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/scalar.h"

#define OFFSITE "llm.offsite_tuning."
#define ALIGN   OFFSITE "emu_align."

#define NEEDS_MAX 3

/* A key, and the switches that it needs; '!' before one: it must be False. */
static const struct {
    const char *path;
    const char *needs[NEEDS_MAX];
} rules[] = {
    {ALIGN "use", {OFFSITE "use"}},
    {ALIGN "initial_only", {ALIGN "use"}},
    {ALIGN "init_enable_ground_truth", {"!" ALIGN "initial_only"}},
    {ALIGN "kl_divergence", {"!" ALIGN "initial_only"}},
    {ALIGN "train.enable_ground_truth", {"!" ALIGN "initial_only"}},
    {ALIGN "train.initial_update_rounds", {"!" ALIGN "initial_only"}},
    {"device", {"use_gpu"}},
    {"fedmq.layer_cache", {OFFSITE "use"}},
    {"fedmq.require_gpu", {"use_gpu"}},
    {"fedmq.released_fedbiot", {OFFSITE "use", ALIGN "use", "!" ALIGN "initial_only"}},
    {"llm.max_new_token", {OFFSITE "use", OFFSITE "llm_generated.use"}},
};

static bool is_met(const fmq_config_t *self, const char *need)
{
    return need[0] == '!' ? !fmq_config_bool(self, need + 1) : fmq_config_bool(self, need);
}

/* A device that is named is used as it is named. */
static bool is_named(const fmq_config_t *self)
{
    const fmq_node_t *node = fmq_node_find(self->root, "device");
    if (node->kind == FMQ_NODE_LIST)
        node = node->items[0];
    return node->quoted || fmq_scalar_kind(node->text) != FMQ_SCALAR_INT;
}

/* Two are no part of a tree that merely waits: whoever turned the alignment on,
 * or asked for FedBiOT, expects something. */
static bool is_waiting(const fmq_config_t *self, const char *path)
{
    if (strcmp(path, ALIGN "use") == 0)
        return false;
    if (strcmp(path, ALIGN "initial_only") == 0)
        return !fmq_config_bool(self, OFFSITE "use");
    if (strcmp(path, "device") == 0 || strcmp(path, "fedmq.require_gpu") == 0)
        return is_named(self);
    return fmq_config_switched_off(self, path);
}

void fmq_config_visit_idle(const fmq_config_t *self, fmq_config_idle_fn *visit, void *argument)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const fmq_key_t *key = fmq_key_find(rules[i].path);
        if (!fmq_config_differs(self, key) || is_waiting(self, key->path))
            continue;
        for (size_t n = 0; n < NEEDS_MAX && rules[i].needs[n]; n++) {
            const char *need = rules[i].needs[n];
            if (is_met(self, need))
                continue;
            visit(argument, fmq_node_find(self->root, key->path), key->path, need);
            break;
        }
    }
}
