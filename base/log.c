/*
 * log.c - formats one event a line and hands it to the sinks.  A line never
 * holds a control character, so that text from a peer cannot forge a second
 * event or move a terminal's cursor, and is valid UTF-8, so that it can become
 * JSON.
 */
#include "fedmq/base/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/clock.h"

#define SINKS_MAX 4

typedef struct {
    fmq_log_sink_fn *write;
    void *argument; /* borrowed */
    fmq_log_level_t least;
} sink_t;

struct fmq_log {
    pthread_mutex_t lock;
    sink_t sinks[SINKS_MAX];
    size_t sink_count;
};

fmq_log_t *fmq_log_new(fmq_log_sink_fn *sink, void *argument, fmq_log_level_t least)
{
    fmq_log_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    if (pthread_mutex_init(&self->lock, NULL) != 0) {
        free(self);
        return NULL;
    }
    self->sinks[0] = (sink_t){sink, argument, least};
    self->sink_count = 1;
    return self;
}

void fmq_log_sink_file(void *argument, fmq_log_level_t level, const char *line)
{
    (void)level;
    FILE *file = argument;
    (void)fprintf(file, "%s\n", line);
    (void)fflush(file);
}

void fmq_log_sink_writer(void *argument, fmq_log_level_t level, const char *line)
{
    char text[FMQ_LOG_LINE_MAX + 1];
    int size = snprintf(text, sizeof text, "%s\n", line);
    if (size > 0 && (size_t)size < sizeof text)
        fmq_writer_put(argument, level >= FMQ_LOG_WARNING ? FMQ_WRITER_IMPORTANT : FMQ_WRITER_LINE,
                       text, (size_t)size);
}

size_t fmq_log_notice(void *argument, uint64_t lines, char *out, size_t capacity)
{
    char utc[FMQ_CLOCK_UTC_SIZE];
    (void)argument;
    fmq_clock_utc(utc);
    int size =
        snprintf(out, capacity, "%s warning log lines-dropped count=%" PRIu64 "\n", utc, lines);
    return size < 0 || (size_t)size >= capacity ? 0 : (size_t)size;
}

void fmq_log_destroy(fmq_log_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    (void)pthread_mutex_destroy(&(*self_p)->lock);
    free(*self_p);
    *self_p = NULL;
}

int fmq_log_add_sink(fmq_log_t *self, fmq_log_sink_fn *sink, void *argument, fmq_log_level_t least)
{
    int rc = -1;
    (void)pthread_mutex_lock(&self->lock);
    if (self->sink_count < SINKS_MAX) {
        self->sinks[self->sink_count++] = (sink_t){sink, argument, least};
        rc = 0;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return rc;
}

static const char *level_name(fmq_log_level_t level)
{
    static const char *const names[] = {
        [FMQ_LOG_DEBUG] = "debug",
        [FMQ_LOG_INFO] = "info",
        [FMQ_LOG_WARNING] = "warning",
        [FMQ_LOG_ERROR] = "error",
    };
    return level < sizeof names / sizeof *names ? names[level] : "unknown";
}

/* Bytes of the character that text begins with, 0 when it is none: the forms of
 * table 3-7 of the Unicode standard. */
static size_t character_size(const unsigned char *text)
{
    unsigned char first = text[0];
    size_t size = first < 0x80                    ? 1
                  : first >= 0xc2 && first < 0xe0 ? 2
                  : first >= 0xe0 && first < 0xf0 ? 3
                  : first >= 0xf0 && first < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (first == 0xe0 && text[1] < 0xa0) || (first == 0xf0 && text[1] < 0x90);
    bool beyond = (first == 0xed && text[1] > 0x9f) || (first == 0xf4 && text[1] > 0x8f);
    return overlong || beyond ? 0 : size;
}

/* U+0080 to U+009f are controls too: some terminals take U+009b for ESC [. */
void fmq_log_tame(char *line)
{
    unsigned char *c = (unsigned char *)line;
    while (*c) {
        size_t size = character_size(c);
        if (size == 0)
            *c = '?';
        else if (*c < 0x20 || *c == 0x7f)
            *c = ' ';
        else if (*c == 0xc2 && c[1] < 0xa0)
            c[0] = c[1] = ' ';
        c += size ? size : 1;
    }
}

static void hand_to_sinks(fmq_log_t *self, fmq_log_level_t level, const char *line)
{
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->sink_count; i++)
        if (level >= self->sinks[i].least)
            self->sinks[i].write(self->sinks[i].argument, level, line);
    (void)pthread_mutex_unlock(&self->lock);
}

void fmq_log_write(fmq_log_t *self, fmq_log_level_t level, const char *actor, const char *event,
                   const char *format, ...)
{
    if (!self)
        return;
    char utc[FMQ_CLOCK_UTC_SIZE];
    fmq_clock_utc(utc);
    char line[FMQ_LOG_LINE_MAX];
    int used = snprintf(line, sizeof line, "%s %s %s %s ", utc, level_name(level), actor, event);
    if (used >= 0 && (size_t)used < sizeof line) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(line + used, sizeof line - (size_t)used, format, args);
        va_end(args);
    }
    size_t length = strlen(line);
    if (length && line[length - 1] == ' ') /* an event without pairs */
        line[length - 1] = '\0';
    fmq_log_tame(line);
    hand_to_sinks(self, level, line);
}
