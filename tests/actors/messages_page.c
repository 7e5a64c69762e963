/*
 * messages_page.c - writes the sections of messages.
 */
#include "messages_page.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AFTER "\n### Two notes, byte for byte\n" /* behind the last message */

typedef struct {
    char *text; /* owned; NULL: no memory */
    size_t size;
} text_t;

static void add(text_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(text_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *grown = self->text ? realloc(self->text, self->size + (size_t)size + 1) : NULL;
    if (!grown)
        free(self->text);
    self->text = grown;
    if (!grown)
        return;
    va_start(args, format);
    (void)vsnprintf(grown + self->size, (size_t)size + 1, format, args);
    va_end(args);
    self->size += (size_t)size;
}

static const char *type_word(fmq_field_kind_t kind)
{
    switch (kind) {
    case FMQ_FIELD_RUN:
        return "run";
    case FMQ_FIELD_U32:
        return "u32";
    case FMQ_FIELD_U64:
        return "u64";
    case FMQ_FIELD_CHOICE:
        return "choice: ";
    case FMQ_FIELD_BOOL:
        return "boolean";
    case FMQ_FIELD_REAL:
        return "real";
    case FMQ_FIELD_REASON:
        return "reason";
    case FMQ_FIELD_REMARK:
        return "remark";
    case FMQ_FIELD_DIGEST:
        return "digest";
    case FMQ_FIELD_METRICS:
        return "metrics";
    }
    return "";
}

static void add_section(text_t *out, const fmq_fields_t *table)
{
    add(out, "\n### `%s`, %s\n\n", table->name, table->between);
    if (*table->says)
        add(out, "%s\n\n", table->says);
    add(out, "| key | type | |\n|---|---|---|\n");
    for (size_t i = 0; i < table->size; i++) {
        const fmq_field_t *field = &table->fields[i];
        add(out, "| `%s` | %s", field->key, type_word(field->kind));
        for (size_t w = 0; field->words && w < field->words->size; w++)
            add(out, "%s%zu %s", w ? ", " : "", w, field->words->words[w]);
        add(out, *field->says ? " | %s |\n" : " | %s|\n", field->says);
    }
}

/* Where the first line behind the table that follows `at` begins. */
static const char *behind_table(const char *at)
{
    const char *line = strstr(at, "\n|");
    while (line && line[1] == '|')
        line = strchr(line + 1, '\n');
    return line ? line + 1 : at + strlen(at);
}

char *messages_page(const char *page)
{
    text_t out = {.text = calloc(1, 1)};
    const char *from = page;
    for (size_t i = 0; fmq_message_table(i); i++) {
        char heading[64];
        (void)snprintf(heading, sizeof heading, "\n### `%s`, ", fmq_message_table(i)->name);
        const char *begin = strstr(from, heading);
        bool known = begin != NULL;
        if (!known)
            begin = strstr(from, AFTER);
        if (!begin)
            begin = from + strlen(from);
        add(&out, "%.*s", (int)(begin - from), from);
        add_section(&out, fmq_message_table(i));
        from = known ? behind_table(begin) : begin;
    }
    add(&out, "%s", from);
    return out.text;
}
