/*
 * status_view.h - a run's status as people and programs read it.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_STATUS_VIEW_H
#define FEDMQ_ACTORS_LAUNCHER_STATUS_VIEW_H

#include <stdio.h>

#include "actors/protocol/status.h"

#define FMQ_STATUS_WIDTH 80 /* columns of its lines, at most */
#define FMQ_STATUS_ROWS  20 /* clients that people see by name, at most */

/* Writes lines of text.  stopped: nobody leads the run now, whatever its last
 * status says. */
void fmq_status_print(const fmq_status_t *status, bool stopped, FILE *out);

/* The same as one JSON object, without a newline; the caller's.  NULL: out of
 * memory. */
char *fmq_status_json(const fmq_status_t *status, bool stopped);

#endif
