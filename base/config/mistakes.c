/*
 * mistakes.c - keeps the first messages and counts the others.
 */
#include "base/config/mistakes.h"

#include <stdlib.h>
#include <string.h>

/* Splits "file:line:column"; what has no numbers is a name altogether. */
static fmq_mistake_place_t place_of(const char *origin)
{
    fmq_mistake_place_t place = {.name_length = strlen(origin)};
    const char *end = origin + place.name_length;
    const char *colons[2] = {NULL, NULL};
    for (const char *c = end; c > origin && !colons[1]; c--)
        if (c[-1] == ':')
            colons[colons[0] != NULL] = c - 1;
    if (!colons[1])
        return place;
    char *after_line, *after_column;
    unsigned long line = strtoul(colons[1] + 1, &after_line, 10);
    unsigned long column = strtoul(colons[0] + 1, &after_column, 10);
    if (after_line == colons[0] && after_column == end && line && column)
        place = (fmq_mistake_place_t){
            .name_length = (size_t)(colons[1] - origin), .line = line, .column = column};
    return place;
}

void fmq_mistakes_add(fmq_mistakes_t *self, const char *origin, const char *format, ...)
{
    self->count++;
    if (self->kept >= FMQ_CONFIG_MISTAKES_MAX)
        return;
    char text[FMQ_ERROR_TEXT_MAX];
    int used = snprintf(text, sizeof text, "%.400s: ", origin);
    if (used < 0)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text + used, sizeof text - (size_t)used, format, args);
    va_end(args);
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = ' ';
    char *copy = strdup(text);
    if (!copy) {
        self->no_memory = true;
        return;
    }
    self->places[self->kept] = place_of(origin);
    self->places[self->kept].said = (size_t)used;
    self->texts[self->kept++] = copy;
}

void fmq_mistakes_copy(fmq_mistakes_t *self, const fmq_mistakes_t *from)
{
    for (size_t i = 0; i < from->kept && self->kept < FMQ_CONFIG_MISTAKES_MAX; i++) {
        char *copy = strdup(from->texts[i]);
        if (!copy)
            continue;
        self->places[self->kept] = from->places[i];
        self->texts[self->kept++] = copy;
    }
    self->count += from->count;
}

static bool same_source(const fmq_mistakes_t *self, size_t a, size_t b)
{
    size_t length = self->places[a].name_length;
    return length == self->places[b].name_length &&
           strncmp(self->texts[a], self->texts[b], length) == 0;
}

/* True when a, which stands behind b, belongs before it. */
static bool comes_before(const fmq_mistakes_t *self, size_t a, size_t b)
{
    const fmq_mistake_place_t *p = &self->places[a], *q = &self->places[b];
    if (!same_source(self, a, b))
        for (size_t i = 0; i < b; i++) /* a's source was there first */
            if (same_source(self, a, i))
                return true;
    return same_source(self, a, b) &&
           (p->line < q->line || (p->line == q->line && p->column < q->column));
}

void fmq_mistakes_sort(fmq_mistakes_t *self)
{
    for (size_t i = 1; i < self->kept; i++)
        for (size_t k = i; k > 0 && comes_before(self, k, k - 1); k--) {
            char *text = self->texts[k];
            fmq_mistake_place_t place = self->places[k];
            self->texts[k] = self->texts[k - 1];
            self->places[k] = self->places[k - 1];
            self->texts[k - 1] = text;
            self->places[k - 1] = place;
        }
}

void fmq_mistakes_print(const fmq_mistakes_t *self, FILE *out)
{
    for (size_t i = 0; i < self->kept; i++)
        (void)fprintf(out, "%s\n", self->texts[i]);
    if (self->count > self->kept)
        (void)fprintf(out, "(and %zu more)\n", self->count - self->kept);
}

/* True when a is b, or a dotted path above it; a ends at a_size. */
static bool is_above(const char *a, size_t a_size, const char *b, size_t b_size)
{
    return a_size > 0 && a_size <= b_size && strncmp(a, b, a_size) == 0 &&
           (a_size == b_size || b[a_size] == '.');
}

bool fmq_mistakes_about(const fmq_mistakes_t *self, const char *key)
{
    size_t length = strlen(key);
    for (size_t i = 0; i < self->kept; i++) {
        const char *said = self->texts[i] + self->places[i].said;
        size_t subject = strcspn(said, ":");
        if (is_above(said, subject, key, length) || is_above(key, length, said, subject))
            return true;
    }
    return false;
}

void fmq_mistakes_where(const fmq_mistakes_t *self, char *out, size_t size)
{
    bool one = self->kept > 0 && self->kept == self->count && self->places[0].line > 0;
    for (size_t i = 1; i < self->kept && one; i++)
        one = same_source(self, 0, i);
    if (one && strncmp(self->texts[0], "command line:", strlen("command line:")) != 0)
        (void)snprintf(out, size, "'%.*s'", (int)self->places[0].name_length, self->texts[0]);
    else
        (void)snprintf(out, size, "the configuration");
}

const char *fmq_mistakes_first(const fmq_mistakes_t *self, size_t from)
{
    return from < self->kept ? self->texts[from] : NULL;
}

void fmq_mistakes_release(fmq_mistakes_t *self)
{
    for (size_t i = 0; i < self->kept; i++)
        free(self->texts[i]);
    memset(self, 0, sizeof *self);
}
