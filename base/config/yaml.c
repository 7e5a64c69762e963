/*
 * yaml.c - YAML through libyaml's event interface, kept to the part that a
 * configuration needs: one document of maps, lists and scalars.  Anchors,
 * aliases, tags, repeated keys and tabs in the indentation are mistakes.
 * Depth is capped while reading, because libyaml nests in quadratic time.
 */
#include <yaml.h>

#include <stdlib.h>
#include <string.h>

#include "base/config/keys.h"
#include "base/config/reader.h"

#define ORIGIN_MAX 512

typedef struct {
    yaml_parser_t parser;
    const char *name; /* borrowed */
    fmq_mistakes_t *mistakes;
    bool failed; /* nothing more can be read */
} reader_t;

static fmq_node_t *read_value(reader_t *reader, const yaml_event_t *event, unsigned depth);

static void write_origin(const reader_t *reader, yaml_mark_t mark, char out[ORIGIN_MAX])
{
    (void)snprintf(out, ORIGIN_MAX, "%.400s:%zu:%zu", reader->name, mark.line + 1, mark.column + 1);
}

#define MISTAKE(reader, mark, ...)                                                                 \
    do {                                                                                           \
        char origin_[ORIGIN_MAX];                                                                  \
        write_origin(reader, mark, origin_);                                                       \
        fmq_mistakes_add((reader)->mistakes, origin_, __VA_ARGS__);                                \
    } while (0)

/* An error of the bytes themselves has an offset instead of a mark. */
static yaml_mark_t mark_of_offset(const char *text, size_t size, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && i < size; i++) {
        mark.column = text[i] == '\n' ? 0 : mark.column + 1;
        mark.line += text[i] == '\n';
    }
    return mark;
}

static void report_syntax(reader_t *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    yaml_mark_t mark = parser->problem_mark;
    if (parser->error == YAML_READER_ERROR)
        mark = mark_of_offset((const char *)parser->input.string.start,
                              (size_t)(parser->input.string.end - parser->input.string.start),
                              parser->problem_offset);
    reader->mistakes->no_memory |= parser->error == YAML_MEMORY_ERROR;
    if (parser->error == YAML_MEMORY_ERROR)
        MISTAKE(reader, mark, "out of memory");
    else
        MISTAKE(reader, mark, "this is not YAML: %s%s%s",
                parser->problem ? parser->problem : "unreadable", parser->context ? ", " : "",
                parser->context ? parser->context : "");
}

/* The next event; the caller deletes it.  -1: reading ends here. */
static int next_event(reader_t *reader, yaml_event_t *event)
{
    if (reader->failed)
        return -1;
    if (yaml_parser_parse(&reader->parser, event))
        return 0;
    report_syntax(reader);
    reader->failed = true;
    return -1;
}

static void out_of_memory(reader_t *reader)
{
    if (!reader->failed)
        fmq_mistakes_add(reader->mistakes, reader->name, "out of memory");
    reader->mistakes->no_memory = true;
    reader->failed = true;
}

static void refuse_anchor_and_tag(reader_t *reader, const yaml_event_t *event,
                                  const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        MISTAKE(reader, event->start_mark, "anchor '&%.60s': write the value out instead",
                (const char *)anchor);
    if (tag)
        MISTAKE(reader, event->start_mark, "tag '%.60s': leave it out", (const char *)tag);
}

static fmq_node_t *new_node(reader_t *reader, fmq_node_kind_t kind, const yaml_event_t *event,
                            const char *text)
{
    char origin[ORIGIN_MAX];
    fmq_node_t *node = fmq_node_new(kind, NULL, text);
    write_origin(reader, event->start_mark, origin);
    if (!node || fmq_node_set_origin(node, origin) < 0) {
        fmq_node_destroy(&node);
        out_of_memory(reader);
    }
    return node;
}

