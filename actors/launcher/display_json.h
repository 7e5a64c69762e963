/*
 * display_json.h - what is shown as JSON objects, one a line.
 *
 * Every function returns a line with its newline, the caller's to free, or NULL
 * when out of memory.  Numbers that JSON does not know are null.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_DISPLAY_JSON_H
#define FEDMQ_ACTORS_LAUNCHER_DISPLAY_JSON_H

#include <jansson.h>

#include "fedmq/actors/actors.h"

/* Any object, which is taken over; NULL: out of memory before. */
char *fmq_display_json_line(json_t *object);

/* {"event":"aggregated","milliseconds":..,"round":..,..}: milliseconds since the
 * first round began.  "payload_up" and "payload_down" are bytes of the round's
 * updates and states, "bytes_up" and "bytes_down" those of them that travelled:
 * none with in_memory. */
char *fmq_display_json_event(const fmq_run_event_t *event, int64_t milliseconds, bool in_memory);

/* {"event":"log","time":..,"level":"warning","actor":..,"what":..,"text":"key=value .."}
 * from a line of the log. */
char *fmq_display_json_log(const char *line);

/* A string of any bytes: controls and what is no UTF-8 are replaced. */
json_t *fmq_display_json_string(const char *text);

/* {"event":EVENT,"text":..}, of any bytes; EVENT is a word of ours. */
char *fmq_display_json_said(const char *event, const char *text);

/* {"event":"line","text":..} */
char *fmq_display_json_text(const char *text);

/* {"event":"error","code":"config","status":2,"text":..} */
char *fmq_display_json_error(const fmq_error_t *err, int status);

#endif
