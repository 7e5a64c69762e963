/*
 * display_json.c - what is shown as JSON objects, one a line.
 */
#include "actors/launcher/display_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *event_name(fmq_run_event_type_t type)
{
    switch (type) {
    case FMQ_RUN_WAITING:
        return "waiting";
    case FMQ_RUN_ALIGNING:
        return "aligning";
    case FMQ_RUN_ROUND:
        return "round";
    case FMQ_RUN_PROGRESS:
        return "progress";
    case FMQ_RUN_AGGREGATED:
        return "aggregated";
    case FMQ_RUN_METRICS:
        return "metrics";
    case FMQ_RUN_ENDED:
        return "ended";
    }
    return "unknown";
}

/* JSON has no NaN: such a number is null. */
static void set_number(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null());
}

/* What a peer or a path says may be no UTF-8, which JSON has to be. */
json_t *fmq_display_json_string(const char *text)
{
    char *copy = strdup(text);
    if (copy)
        fmq_log_tame(copy);
    json_t *string = copy ? json_string(copy) : NULL;
    free(copy);
    return string;
}

char *fmq_display_json_line(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    size_t size = text ? strlen(text) : 0;
    char *line = text ? realloc(text, size + 2) : NULL;
    if (line)
        memcpy(line + size, "\n", 2);
    else
        free(text);
    json_decref(object);
    return line;
}

static void set_traffic(json_t *object, const fmq_run_event_t *event, bool in_memory)
{
    json_int_t up = (json_int_t)event->bytes_up, down = (json_int_t)event->bytes_down;
    json_object_set_new(object, "payload_up", json_integer(up));
    json_object_set_new(object, "payload_down", json_integer(down));
    json_object_set_new(object, "bytes_up", json_integer(in_memory ? 0 : up));
    json_object_set_new(object, "bytes_down", json_integer(in_memory ? 0 : down));
}

char *fmq_display_json_event(const fmq_run_event_t *event, int64_t milliseconds, bool in_memory)
{
    json_t *object = json_object();
    json_object_set_new(object, "event", json_string(event_name(event->type)));
    json_object_set_new(object, "milliseconds", json_integer(milliseconds));
    json_object_set_new(object, "round", json_integer(event->round));
    json_object_set_new(object, "rounds", json_integer(event->rounds));
    json_object_set_new(object, "clients", json_integer(event->clients));
    json_object_set_new(object, "clients_done", json_integer(event->clients_done));
    json_object_set_new(object, "step", json_integer((json_int_t)event->step));
    json_object_set_new(object, "steps", json_integer((json_int_t)event->steps));
    if (event->type == FMQ_RUN_ALIGNING) {
        json_object_set_new(object, "block", json_integer(event->block));
        json_object_set_new(object, "blocks", json_integer(event->blocks));
    }
    json_object_set_new(object, "evaluating", json_boolean(event->evaluating));
    set_traffic(object, event, in_memory);
    set_number(object, "train_loss", event->train_loss);
    if (event->source)
        json_object_set_new(object, "source", fmq_display_json_string(event->source));
    if (event->reason)
        json_object_set_new(object, "reason", fmq_display_json_string(event->reason));
    if (event->metrics) {
        json_t *metrics = json_object();
        for (size_t i = 0; i < event->metrics->size; i++)
            set_number(metrics, event->metrics->items[i].name, event->metrics->items[i].value);
        json_object_set_new(object, "metrics", metrics);
    }
    return fmq_display_json_line(object);
}

/* Cuts the next word off. */
static const char *take_word(char **rest)
{
    char *word = *rest, *end = strchr(word, ' ');
    if (end)
        *end++ = '\0';
    *rest = end ? end : word + strlen(word);
    return word;
}

char *fmq_display_json_log(const char *line)
{
    char *copy = strdup(line), *rest = copy;
    if (!copy)
        return NULL;
    const char *time = take_word(&rest), *level = take_word(&rest), *actor = take_word(&rest),
               *what = take_word(&rest);
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "event", "log", "time", time,
                               "level", level, "actor", actor, "what", what, "text", rest);
    free(copy);
    return fmq_display_json_line(object);
}

char *fmq_display_json_said(const char *event, const char *text)
{
    return fmq_display_json_line(
        json_pack("{s:s, s:o}", "event", event, "text", fmq_display_json_string(text)));
}

char *fmq_display_json_text(const char *text)
{
    return fmq_display_json_said("line", text);
}

char *fmq_display_json_error(const fmq_error_t *err, int status)
{
    return fmq_display_json_line(json_pack("{s:s, s:s, s:i, s:o}", "event", "error", "code",
                                           fmq_error_name(err->code), "status", status, "text",
                                           fmq_display_json_string(err->text)));
}
