/*
 * aside.c - lines or objects on standard error, one after the other.
 */
#include "actors/launcher/aside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/launcher/display_json.h"

/* Takes object over.  What cannot be made is left out: half a line is worse. */
static void put(char *object)
{
    if (object)
        (void)fputs(object, stderr);
    free(object);
}

static void say(bool json, const char *event, const char *line)
{
    if (json)
        put(fmq_display_json_said(event, line));
    else
        (void)fprintf(stderr, "%s\n", line);
}

void fmq_aside(bool json, const char *event, const char *text)
{
    char *copy = text ? strdup(text) : NULL, *rest = copy;
    while (rest && *rest) {
        char *line = rest;
        rest += strcspn(rest, "\n");
        if (*rest)
            *rest++ = '\0';
        if (*line)
            say(json, event, line);
    }
    free(copy);
}

static void write_object(void *argument, fmq_log_level_t level, const char *line)
{
    (void)argument;
    (void)level;
    put(fmq_display_json_log(line));
}

fmq_log_t *fmq_aside_log(bool json, fmq_log_level_t least)
{
    return fmq_log_new(json ? write_object : fmq_log_sink_file, stderr, least);
}
