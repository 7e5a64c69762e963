/*
 * check.c - whether a config can run: everything wrong in it, at once, and
 * what is in it without effect.
 */
#include <stdlib.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/scalar.h"

typedef void(visit_fn)(void *argument, const fmq_key_t *key, const char *path,
                       const fmq_node_t *node);

/* Visits what was added to an open node and is not declared. */
static void visit_added(const fmq_config_t *self, const fmq_key_t *key, visit_fn *visit,
                        void *argument)
{
    const fmq_node_t *open = fmq_node_find(self->root, key->path);
    for (size_t i = 0; open && i < open->size; i++) {
        bool use = true;
        if (strcmp(open->items[i]->name, "use") == 0 && open->items[i]->text)
            (void)fmq_scalar_bool(open->items[i]->text, &use);
        char path[2 * FMQ_KEY_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s.%s", key->path, open->items[i]->name);
        if (use && !open->items[i]->key && fmq_node_is_given(open->items[i]) &&
            !fmq_key_find(path) && !fmq_key_is_group(path) && !fmq_config_switched_off(self, path))
            visit(argument, key, path, open->items[i]);
    }
}

/* Visits what is given, differs from its default, and is not acted on. */
static void visit_inert(const fmq_config_t *self, visit_fn *visit, void *argument)
{
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        if (keys[i].status == FMQ_KEY_ACTED_ON)
            continue;
        if (keys[i].type == FMQ_KEY_NODE)
            visit_added(self, &keys[i], visit, argument);
        else if (fmq_config_differs(self, &keys[i]) && !fmq_config_switched_off(self, keys[i].path))
            visit(argument, &keys[i], keys[i].path, fmq_node_find(self->root, keys[i].path));
    }
}

/* Calls visit when a word or a name at node is one that its key merely takes. */
static void visit_dead_at(const fmq_key_t *key, const char *path, const fmq_node_t *node,
                          visit_fn *visit, void *argument)
{
    if (node->kind == FMQ_NODE_SCALAR && fmq_key_is_dead(key, node->text))
        visit(argument, key, path, node);
    for (size_t i = 0; node->kind != FMQ_NODE_SCALAR && i < node->size; i++) {
        char below[2 * FMQ_KEY_PATH_MAX];
        const fmq_node_t *item = node->items[i];
        (void)snprintf(below, sizeof below, item->name ? "%s.%s" : "%s", path, item->name);
        if (item->name && fmq_key_is_dead(key, item->name))
            visit(argument, key, below, item);
        else if (!item->name)
            visit_dead_at(key, path, item, visit, argument);
    }
}

/* Visits words that older files hold and nobody reads. */
static void visit_dead(const fmq_config_t *self, visit_fn *visit, void *argument)
{
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        const fmq_node_t *node = keys[i].dead ? fmq_node_find(self->root, keys[i].path) : NULL;
        if (node && node->given && !fmq_config_switched_off(self, keys[i].path))
            visit_dead_at(&keys[i], keys[i].path, node, visit, argument);
    }
}

static const char *value_of(const fmq_node_t *node)
{
    return node->kind == FMQ_NODE_SCALAR ? node->text : "(several)";
}

static void refuse(void *argument, const fmq_key_t *key, const char *path, const fmq_node_t *node)
{
    if (key->status == FMQ_KEY_NOT_ACTED_ON)
        fmq_mistakes_add(argument, node->origin,
                         "%s: fedmq does not act on '%.80s' here (%s); leave the key out%s%s", path,
                         value_of(node), key->help,
                         key->type == FMQ_KEY_NODE || !*key->fallback ? "" : " or set it to ",
                         key->type == FMQ_KEY_NODE ? "" : key->fallback);
}

/* Values that say what fedmq does anyway: they need no warning. */
static bool is_agreed(const char *path, const char *value)
{
    static const char *const agreed[][2] = {{"criterion.type", "CrossEntropyLoss"},
                                            {"eval.count_flops", "False"},
                                            {"federate.online_aggr", "True"},
                                            {"federate.share_local_model", "True"}};
    for (size_t i = 0; i < sizeof agreed / sizeof *agreed; i++)
        if (strcmp(path, agreed[i][0]) == 0 && strcmp(value, agreed[i][1]) == 0)
            return true;
    return false;
}

/* What the visits below have in common: where what they find goes. */
typedef struct {
    fmq_config_inert_fn *visit;
    void *argument;
} listener_t;

static void tell(const listener_t *listener, const fmq_node_t *node, const char *path,
                 const char *why)
{
    const fmq_config_inert_t inert = {
        .key = path, .value = value_of(node), .origin = node->origin, .why = why};
    listener->visit(listener->argument, &inert);
}

static void tell_harmless(void *argument, const fmq_key_t *key, const char *path,
                          const fmq_node_t *node)
{
    if (key->status == FMQ_KEY_HARMLESS && !is_agreed(path, value_of(node)))
        tell(argument, node, path, key->help);
}

