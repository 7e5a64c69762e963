/*
 * merge.c - checks what was read against the declared keys, value by value,
 * and merges it.  A wrong value never replaces a right one.
 */
#include "base/config/merge.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/config/keys.h"
#include "base/config/reader.h"
#include "base/config/scalar.h"
#include "base/nearest.h"

/* What is judged by, and where what is wrong goes. */
typedef struct {
    const fmq_config_offers_t *offers; /* borrowed; NULL: none */
    fmq_mistakes_t *mistakes;          /* borrowed */
} judge_t;

static int check_map(fmq_node_t *map, const char *prefix, const judge_t *judge);

static void judge_number(const fmq_key_t *key, const fmq_node_t *node, char *out, size_t size)
{
    double value = 0;
    int64_t whole;
    char range[96];
    if (fmq_scalar_real(node->text, &value) < 0)
        (void)snprintf(out, size, "'%.80s' is not %s", node->text,
                       key->type == FMQ_KEY_INT ? "a whole number" : "a finite number");
    else if (key->type == FMQ_KEY_INT && fmq_scalar_int(node->text, &whole) < 0)
        (void)snprintf(out, size, "'%.80s' is %s", node->text,
                       fmq_scalar_kind(node->text) == FMQ_SCALAR_INT ? "too large"
                                                                     : "not a whole number");
    else if (key->least <= key->most && (value < key->least || value > key->most)) {
        fmq_key_range(key, range, sizeof range);
        (void)snprintf(out, size, "%.80s is out of range: %s", node->text, range);
    }
}

static void judge_word(const fmq_key_t *key, const fmq_config_offers_t *offers, const char *word,
                       char *out, size_t size)
{
    char nearest[FMQ_KEY_PATH_MAX], all[FMQ_OFFERS_CHOICES_MAX];
    if (fmq_key_has_choice(key->choices, word) || fmq_key_is_dead(key, word) ||
        fmq_offers_find(offers, key->path, word))
        return;
    fmq_offers_choices(offers, key, all);
    fmq_nearest_choice(all, word, nearest);
    (void)snprintf(out, size, "'%.80s' is none of %s%s%s%s%s", word, all,
                   *nearest ? "; did you mean '" : "", nearest, *nearest ? "'?" : "",
                   fmq_offers_is_key(key->path) ? "; what an extension has needs --load FILE.so"
                                                : "");
}

static void judge_text(const fmq_key_t *key, const fmq_config_offers_t *offers,
                       const fmq_node_t *node, char *out, size_t size)
{
    fmq_scalar_kind_t kind = fmq_scalar_kind(node->text);
    if (!node->quoted && kind != FMQ_SCALAR_TEXT && kind != FMQ_SCALAR_NULL)
        (void)snprintf(out, size, "%.80s is not a text; in quotes it would be one", node->text);
    else
        judge_word(key, offers, node->quoted || kind == FMQ_SCALAR_TEXT ? node->text : "", out,
                   size);
}

/* Does a map describe something whose arguments are others than those that are
 * declared?  What is said of that is said of the word, not of its arguments. */
static bool is_of_another_kind(const fmq_key_t *key, const fmq_node_t *map)
{
    static const struct {
        const char *path, *name, *known;
    } deciding[] = {{"llm.adapter.args", "adapter_package", FMQ_KEY_ADAPTER_PACKAGES},
                    {"llm.adapter.args", "adapter_method", FMQ_KEY_ADAPTER_METHODS}};
    for (size_t i = 0; i < sizeof deciding / sizeof *deciding; i++) {
        const fmq_node_t *word = fmq_node_find(map, deciding[i].name);
        if (strcmp(deciding[i].path, key->path) == 0 && word && word->kind == FMQ_NODE_SCALAR &&
            *word->text && !fmq_key_has_name(deciding[i].known, word->text))
            return true;
    }
    return false;
}

/* The names in the maps of a list, or its words, against the choices. */
static void judge_list(const fmq_key_t *key, const fmq_node_t *node, char *out, size_t size)
{
    for (size_t i = 0; key->choices && i < node->size && !*out; i++) {
        const fmq_node_t *item = node->items[i];
        if (item->kind == FMQ_NODE_SCALAR)
            judge_word(key, NULL, item->text, out, size);
        if (item->kind == FMQ_NODE_MAP && is_of_another_kind(key, item))
            continue;
        for (size_t k = 0; item->kind == FMQ_NODE_MAP && k < item->size && !*out; k++)
            judge_word(key, NULL, item->items[k]->name, out, size);
    }
}

