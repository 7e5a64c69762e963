/*
 * lookup.c - finds declared keys, and the one that a misspelt key may mean.
 */
#include "base/config/keys.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/nearest.h"

#define ASKED_MAX 80 /* longer paths are not worth the search */

static int compare_path(const void *path, const void *key)
{
    return strcmp(path, ((const fmq_key_t *)key)->path);
}

const fmq_key_t *fmq_key_find(const char *path)
{
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    return bsearch(path, keys, count, sizeof *keys, compare_path);
}

bool fmq_key_is_group(const char *path)
{
    size_t count, length = strlen(path);
    const fmq_key_t *keys = fmq_config_keys(&count);
    size_t low = 0, high = count;
    while (low < high) { /* the first key that sorts behind path itself */
        size_t middle = low + (high - low) / 2;
        if (strcmp(keys[middle].path, path) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < count && strncmp(keys[low].path, path, length) == 0; low++)
        if (keys[low].path[length] == '.')
            return true;
    return false;
}

const fmq_key_t *fmq_key_open_above(const char *path)
{
    char above[2 * FMQ_KEY_PATH_MAX];
    (void)snprintf(above, sizeof above, "%s", path);
    for (char *dot = strrchr(above, '.'); dot; dot = strrchr(above, '.')) {
        *dot = '\0';
        const fmq_key_t *key = fmq_key_find(above);
        if (key)
            return key->type == FMQ_KEY_NODE ? key : NULL;
        if (fmq_key_is_group(above))
            return NULL;
    }
    return NULL;
}

const char *fmq_key_renamed(const char *path)
{
    static const char *const names[][2] = {
        {"data.batch_size", "dataloader.batch_size"},
        {"data.drop_last", "dataloader.drop_last"},
        {"data.loader", "dataloader.type"},
        {"data.num_steps", "dataloader.num_steps"},
        {"data.num_workers", "dataloader.num_workers"},
        {"data.shuffle", "dataloader.shuffle"},
        {"data.sizes", "dataloader.sizes"},
        {"data.walk_length", "dataloader.walk_length"},
        {"llm.accelation.ds_config", "llm.deepspeed.ds_config"},
        {"llm.accelation.use", "llm.deepspeed.use"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], path) == 0)
            return names[i][1];
    return NULL;
}

/* Is word one of "a|b|c", as compare() has it? */
static bool has_word(const char *words, const char *word,
                     int (*compare)(const char *, const char *, size_t))
{
    size_t length = strlen(word), size;
    for (const char *at = words;; at += size + 1) {
        size = strcspn(at, "|");
        if (size == length && compare(at, word, length) == 0)
            return true;
        if (!at[size])
            return false;
    }
}

bool fmq_key_has_choice(const char *choices, const char *word)
{
    return !choices || has_word(choices, word, strncmp);
}

bool fmq_key_has_name(const char *names, const char *word)
{
    return has_word(names, word, strncasecmp);
}

bool fmq_key_is_dead(const fmq_key_t *key, const char *word)
{
    return key->dead && *word && fmq_key_has_choice(key->dead, word);
}

static const char *leaf_of(const char *path, size_t length)
{
    while (length && path[length - 1] != '.')
        length--;
    return path + length;
}

typedef struct {
    const char *path; /* what was asked for */
    const char *leaf;
    size_t best;
    const char *found;
    size_t found_length;
} search_t;

static size_t dots(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += text[i] == '.';
    return count;
}

/* How many letters of a text may be wrong. */
static size_t near_enough(size_t length)
{
    if (length < 12)
        return length / 4;
    return length < 18 ? 2 : length / 6;
}

/* How unlike a candidate is, SIZE_MAX when it is not near at all.  A leaf that
 * fits in another group counts as worse than any path that fits as a whole,
 * and only when it is worth changing the group for (moving). */
static size_t unlikeness(const search_t *search, const char *candidate, size_t length, bool moving)
{
    size_t asked = strlen(search->path);
    size_t whole = fmq_nearest_distance(search->path, candidate, length);
    bool level = dots(search->path, asked) == dots(candidate, length);
    if (level && whole <= near_enough(asked))
        return whole;
    const char *leaf = leaf_of(candidate, length);
    size_t leaf_length = (size_t)(candidate + length - leaf);
    size_t leaves = fmq_nearest_distance(search->leaf, leaf, leaf_length);
    if (moving && leaves <= strlen(search->leaf) / 4)
        return 1000 + 200 * leaves + whole;
    return level && whole <= asked / 3 ? 10000 + whole : SIZE_MAX;
}

static void consider(search_t *search, const char *candidate, size_t length, bool moving)
{
    size_t score = unlikeness(search, candidate, length, moving);
    if (score <= search->best && score < SIZE_MAX) { /* of two as near, train's lies behind */
        search->best = score;
        search->found = candidate;
        search->found_length = length;
    }
}

/* Considers the groups that a key lies in, unless the key before it did. */
static void consider_groups(search_t *search, const char *path, const char *before)
{
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t length = (size_t)(dot - path);
        if (strncmp(path, before, length + 1) != 0)
            consider(search, path, length, false);
    }
}

void fmq_key_nearest(const char *path, char out[FMQ_KEY_PATH_MAX])
{
    size_t count;
    const char *before = "";
    const fmq_key_t *keys = fmq_config_keys(&count);
    search_t search = {path, leaf_of(path, strlen(path)), SIZE_MAX, "", 0};
    for (size_t i = 0; i < count && strlen(path) <= ASKED_MAX; before = keys[i++].path) {
        if (fmq_key_renamed(keys[i].path))
            continue; /* nobody should learn an old name */
        consider(&search, keys[i].path, strlen(keys[i].path), keys[i].status == FMQ_KEY_ACTED_ON);
        consider_groups(&search, keys[i].path, before);
    }
    (void)snprintf(out, FMQ_KEY_PATH_MAX, "%.*s", (int)search.found_length, search.found);
}

const char *fmq_key_type_name(fmq_key_type_t type)
{
    static const char *const names[] = {
        [FMQ_KEY_BOOL] = "True or False",
        [FMQ_KEY_INT] = "a whole number",
        [FMQ_KEY_REAL] = "a number",
        [FMQ_KEY_TEXT] = "a text",
        [FMQ_KEY_LIST] = "a list",
        [FMQ_KEY_NODE] = "a group of keys",
        [FMQ_KEY_DEVICE] = "a number, a name or a list of them",
    };
    return names[type];
}

const char *fmq_key_status_name(fmq_key_status_t status)
{
    static const char *const names[] = {
        [FMQ_KEY_ACTED_ON] = "acted on",
        [FMQ_KEY_HARMLESS] = "no effect",
        [FMQ_KEY_NOT_ACTED_ON] = "refused",
    };
    return names[status];
}

const char *fmq_key_resume_name(fmq_key_resume_t resume)
{
    static const char *const names[] = {
        [FMQ_RESUME_SAME] = "same",
        [FMQ_RESUME_MORE] = "more",
        [FMQ_RESUME_FREE] = "free",
    };
    return names[resume];
}

void fmq_key_range(const fmq_key_t *key, char *out, size_t size)
{
    out[0] = '\0';
    if (key->least > key->most)
        return;
    if (key->most >= FMQ_KEY_MANY)
        (void)snprintf(out, size, "at least %.16g", key->least);
    else
        (void)snprintf(out, size, "%.16g to %.16g", key->least, key->most);
}
