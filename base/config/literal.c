/*
 * literal.c - Python literals, as FS-LLM evaluates them in texts and KEY VALUE
 * pairs: "(0.9, 0.95)", "['loss']", "[{'alpha': 0.5}]".  Names, operators and
 * calls are no literals, so nothing is ever evaluated.
 */
#include <stdlib.h>
#include <string.h>

#include "base/config/reader.h"
#include "base/config/scalar.h"

typedef struct {
    const char *at;
    char *word; /* owned; room for any word of the text */
} input_t;

static fmq_node_t *read_value(input_t *in, unsigned depth);

static void skip_blanks(input_t *in)
{
    while (*in->at == ' ' || *in->at == '\n' || *in->at == '\r')
        in->at++;
}

static bool accept(input_t *in, char c)
{
    skip_blanks(in);
    if (*in->at != c)
        return false;
    in->at++;
    return true;
}

/* The character that a backslash stands before, or -1 when it is none of the
 * simple escapes. */
static int unescape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case '\\':
    case '\'':
    case '"':
        return c;
    default:
        return -1;
    }
}

static fmq_node_t *read_quoted(input_t *in)
{
    char quote = *in->at++;
    size_t n = 0;
    for (; *in->at != quote; in->at++) {
        int c = (unsigned char)*in->at;
        if (c == '\\')
            c = unescape(*++in->at);
        if (c <= 0) /* the end of the text, or an escape that is not known */
            return NULL;
        in->word[n++] = (char)c;
    }
    in->at++;
    in->word[n] = '\0';
    fmq_node_t *node = fmq_node_new(FMQ_NODE_SCALAR, NULL, in->word);
    if (node)
        node->quoted = true;
    return node;
}

/* A number, True, False or None. */
static fmq_node_t *read_word(input_t *in)
{
    size_t n = strcspn(in->at, " \n\r,:()[]{}'\"");
    memcpy(in->word, in->at, n);
    in->word[n] = '\0';
    bool name = strcmp(in->word, "True") == 0 || strcmp(in->word, "False") == 0 ||
                strcmp(in->word, "None") == 0;
    fmq_scalar_kind_t kind = fmq_scalar_kind(in->word);
    if (!name && kind != FMQ_SCALAR_INT && kind != FMQ_SCALAR_REAL)
        return NULL;
    in->at += n;
    return fmq_node_new(FMQ_NODE_SCALAR, NULL, in->word);
}

/* Items up to close; commas counts those seen. */
static fmq_node_t *read_items(input_t *in, char close, unsigned depth, size_t *commas)
{
    fmq_node_t *list = fmq_node_new(FMQ_NODE_LIST, NULL, NULL);
    if (!list)
        return NULL;
    while (!accept(in, close)) {
        fmq_node_t *item = read_value(in, depth + 1);
        if (!item || fmq_node_append(list, &item) < 0) {
            fmq_node_destroy(&item);
            goto fail;
        }
        bool comma = accept(in, ',');
        *commas += comma;
        skip_blanks(in);
        if (!comma && *in->at != close)
            goto fail;
    }
    return list;
fail:
    fmq_node_destroy(&list);
    return NULL;
}

static fmq_node_t *read_parentheses(input_t *in, unsigned depth)
{
    size_t commas = 0;
    fmq_node_t *list = read_items(in, ')', depth, &commas);
    if (!list || list->size != 1 || commas)
        return list;
    fmq_node_t *value = fmq_node_take(list, 0); /* "(1)" is 1; "(1,)" is a tuple */
    fmq_node_destroy(&list);
    return value;
}

static fmq_node_t *read_entry(input_t *in, unsigned depth)
{
    skip_blanks(in);
    if (*in->at != '\'' && *in->at != '"')
        return NULL;
    fmq_node_t *name = read_quoted(in);
    fmq_node_t *value = name && accept(in, ':') ? read_value(in, depth + 1) : NULL;
    if (value && fmq_node_set_name(value, name->text) < 0)
        fmq_node_destroy(&value);
    fmq_node_destroy(&name);
    return value;
}

static fmq_node_t *read_dict(input_t *in, unsigned depth)
{
    fmq_node_t *map = fmq_node_new(FMQ_NODE_MAP, NULL, NULL);
    if (!map)
        return NULL;
    while (!accept(in, '}')) {
        fmq_node_t *entry = read_entry(in, depth);
        if (!entry || map->size >= FMQ_MAP_CHILDREN_MAX || fmq_node_child(map, entry->name) ||
            fmq_node_append(map, &entry) < 0) {
            fmq_node_destroy(&entry);
            goto fail;
        }
        bool comma = accept(in, ',');
        skip_blanks(in);
        if (!comma && *in->at != '}')
            goto fail;
    }
    return map;
fail:
    fmq_node_destroy(&map);
    return NULL;
}

static fmq_node_t *read_value(input_t *in, unsigned depth)
{
    size_t commas = 0;
    if (depth > FMQ_CONFIG_DEPTH_MAX)
        return NULL;
    skip_blanks(in);
    switch (*in->at) {
    case '(':
        in->at++;
        return read_parentheses(in, depth);
    case '[':
        in->at++;
        return read_items(in, ']', depth, &commas);
    case '{':
        in->at++;
        return read_dict(in, depth);
    case '\'':
    case '"':
        return read_quoted(in);
    default:
        return read_word(in);
    }
}

fmq_node_t *fmq_literal_read(const char *text)
{
    input_t in = {.at = text, .word = malloc(strlen(text) + 1)};
    if (!in.word)
        return NULL;
    fmq_node_t *node = read_value(&in, 0);
    skip_blanks(&in);
    if (*in.at)
        fmq_node_destroy(&node);
    free(in.word);
    return node;
}

void fmq_literal_decode(fmq_node_t *node)
{
    if (node->kind != FMQ_NODE_SCALAR || !node->text[0] || !strchr("([{", node->text[0]))
        return;
    fmq_node_t *literal = fmq_literal_read(node->text);
    if (!literal)
        return;
    if (node->origin && fmq_node_set_origin(literal, node->origin) < 0) {
        fmq_node_destroy(&literal);
        return;
    }
    literal->given = node->given;
    fmq_node_become(node, &literal);
}
