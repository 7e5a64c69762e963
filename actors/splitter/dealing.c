/*
 * dealing.c - counts and names of a split, into a line of bounded length.
 */
#include "actors/splitter/dealing.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS_MAX    8  /* whose categories are said */
#define CATEGORIES_MAX 12 /* of a client that are said */
#define NAME_BYTES     24 /* of a category that are said */

typedef struct {
    char *out;
    size_t used;
} line_t;

static void put(line_t *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(line_t *line, const char *format, ...)
{
    size_t left = FMQ_DEALING_BYTES - line->used;
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line->out + line->used, left, format, args);
    va_end(args);
    if (size > 0)
        line->used += (size_t)size < left ? (size_t)size : left - 1;
}

static int compare_sizes(const void *a, const void *b)
{
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    return left < right ? -1 : left > right;
}

static void put_part(line_t *line, const fmq_dealing_t *self, size_t part)
{
    static const char *const names[3] = {"train", "val", "test"};
    size_t total = 0, *sizes = calloc(self->clients, sizeof *sizes);
    if (!sizes)
        return;
    for (uint32_t client = 0; client < self->clients; client++)
        total += sizes[client] = self->parts[part][client].size;
    qsort(sizes, self->clients, sizeof *sizes, compare_sizes);
    put(line, "%s%s %zu records", part ? "; " : "", names[part], total);
    if (total > 0)
        put(line, ", %zu to %zu each (median %zu)", sizes[0], sizes[self->clients - 1],
            sizes[self->clients / 2]);
    free(sizes);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A category as it may stand in a log and on a terminal: cut at a character,
 * without control characters. */
static void put_name(line_t *line, const char *name)
{
    char clean[NAME_BYTES + 1];
    size_t size = strnlen(name, NAME_BYTES + 1);
    if (size > NAME_BYTES)
        for (size = NAME_BYTES; size > 0 && ((unsigned char)name[size] & 0xC0) == 0x80;)
            size--;
    for (size_t i = 0; i < size; i++)
        clean[i] = (unsigned char)name[i] < ' ' || name[i] == 0x7F ? ' ' : name[i];
    clean[size] = '\0';
    if (line->used + size + 32 < FMQ_DEALING_BYTES)
        put(line, "%s", size ? clean : "(none)");
}

/* The categories of a client's records, each once. */
static void put_client(line_t *line, const fmq_dealing_t *self, uint32_t client)
{
    const llm_part_t *part = &self->parts[0][client];
    const char **names = calloc(part->size + 1, sizeof *names);
    size_t said = 0;
    if (!names)
        return;
    for (size_t i = 0; i < part->size; i++)
        names[i] = llm_records_at(self->records, part->items[i])->category;
    qsort(names, part->size, sizeof *names, compare_names);
    put(line, "; client-%" PRIu32 ":", client + 1);
    for (size_t i = 0, next; i < part->size; i = next) {
        for (next = i + 1; next < part->size && strcmp(names[i], names[next]) == 0;)
            next++;
        if (said++ == CATEGORIES_MAX) {
            put(line, ", ...");
            break;
        }
        put(line, "%s", said > 1 ? ", " : " ");
        put_name(line, names[i]);
        if (self->counts)
            put(line, " %zu", next - i);
    }
    free(names);
}

void fmq_dealing_describe(const fmq_dealing_t *self, char out[FMQ_DEALING_BYTES])
{
    line_t line = {.out = out};
    out[0] = '\0';
    put(&line, "%s over %" PRIu32 " client%s: ", self->how, self->clients,
        self->clients == 1 ? "" : "s");
    for (size_t part = 0; part < 3; part++)
        put_part(&line, self, part);
    for (uint32_t client = 0; self->categories && client < self->clients; client++) {
        if (client == CLIENTS_MAX) {
            put(&line, "; ...");
            return;
        }
        put_client(&line, self, client);
    }
}
