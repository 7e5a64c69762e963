/*
 * aside.h - what a process says on standard error without an output (output.h):
 * before it has one, or because it does one thing at a time and needs none.
 *
 * With json every line is an object, as everywhere with --json.  Who calls waits
 * for standard error.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_ASIDE_H
#define FEDMQ_ACTORS_LAUNCHER_ASIDE_H

#include <stdbool.h>

#include "fedmq/base/log.h"

/* Text as it is, a line each; with json {"event":EVENT,"text":LINE} each.  NULL
 * and "" are no line. */
void fmq_aside(bool json, const char *event, const char *text);

/* A log that goes there; events below least are dropped.  NULL: out of memory. */
fmq_log_t *fmq_aside_log(bool json, fmq_log_level_t least);

#endif
