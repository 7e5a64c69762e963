/*
 * log.h - one event a line, key=value, with UTC time and actor.
 *
 * A log is shared by all the actors of a process and is thread-safe: a line
 * is formatted by the caller's thread and handed to the sinks under a lock.
 * Router and training log, so the sinks of a run are writers (writer.h), which
 * never wait.  Never log tensor contents, keys or sample text.
 *
 * Which level for what, in a process of a run:
 *   ERROR    what ends an actor or the run; also on the terminal with --quiet
 *   WARNING  what a user should know and may want to change; on the terminal
 *            always but with --quiet
 *   INFO     what happened; in run.log, and on the terminal of a client or an
 *            evaluator, whose only news it is (not with `verbose 0`)
 *   DEBUG    everything; in run.log and on the terminal with `verbose 2`
 * With --json each of them is an object (actors/launcher/display.h).
 */
#ifndef FEDMQ_BASE_LOG_H
#define FEDMQ_BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"
#include "fedmq/base/writer.h"

FMQ_API_BEGIN

#define FMQ_LOG_LINE_MAX 2048 /* bytes with the final NUL; longer lines are cut */

typedef enum { FMQ_LOG_DEBUG, FMQ_LOG_INFO, FMQ_LOG_WARNING, FMQ_LOG_ERROR } fmq_log_level_t;

typedef struct fmq_log fmq_log_t;

/* Takes one finished line without newline: valid UTF-8 without controls.
 * Called under the log's lock: it must not log.  line is borrowed. */
typedef void(fmq_log_sink_fn)(void *argument, fmq_log_level_t level, const char *line);

/* Creates a log that drops events below least.  Returns NULL when out of
 * memory.  argument is borrowed and must outlive the log. */
fmq_log_t *fmq_log_new(fmq_log_sink_fn *sink, void *argument, fmq_log_level_t least);

/* Writes to a FILE * given as argument, and waits for it: for commands that do
 * one thing at a time. */
fmq_log_sink_fn fmq_log_sink_file;

/* Puts lines into the fmq_writer_t * given as argument; warnings and errors are
 * IMPORTANT there. */
fmq_log_sink_fn fmq_log_sink_writer;

/* A writer's notice in the form of an event: "... lines-dropped count=12". */
fmq_writer_notice_fn fmq_log_notice;

/* Makes any bytes a line of text, in place: controls become spaces, bytes that
 * are not UTF-8 question marks. */
void fmq_log_tame(char *line);

void fmq_log_destroy(fmq_log_t **self_p);

/* Adds a second sink, such as the run's run.log beside the terminal.
 * Returns 0, or -1 when there are already four. */
int fmq_log_add_sink(fmq_log_t *self, fmq_log_sink_fn *sink, void *argument, fmq_log_level_t least);

/* Writes "<utc> <level> <actor> <event> <formatted>".  event is one word with
 * dashes ("round-closed"); the format holds key=value pairs.  self may be
 * NULL: then nothing is written. */
void fmq_log_write(fmq_log_t *self, fmq_log_level_t level, const char *actor, const char *event,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));

FMQ_API_END

#endif