static fmq_node_t *read_scalar(reader_t *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    refuse_anchor_and_tag(reader, event, event->data.scalar.anchor, event->data.scalar.tag);
    if (strlen(text) != event->data.scalar.length) {
        MISTAKE(reader, event->start_mark, "a text with a zero byte in it");
        text = "";
    }
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && *text == '(' && !strchr(text, ')'))
        MISTAKE(reader, event->start_mark,
                "a tuple within { } or [ ] ends at its comma: put it in quotes, or write [a, b]");
    fmq_node_t *node = new_node(reader, FMQ_NODE_SCALAR, event, text);
    if (node)
        node->quoted = !plain;
    return node;
}

static fmq_node_t *read_list(reader_t *reader, const yaml_event_t *start, unsigned depth)
{
    refuse_anchor_and_tag(reader, start, start->data.sequence_start.anchor,
                          start->data.sequence_start.tag);
    fmq_node_t *list = new_node(reader, FMQ_NODE_LIST, start, NULL);
    yaml_event_t event;
    while (list && next_event(reader, &event) == 0) {
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        fmq_node_t *item = end ? NULL : read_value(reader, &event, depth + 1);
        yaml_event_delete(&event);
        if (end)
            break;
        if (item && fmq_node_append(list, &item) < 0) {
            fmq_node_destroy(&item);
            out_of_memory(reader);
        }
    }
    return list;
}

/* The name in a key event; NULL when it cannot be one. */
static char *read_name(reader_t *reader, const yaml_event_t *event, unsigned depth)
{
    if (event->type == YAML_SCALAR_EVENT) {
        const char *text = (const char *)event->data.scalar.value;
        refuse_anchor_and_tag(reader, event, event->data.scalar.anchor, event->data.scalar.tag);
        if (*text && strlen(text) == event->data.scalar.length && strlen(text) < FMQ_KEY_PATH_MAX) {
            char *name = strdup(text);
            if (!name)
                out_of_memory(reader);
            return name;
        }
    } else {
        fmq_node_t *skipped = read_value(reader, event, depth + 1);
        fmq_node_destroy(&skipped);
    }
    if (!reader->failed)
        MISTAKE(reader, event->start_mark, "a key must be a plain word of less than %d bytes",
                FMQ_KEY_PATH_MAX);
    return NULL;
}

/* A value's origin is where its key stands. */
static void add_entry(reader_t *reader, fmq_node_t *map, fmq_node_t **value_p, const char *name,
                      yaml_mark_t mark)
{
    const fmq_node_t *twin = fmq_node_child(map, name);
    char origin[ORIGIN_MAX];
    write_origin(reader, mark, origin);
    if (twin)
        MISTAKE(reader, mark, "key '%.80s' is given twice in one map; its first value is at %s",
                name, twin->origin);
    else if (map->size >= FMQ_MAP_CHILDREN_MAX)
        MISTAKE(reader, mark, "key '%.80s' is more than the %d that one map may have", name,
                FMQ_MAP_CHILDREN_MAX);
    else if (fmq_node_set_name(*value_p, name) < 0 || fmq_node_move(*value_p, origin) < 0 ||
             fmq_node_append(map, value_p) < 0)
        out_of_memory(reader);
    fmq_node_destroy(value_p);
}

static fmq_node_t *read_map(reader_t *reader, const yaml_event_t *start, unsigned depth)
{
    refuse_anchor_and_tag(reader, start, start->data.mapping_start.anchor,
                          start->data.mapping_start.tag);
    fmq_node_t *map = new_node(reader, FMQ_NODE_MAP, start, NULL);
    yaml_event_t event;
    while (map && next_event(reader, &event) == 0) {
        bool end = event.type == YAML_MAPPING_END_EVENT;
        yaml_mark_t mark = event.start_mark;
        char *name = end ? NULL : read_name(reader, &event, depth);
        yaml_event_delete(&event);
        if (end)
            break;
        if (next_event(reader, &event) == 0) {
            fmq_node_t *value = read_value(reader, &event, depth + 1);
            yaml_event_delete(&event);
            if (name && value)
                add_entry(reader, map, &value, name, mark);
            fmq_node_destroy(&value);
        }
        free(name);
    }
    return map;
}

