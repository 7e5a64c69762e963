/*
 * table.c - reads an open node of the configuration by a table of names.
 *
 * It reports where a refused keyword stands and which ones are known.  It
 * does not know what any keyword means.
 */
#include "actors/settings/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void list_names(const fmq_setting_t *table, char *out, size_t capacity)
{
    size_t used = 0;
    out[0] = '\0';
    for (const fmq_setting_t *row = table; row->name && used < capacity; row++) {
        int written =
            snprintf(out + used, capacity - used, "%s%s", used > 0 ? ", " : "", row->name);
        if (written < 0)
            return;
        used += (size_t)written;
    }
}

static const fmq_setting_t *find(const fmq_setting_t *table, const char *name)
{
    for (const fmq_setting_t *row = table; row->name; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

static int refuse(const fmq_config_t *config, const char *key, const fmq_setting_t *table,
                  fmq_error_t *err)
{
    char known[512];
    list_names(table, known, sizeof known);
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "%s: '%s' is not acted on, remove it; understood there: %s",
                         fmq_config_origin(config, key), key, known);
}

int fmq_settings_take(const fmq_config_t *config, const char *node, const fmq_setting_t *table,
                      void *out, fmq_error_t *err)
{
    for (size_t i = 0; i < fmq_config_size(config, node); i++) {
        const char *name = fmq_config_child(config, node, i);
        char key[FMQ_SETTINGS_KEY_MAX];
        if (!name)
            continue;
        if ((size_t)snprintf(key, sizeof key, "%s.%s", node, name) >= sizeof key)
            return fmq_error_set(err, FMQ_ERR_LIMIT, "a key below '%s' is too long", node);
        const fmq_setting_t *row = find(table, name);
        if (!row)
            return refuse(config, key, table, err);
        if (row->take(config, key, out, err) < 0)
            return -1;
    }
    return 0;
}

int fmq_setting_skip(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    (void)config, (void)key, (void)out, (void)err;
    return 0;
}

/* What Python calls None may arrive as YAML's null, an empty text or False. */
int fmq_setting_only_off(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    (void)out;
    bool flag = true;
    const char *text = NULL;
    if (fmq_config_get_bool(config, key, &flag, NULL) == 0 && !flag)
        return 0;
    if (fmq_config_get_text(config, key, &text, NULL) == 0 &&
        (!*text || strcmp(text, "None") == 0 || strcmp(text, "none") == 0 ||
         strcmp(text, "null") == 0))
        return 0;
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "%s: '%s' is not acted on, leave it out",
                         fmq_config_origin(config, key), key);
}

int fmq_setting_only_true(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    (void)out;
    bool flag = false;
    if (fmq_config_get_bool(config, key, &flag, NULL) == 0 && flag)
        return 0;
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "%s: '%s' can only be True here, leave it out",
                         fmq_config_origin(config, key), key);
}

int fmq_setting_real(const fmq_config_t *config, const char *key, const double range[2],
                     double *out, fmq_error_t *err)
{
    double value = 0;
    if (fmq_config_get_real(config, key, &value, err) < 0)
        return -1;
    if (!isfinite(value) || value < range[0] || value > range[1])
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' is %g, it must lie in [%g, %g]",
                             fmq_config_origin(config, key), key, value, range[0], range[1]);
    *out = value;
    return 0;
}

int fmq_setting_int(const fmq_config_t *config, const char *key, const int64_t range[2],
                    int64_t *out, fmq_error_t *err)
{
    int64_t value = 0;
    if (fmq_config_get_int(config, key, &value, err) < 0)
        return -1;
    if (value < range[0] || value > range[1])
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' is %lld, it must lie in [%lld, %lld]",
                             fmq_config_origin(config, key), key, (long long)value,
                             (long long)range[0], (long long)range[1]);
    *out = value;
    return 0;
}

int fmq_setting_betas(const fmq_config_t *config, const char *key, const double range[2],
                      double out[2], fmq_error_t *err)
{
    char item[FMQ_SETTINGS_KEY_MAX + 4];
    if (fmq_config_size(config, key) != 2)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' must be two numbers, as (0.9, 0.999)",
                             fmq_config_origin(config, key), key);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(item, sizeof item, "%s.%d", key, i);
        if (fmq_setting_real(config, item, range, &out[i], err) < 0)
            return -1;
    }
    return 0;
}

int fmq_setting_shares(const fmq_config_t *config, const char *key, double out[3], fmq_error_t *err)
{
    static const double range[2] = {0, 1};
    double shares[3] = {0}, sum = 0;
    size_t size = fmq_config_size(config, key);
    if (size < 2 || size > 3)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: '%s' must be the shares of train, val and test",
                             fmq_config_origin(config, key), key);
    for (size_t i = 0; i < size; i++) {
        char item[FMQ_SETTINGS_KEY_MAX];
        snprintf(item, sizeof item, "%s.%zu", key, i);
        if (fmq_setting_real(config, item, range, &shares[i], err) < 0)
            return -1;
        sum += shares[i];
    }
    if (sum > 1 + 1e-6)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' add up to %g, more than 1",
                             fmq_config_origin(config, key), key, sum);
    memcpy(out, shares, sizeof shares);
    return 0;
}
