/*
 * dump.c - a config as YAML that loads again to the same values.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/scalar.h"

/* True when text can stand without quotes, in block and in flow style. */
static bool is_plain(const char *text)
{
    if (fmq_scalar_kind(text) != FMQ_SCALAR_TEXT ||
        !(isalpha((unsigned char)*text) || *text == '_'))
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@+-") ==
           strlen(text);
}

static void write_quoted(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            (void)fprintf(out, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            (void)fprintf(out, "\\x%02x", *c);
        else
            (void)fputc(*c, out);
    }
    (void)fputc('"', out);
}

static void write_text(FILE *out, const char *text)
{
    if (is_plain(text))
        (void)fputs(text, out);
    else
        write_quoted(out, text);
}

static void write_flow(FILE *out, const fmq_node_t *node)
{
    if (node->kind == FMQ_NODE_SCALAR) {
        fmq_scalar_kind_t kind = fmq_scalar_kind(node->text);
        if (node->quoted || kind == FMQ_SCALAR_TEXT)
            write_text(out, node->text);
        else
            (void)fputs(kind == FMQ_SCALAR_NULL ? "null" : node->text, out);
        return;
    }
    bool map = node->kind == FMQ_NODE_MAP;
    (void)fputc(map ? '{' : '[', out);
    for (size_t i = 0; i < node->size; i++) {
        if (i)
            (void)fputs(", ", out);
        if (map) {
            write_text(out, node->items[i]->name);
            (void)fputs(": ", out);
        }
        write_flow(out, node->items[i]);
    }
    (void)fputc(map ? '}' : ']', out);
}

char *fmq_config_flow(const fmq_node_t *node)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    write_flow(out, node);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* Old names were applied to the new keys, and would override them again. */
static bool is_left_out(const fmq_node_t *node, bool only_given)
{
    if (node->key && fmq_key_renamed(node->key->path))
        return true;
    if (node->kind != FMQ_NODE_MAP || !node->size)
        return only_given && !node->given;
    for (size_t i = 0; i < node->size; i++)
        if (!is_left_out(node->items[i], only_given))
            return false;
    return true;
}

static void write_map(FILE *out, const fmq_node_t *map, unsigned depth, bool only_given)
{
    for (size_t i = 0; i < map->size; i++) {
        const fmq_node_t *node = map->items[i];
        bool group = node->kind == FMQ_NODE_MAP && node->size;
        if (is_left_out(node, only_given))
            continue;
        (void)fprintf(out, "%*s", (int)(2 * depth), "");
        write_text(out, node->name);
        (void)fputs(group ? ":\n" : ": ", out);
        if (group) {
            write_map(out, node, depth + 1, only_given);
            continue;
        }
        write_flow(out, node);
        (void)fputc('\n', out);
    }
}

static void write_clients(FILE *out, const fmq_config_t *self)
{
    for (size_t i = 0; i < self->clients_size; i++) {
        if (!self->clients[i].overrides->size)
            continue;
        (void)fprintf(out, "client_%u:\n", (unsigned)self->clients[i].client);
        write_map(out, self->clients[i].overrides, 1, false);
    }
}

char *fmq_config_dump(const fmq_config_t *self, bool only_given, fmq_error_t *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out) {
        write_map(out, self->root, 0, only_given);
        write_clients(out, self);
        if (ferror(out) | fclose(out)) {
            free(text);
            text = NULL;
        }
    }
    if (!text)
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the configuration's text");
    return text;
}