/* The value that begins with event, NULL when it is refused. */
static fmq_node_t *read_value(reader_t *reader, const yaml_event_t *event, unsigned depth)
{
    if (depth > FMQ_CONFIG_DEPTH_MAX) {
        MISTAKE(reader, event->start_mark, "nested deeper than %d", FMQ_CONFIG_DEPTH_MAX);
        reader->failed = true;
        return NULL;
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return read_list(reader, event, depth);
    case YAML_MAPPING_START_EVENT:
        return read_map(reader, event, depth);
    case YAML_ALIAS_EVENT:
        MISTAKE(reader, event->start_mark, "alias '*%.60s': write the value out instead",
                (const char *)event->data.alias.anchor);
        return NULL;
    default:
        MISTAKE(reader, event->start_mark, "a value was expected here");
        reader->failed = true;
        return NULL;
    }
}

static fmq_node_t *read_documents(reader_t *reader)
{
    fmq_node_t *root = NULL;
    yaml_event_t event;
    size_t documents = 0;
    bool end = false;
    while (!end && next_event(reader, &event) == 0) {
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
            end = true;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (documents++) {
                MISTAKE(reader, event.start_mark, "a second document: only one is read");
                reader->failed = true;
            }
            break;
        default:
            root = read_value(reader, &event, 0);
        }
        yaml_event_delete(&event);
    }
    if (end && !documents)
        root = fmq_node_new(FMQ_NODE_MAP, NULL, NULL);
    return root;
}

/* libyaml's own message about tabs helps nobody, so they are found before. */
static size_t report_tabs(reader_t *reader, const char *text, size_t size)
{
    size_t found = 0;
    yaml_mark_t mark = {0};
    bool indentation = true;
    for (size_t i = 0; i < size; i++, mark.column++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = (size_t)-1;
            indentation = true;
        } else if (indentation && text[i] == '\t') {
            MISTAKE(reader, mark, "a tab in the indentation: use spaces");
            found++;
            indentation = false;
        } else if (text[i] != ' ') {
            indentation = false;
        }
    }
    return found;
}

/* Editors write byte order marks.  UTF-8's says nothing new; UTF-16's says that
 * what follows is not read here, and so do its zeros. */
static bool is_utf8(const char *name, const char **text, size_t *size, fmq_mistakes_t *mistakes)
{
    const char *at = *text;
    if (*size >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0) {
        *text += 3;
        *size -= 3;
    }
    bool wide = *size >= 2 && (memcmp(at, "\xFF\xFE", 2) == 0 || memcmp(at, "\xFE\xFF", 2) == 0 ||
                               !at[0] || !at[1]);
    if (wide)
        fmq_mistakes_add(mistakes, name,
                         "this is not UTF-8, perhaps UTF-16: save it as UTF-8, or convert it: "
                         "iconv -f UTF-16 -t UTF-8");
    return !wide;
}

fmq_node_t *fmq_yaml_read(const char *name, const char *text, size_t size, fmq_mistakes_t *mistakes)
{
    reader_t reader = {.name = name, .mistakes = mistakes};
    if (size > FMQ_CONFIG_FILE_MAX) {
        fmq_mistakes_add(mistakes, name, "%zu bytes: a configuration has at most %d", size,
                         FMQ_CONFIG_FILE_MAX);
        return NULL;
    }
    if (!is_utf8(name, &text, &size, mistakes) || report_tabs(&reader, text, size))
        return NULL;
    if (!yaml_parser_initialize(&reader.parser)) {
        out_of_memory(&reader);
        return NULL;
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    fmq_node_t *root = read_documents(&reader);
    yaml_parser_delete(&reader.parser);
    return root;
}
