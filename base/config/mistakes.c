/*
 * mistakes.c - keeps the first messages and counts the others.
 */
#include "base/config/mistakes.h"

#include <stdlib.h>
#include <string.h>

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
    if (copy)
        self->texts[self->kept++] = copy;
}

void fmq_mistakes_copy(fmq_mistakes_t *self, const fmq_mistakes_t *from)
{
    for (size_t i = 0; i < from->kept && self->kept < FMQ_CONFIG_MISTAKES_MAX; i++) {
        char *copy = strdup(from->texts[i]);
        if (copy)
            self->texts[self->kept++] = copy;
    }
    self->count += from->count;
}

void fmq_mistakes_print(const fmq_mistakes_t *self, FILE *out)
{
    for (size_t i = 0; i < self->kept; i++)
        (void)fprintf(out, "%s\n", self->texts[i]);
    if (self->count > self->kept)
        (void)fprintf(out, "(and %zu more)\n", self->count - self->kept);
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