/* What a name stands for is asked of who opens it. */
static void judge_device(const fmq_key_t *key, const fmq_node_t *node, char *out, size_t size)
{
    fmq_scalar_kind_t kind = node->kind != FMQ_NODE_SCALAR ? FMQ_SCALAR_NULL
                             : node->quoted                ? FMQ_SCALAR_TEXT
                                                           : fmq_scalar_kind(node->text);
    if (kind == FMQ_SCALAR_INT)
        judge_number(key, node, out, size);
    else if (kind != FMQ_SCALAR_TEXT || !*node->text)
        (void)snprintf(out, size, "'%.80s' is neither a GPU's number nor a device's name",
                       node->kind == FMQ_NODE_SCALAR ? node->text : "(several)");
}

static void judge_devices(const fmq_key_t *key, const fmq_node_t *node, char *out, size_t size)
{
    if (node->kind != FMQ_NODE_LIST)
        judge_device(key, node, out, size);
    else if (node->size == 0)
        (void)snprintf(out, size, "the list of devices is empty");
    for (size_t i = 0; node->kind == FMQ_NODE_LIST && i < node->size && !*out; i++)
        judge_device(key, node->items[i], out, size);
}

static const char *kind_name(const fmq_node_t *node)
{
    static const char *const names[] = {"a single value", "a list", "a map"};
    return names[node->kind];
}

void fmq_merge_judge(const fmq_key_t *key, const fmq_config_offers_t *offers,
                     const fmq_node_t *node, char *out, size_t size)
{
    bool truth;
    bool list = key->type == FMQ_KEY_LIST;
    out[0] = '\0';
    if (key->type == FMQ_KEY_DEVICE)
        judge_devices(key, node, out, size);
    else if (node->kind != (list ? FMQ_NODE_LIST : FMQ_NODE_SCALAR))
        (void)snprintf(out, size, "%s where %s is expected%s", kind_name(node),
                       list ? "a list" : fmq_key_type_name(key->type),
                       list ? ", such as [a, b]" : "");
    else if (list)
        judge_list(key, node, out, size);
    else if (key->type == FMQ_KEY_TEXT)
        judge_text(key, offers, node, out, size);
    else if (key->type != FMQ_KEY_BOOL)
        judge_number(key, node, out, size);
    else if (fmq_scalar_bool(node->text, &truth) < 0)
        (void)snprintf(out, size, "'%.80s' is neither True nor False", node->text);
}

/* 1: keep, 0: drop, -1: out of memory. */
static int check_value(fmq_node_t *node, const fmq_key_t *key, const judge_t *judge)
{
    char wrong[FMQ_ERROR_TEXT_MAX];
    if (key->type == FMQ_KEY_LIST || key->type == FMQ_KEY_DEVICE)
        fmq_literal_decode(node);
    fmq_merge_judge(key, judge->offers, node, wrong, sizeof wrong);
    if (*wrong) {
        fmq_mistakes_add(judge->mistakes, node->origin, "%s: %s", key->path, wrong);
        return 0;
    }
    node->key = key;
    if (key->type == FMQ_KEY_TEXT) {
        if (!node->quoted && fmq_scalar_kind(node->text) == FMQ_SCALAR_NULL &&
            fmq_node_set_text(node, "") < 0)
            return -1;
        node->quoted = true;
    } else if (key->type != FMQ_KEY_DEVICE) { /* whose '1' is a name */
        node->quoted = false;
    }
    return 1;
}

static int check_group(fmq_node_t *node, const char *path, const judge_t *judge)
{
    fmq_literal_decode(node);
    if (node->kind == FMQ_NODE_MAP)
        return check_map(node, path, judge) < 0 ? -1 : 1;
    if (node->kind == FMQ_NODE_SCALAR && !node->quoted &&
        fmq_scalar_kind(node->text) == FMQ_SCALAR_NULL)
        return 0; /* "train:" with nothing below it */
    fmq_mistakes_add(judge->mistakes, node->origin, "%s: %s where a group of keys is expected",
                     path, kind_name(node));
    return 0;
}

