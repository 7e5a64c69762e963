/*
 * display.h - shows a run to whoever looks: a terminal, a file, a program.
 *
 * On a terminal the current round is one line that is redrawn and fits its width
 * (progress.h); finished rounds stay.  Traffic is told per round: what travelled
 * since the round before was closed.  Elsewhere every event that matters is a plain line, with one
 * of progress at most every 15 seconds, or with FMQ_DISPLAY_JSON every event is one JSON object a
 * line, and so is every line of the log.  Thread-safe: the server's thread reports events while any
 * thread logs.  It only puts lines into the writers it was given, so that it never waits for who
 * looks, and never reads a clock.
 *
 * What of the log is shown is the log's sink's level (see log.h): errors always,
 * warnings in every mode but QUIET.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_DISPLAY_H
#define FEDMQ_ACTORS_LAUNCHER_DISPLAY_H

#include "fedmq/actors/actors.h"
#include "fedmq/base/writer.h"

typedef enum {
    FMQ_DISPLAY_QUIET, /* nothing but errors */
    FMQ_DISPLAY_PLAIN,
    FMQ_DISPLAY_TERMINAL,
    FMQ_DISPLAY_JSON
} fmq_display_mode_t;

typedef struct fmq_display fmq_display_t;

typedef struct {
    fmq_display_mode_t mode;
    bool color;            /* ANSI colours on a terminal (see NO_COLOR) */
    bool in_memory;        /* updates and states travel between threads of one process */
    int terminal;          /* whose width is asked at every redraw; -1: 80 columns */
    fmq_writer_t *out;     /* borrowed: of events */
    fmq_writer_t *log_out; /* borrowed: of the log; the same one where both go to one place */
} fmq_display_options_t;

/* NULL: out of memory. */
fmq_display_t *fmq_display_new(const fmq_display_options_t *options);
/* What was put is the writers' to write. */
void fmq_display_destroy(fmq_display_t **self_p);

void fmq_display_event(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms);

/* A line of text beside the events: {"event":"line","text":...} in JSON. */
void fmq_display_line(fmq_display_t *self, const char *text);

/* A log sink: argument is the display.  Lines are kept clear of the bar. */
fmq_log_sink_fn fmq_display_log;

/* Takes the bar away. */
void fmq_display_clear(fmq_display_t *self);

/* A writer's notice; argument is the mode (fmq_display_mode_t *). */
fmq_writer_notice_fn fmq_display_notice;

/* The mode for a stream: what the flags say, else a terminal's when it is one. */
fmq_display_mode_t fmq_display_mode(bool quiet, bool json, int descriptor);

#endif