static void tell_dead(void *argument, const fmq_key_t *key, const char *path,
                      const fmq_node_t *node)
{
    char why[256];
    if (key->type == FMQ_KEY_TEXT)
        (void)snprintf(why, sizeof why,
                       "Nobody reads '%.80s'; the default, '%.80s', is what counts.", node->text,
                       key->fallback);
    else
        (void)snprintf(why, sizeof why, "Nobody reads '%.80s'.",
                       node->name ? node->name : node->text);
    tell(argument, node, path, why);
}

#define OFFSITE "llm.offsite_tuning."
#define ALIGN   OFFSITE "emu_align."

#define NEEDS_MAX 3

/* Keys that fedmq acts on, but not in every configuration: what they say needs
 * another key that says otherwise.  What stands below a node that is switched off
 * is not among them: FS-LLM's files hold whole trees that wait for their switch.
 * A key, and the switches that it needs; '!' before one: it must be False. */
static const struct {
    const char *path;
    const char *needs[NEEDS_MAX];
} idle_rules[] = {
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

typedef void(visit_idle_fn)(void *argument, const fmq_node_t *node, const char *path,
                            const char *need);

/* Calls visit with the first need that is not met, of each key that is set for nothing. */
static void visit_idle(const fmq_config_t *self, visit_idle_fn *visit, void *argument)
{
    for (size_t i = 0; i < sizeof idle_rules / sizeof *idle_rules; i++) {
        const fmq_key_t *key = fmq_key_find(idle_rules[i].path);
        if (!fmq_config_differs(self, key) || is_waiting(self, key->path))
            continue;
        for (size_t n = 0; n < NEEDS_MAX && idle_rules[i].needs[n]; n++) {
            const char *need = idle_rules[i].needs[n];
            if (is_met(self, need))
                continue;
            visit(argument, fmq_node_find(self->root, key->path), key->path, need);
            break;
        }
    }
}

static void tell_idle(void *argument, const fmq_node_t *node, const char *path, const char *need)
{
    char why[2 * FMQ_KEY_PATH_MAX];
    (void)snprintf(why, sizeof why, "It needs %s %s.", need + (need[0] == '!'),
                   need[0] == '!' ? "False" : "True");
    tell(argument, node, path, why);
}

/* Of a value that is not the default the cross check says more. */
static void tell_unmeasured(const fmq_config_t *self, const listener_t *listener)
{
    static const char path[] = "eval.best_res_update_round_wise_key";
    const fmq_node_t *node = fmq_node_find(self->root, path);
    const char *name = fmq_config_unmeasured(self);
    char why[256];
    if (!node->given || !name)
        return;
    (void)snprintf(why, sizeof why,
                   "eval.split has no '%.*s': no best state is kept, and nothing stops early.",
                   (int)strcspn(name, "_"), name);
    tell(listener, node, path, why);
}

void fmq_config_visit_inert(const fmq_config_t *self, fmq_config_inert_fn *visit, void *argument)
{
    listener_t listener = {visit, argument};
    visit_inert(self, tell_harmless, &listener);
    visit_dead(self, tell_dead, &listener);
    visit_idle(self, tell_idle, &listener);
    tell_unmeasured(self, &listener);
}

static void warn(void *argument, const fmq_config_inert_t *inert)
{
    fmq_log_write(argument, FMQ_LOG_WARNING, "config", "key-without-effect",
                  "key=%s value=%.80s at=%s why=\"%s\"", inert->key, inert->value, inert->origin,
                  inert->why);
}

int fmq_config_check(fmq_config_t *self, FILE *out, fmq_log_t *log, fmq_error_t *err)
{
    fmq_mistakes_t *all = calloc(1, sizeof *all);
    if (!all)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for checking the configuration");
    fmq_mistakes_copy(all, &self->mistakes);
    visit_inert(self, refuse, all);
    fmq_config_cross_check(self, all);
    if (log)
        fmq_config_visit_inert(self, warn, log);
    fmq_mistakes_sort(all);
    if (out)
        fmq_mistakes_print(all, out);
    int rc = 0;
    if (all->count) {
        char where[FMQ_ERROR_TEXT_MAX];
        const char *first = out ? NULL : fmq_mistakes_first(all, 0);
        fmq_mistakes_where(all, where, sizeof where);
        rc = fmq_error_set(err, FMQ_ERR_CONFIG, "%zu mistake%s in %s%s%s", all->count,
                           all->count == 1 ? "" : "s", where, first ? "; first: " : "",
                           first ? first : "");
    }
    fmq_mistakes_release(all);
    free(all);
    return rc;
}

static void print_refused(void *argument, const fmq_key_t *key, const char *path,
                          const fmq_node_t *node)
{
    if (key->status == FMQ_KEY_NOT_ACTED_ON)
        (void)fprintf(argument, "%s: %s: %.80s: %s: %s\n", node->origin, path, value_of(node),
                      fmq_key_status_name(key->status), key->help);
}

static void print_inert(void *argument, const fmq_config_inert_t *inert)
{
    (void)fprintf(argument, "%s: %s: %.80s: no effect: %s\n", inert->origin, inert->key,
                  inert->value, inert->why);
}

void fmq_config_print_inert(const fmq_config_t *self, FILE *out)
{
    visit_inert(self, print_refused, out);
    fmq_config_visit_inert(self, print_inert, out);
}
