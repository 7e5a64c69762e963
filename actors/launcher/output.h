/*
 * output.h - where the words of a process that takes part in a run go: standard
 * output, standard error and run.log.
 *
 * Nobody who computes or routes waits for them: each has a writer
 * (fedmq/base/writer.h).  A terminal that is paused, a pipe that nobody reads and
 * a full disk cost lines, which are counted and told: in the same place when it
 * takes lines again, and in run.log, where one event says that an output fails.
 * The run goes on without readers; `fedmq run | head -1` ends when the run does.
 * What is data (metrics.jsonl, checkpoints, the journal) does not come this way.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_OUTPUT_H
#define FEDMQ_ACTORS_LAUNCHER_OUTPUT_H

#include "fedmq/actors/actors.h"

#define FMQ_OUTPUT_CLOSE_MS 1000 /* that the end of a process waits for each without progress */

typedef struct fmq_output fmq_output_t;

typedef struct {
    bool quiet, json;
    fmq_log_level_t shown; /* events of the log below it are not shown */
    fmq_log_level_t kept;  /* nor kept in run.log */
    bool in_memory;        /* server and clients are in this process */
    bool run_log;          /* there is one */
} fmq_output_options_t;

/* NULL with err.  run.log keeps its lines in memory until fmq_output_keep(). */
fmq_output_t *fmq_output_open(const fmq_output_options_t *options, fmq_error_t *err);
/* Writes what waits, for FMQ_OUTPUT_CLOSE_MS at most where nothing moves. */
void fmq_output_close(fmq_output_t **self_p);

/* The run's directory may be written from now on, and run.log is. */
int fmq_output_keep(fmq_output_t *self, const char *directory, fmq_error_t *err);

fmq_log_t *fmq_output_log(fmq_output_t *self); /* borrowed */
/* What standard output goes through; borrowed.  For results, a line each. */
fmq_writer_t *fmq_output_results(fmq_output_t *self);

void fmq_output_event(fmq_output_t *self, const fmq_run_event_t *event, int64_t now_ms);
/* A line for people; {"event":"line"} with --json, nothing with --quiet. */
void fmq_output_line(fmq_output_t *self, const char *line);
/* Logs, once, which outputs fail.  To be called now and then, by one thread. */
void fmq_output_look(fmq_output_t *self);

/* Writes the last line of a process to standard error, as an object with json,
 * but does not wait for a reader for long. */
void fmq_output_error(const char *who, bool json, const fmq_error_t *err, int status);

#endif
