/*
 * print.c - the table of keys for people (text, Markdown) and programs (JSON).
 */
#include <jansson.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"

static const char *fallback_of(const fmq_key_t *key)
{
    return key->type == FMQ_KEY_TEXT && !*key->fallback ? "''" : key->fallback;
}

static const char *type_word(fmq_key_type_t type)
{
    static const char *const words[] = {
        [FMQ_KEY_BOOL] = "bool",
        [FMQ_KEY_INT] = "int",
        [FMQ_KEY_REAL] = "real",
        [FMQ_KEY_TEXT] = "text",
        [FMQ_KEY_LIST] = "list",
        [FMQ_KEY_NODE] = "open group",
        [FMQ_KEY_DEVICE] = "int, text or list",
    };
    return words[type];
}

static void print_text(FILE *out, const fmq_key_t *key)
{
    char range[96];
    fmq_key_range(key, range, sizeof range);
    (void)fprintf(out, "%s\n    %s, default %s", key->path, type_word(key->type), fallback_of(key));
    if (*range)
        (void)fprintf(out, ", %s", range);
    if (key->choices)
        (void)fprintf(out, ", one of %s", key->choices);
    if (key->dead)
        (void)fprintf(out, " (without effect: %s)", key->dead);
    (void)fprintf(out, "; %s\n    %s\n", fmq_key_status_name(key->status), key->help);
}

/* A cell of a Markdown table: a bar would end it. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text; text++)
        (void)fprintf(out, *text == '|' ? "\\|" : "%c", *text);
}

static size_t group_length(const char *path)
{
    return strcspn(path, ".");
}

static void print_markdown_row(FILE *out, const fmq_key_t *key)
{
    char range[96];
    fmq_key_range(key, range, sizeof range);
    (void)fprintf(out, "| `%s` | %s | `%s` | ", key->path, type_word(key->type), fallback_of(key));
    print_cell(out, key->choices ? key->choices : range);
    if (key->dead) {
        (void)fputs("; without effect: ", out);
        print_cell(out, key->dead);
    }
    (void)fprintf(out, " | %s | %s | ", fmq_key_status_name(key->status),
                  fmq_key_resume_name(key->resume));
    print_cell(out, key->help);
    (void)fputs(" |\n", out);
}

static void print_markdown(FILE *out, const fmq_key_t *keys, size_t count)
{
    static const char head[] =
        "| key | type | default | range or choices | status | resume | meaning |\n"
        "|---|---|---|---|---|---|---|\n";
    (void)fprintf(out, "### Top level\n\n%s", head);
    for (size_t i = 0; i < count; i++)
        if (!strchr(keys[i].path, '.') && keys[i].type != FMQ_KEY_NODE)
            print_markdown_row(out, &keys[i]);
    const char *group = "";
    for (size_t i = 0; i < count; i++) {
        const char *path = keys[i].path;
        size_t length = group_length(path);
        if (!path[length] && keys[i].type != FMQ_KEY_NODE)
            continue;
        if (length != group_length(group) || strncmp(group, path, length) != 0)
            (void)fprintf(out, "\n### %.*s\n\n%s", (int)length, path, head);
        group = path;
        print_markdown_row(out, &keys[i]);
    }
}

static json_t *json_of(const fmq_key_t *key)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "key", key->path, "type", type_word(key->type),
                  "default", key->fallback, "status", fmq_key_status_name(key->status), "resume",
                  fmq_key_resume_name(key->resume), "help", key->help);
    if (object && key->choices)
        (void)json_object_set_new(object, "choices", json_string(key->choices));
    if (object && key->least <= key->most) {
        (void)json_object_set_new(object, "least", json_real(key->least));
        if (key->most < FMQ_KEY_MANY)
            (void)json_object_set_new(object, "most", json_real(key->most));
    }
    return object;
}

static int print_json(FILE *out, const fmq_key_t *keys, size_t count, fmq_error_t *err)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++)
        if (json_array_append_new(array, json_of(&keys[i])) < 0) {
            json_decref(array);
            array = NULL;
        }
    int rc = array ? json_dumpf(array, out, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : -1;
    json_decref(array);
    (void)fputc('\n', out);
    return rc < 0 ? fmq_error_set(err, FMQ_ERR_IO, "cannot write the keys as JSON") : 0;
}

int fmq_config_print_keys(FILE *out, const char *format, fmq_error_t *err)
{
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    if (strcmp(format, "json") == 0)
        return print_json(out, keys, count, err);
    if (strcmp(format, "markdown") == 0)
        print_markdown(out, keys, count);
    else if (strcmp(format, "text") == 0)
        for (size_t i = 0; i < count; i++)
            print_text(out, &keys[i]);
    else
        return fmq_error_set(err, FMQ_ERR_CONFIG, "format '%s' is none of text, json and markdown",
                             format);
    return 0;
}

int fmq_config_explain(FILE *out, const char *path, fmq_error_t *err)
{
    size_t count, printed = 0, length = strlen(path);
    const fmq_key_t *keys = fmq_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        bool below = strncmp(keys[i].path, path, length) == 0 &&
                     (!keys[i].path[length] || keys[i].path[length] == '.');
        if (below)
            print_text(out, &keys[i]);
        printed += below;
    }
    if (printed)
        return 0;
    char nearest[FMQ_KEY_PATH_MAX];
    fmq_key_nearest(path, nearest);
    return fmq_error_set(err, FMQ_ERR_NOTFOUND, "unknown key '%s'%s%s%s", path,
                         *nearest ? "; did you mean '" : "", nearest, *nearest ? "'?" : "");
}