/* A child of an open node that is not declared itself. */
static int check_free(fmq_node_t *node, const char *path, const fmq_key_t *open,
                      const judge_t *judge)
{
    char nearest[FMQ_KEY_PATH_MAX], all[FMQ_OFFERS_CHOICES_MAX];
    const char *name = path + strlen(open->path) + 1;
    if (!fmq_key_has_choice(open->choices, name) &&
        !fmq_offers_find(judge->offers, open->path, name)) {
        fmq_offers_choices(judge->offers, open, all);
        fmq_nearest_choice(all, name, nearest);
        fmq_mistakes_add(judge->mistakes, node->origin, "unknown key '%s': %s %s here%s%s%s", path,
                         fmq_offers_is_key(open->path) ? "the extensions that are loaded know"
                                                       : "fedmq knows",
                         *all ? all : "nothing", *nearest ? "; did you mean '" : "", nearest,
                         *nearest ? "'?" : "");
        return 0;
    }
    fmq_literal_decode(node);
    return 1;
}

static int check_unknown(const fmq_node_t *node, const char *path, const judge_t *judge)
{
    char nearest[FMQ_KEY_PATH_MAX] = "";
    if (strchr(node->name, '.') && (fmq_key_find(path) || fmq_key_is_group(path))) {
        fmq_mistakes_add(judge->mistakes, node->origin,
                         "'%s': dotted keys are for the command line; nest them in a file", path);
        return 0;
    }
    if (judge->mistakes->kept <
        FMQ_CONFIG_MISTAKES_MAX) /* the search is slow: only when it is shown */
        fmq_key_nearest(path, nearest);
    fmq_mistakes_add(judge->mistakes, node->origin, "unknown key '%s'%s%s%s", path,
                     *nearest ? "; did you mean '" : "", nearest, *nearest ? "'?" : "");
    return 0;
}

static int check_child(fmq_node_t *node, const char *path, const judge_t *judge)
{
    const fmq_key_t *key = fmq_key_find(path);
    if (strchr(node->name, '.') && !fmq_key_open_above(path))
        return check_unknown(node, path, judge);
    if (key && key->type != FMQ_KEY_NODE)
        return check_value(node, key, judge);
    if (key || fmq_key_is_group(path))
        return check_group(node, path, judge);
    const fmq_key_t *open = fmq_key_open_above(path);
    return open ? check_free(node, path, open, judge) : check_unknown(node, path, judge);
}

static int check_map(fmq_node_t *map, const char *prefix, const judge_t *judge)
{
    size_t kept = 0;
    for (size_t i = 0; i < map->size; i++) {
        fmq_node_t *child = map->items[i];
        char path[2 * FMQ_KEY_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", child->name);
        int keep = check_child(child, path, judge);
        if (keep > 0) {
            map->items[kept++] = child;
            continue;
        }
        fmq_node_destroy(&child);
        if (keep < 0) {
            memmove(&map->items[kept], &map->items[i + 1],
                    (map->size - i - 1) * sizeof(*map->items));
            map->size = kept + map->size - i - 1;
            return -1;
        }
    }
    map->size = kept;
    return 0;
}

int fmq_merge_check(fmq_node_t *map, const fmq_config_offers_t *offers, fmq_mistakes_t *mistakes)
{
    return check_map(map, "", &(judge_t){offers, mistakes});
}

int fmq_merge_graft(fmq_node_t *map, fmq_node_t **from_p)
{
    int rc = 0;
    fmq_node_t *from = *from_p;
    *from_p = NULL;
    for (size_t i = 0; i < from->size && rc == 0; i++) {
        fmq_node_t *source = from->items[i];
        fmq_node_t *target = fmq_node_child(map, source->name);
        from->items[i] = NULL;
        if (!target)
            rc = fmq_node_append(map, &source);
        else if (target->kind == FMQ_NODE_MAP && source->kind == FMQ_NODE_MAP)
            rc = fmq_merge_graft(target, &source);
        else
            fmq_node_become(target, &source);
        fmq_node_destroy(&source);
    }
    fmq_node_destroy(&from);
    return rc;
}
