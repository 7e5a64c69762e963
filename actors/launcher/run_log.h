/*
 * run_log.h - a run's run.log: a sink of the log that may wait for its file.
 *
 * Nothing is written into the directory of a run that may yet be refused, so
 * lines are kept until the file is opened.  Nobody who logs waits for the disk
 * (fedmq/base/writer.h).  Thread-safe.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_RUN_LOG_H
#define FEDMQ_ACTORS_LAUNCHER_RUN_LOG_H

#include "fedmq/base/log.h"

#define FMQ_RUN_LOG_KEPT_MAX (256 * 1024) /* bytes of lines that wait; later ones are dropped */

typedef struct fmq_run_log fmq_run_log_t;

/* NULL: out of memory. */
fmq_run_log_t *fmq_run_log_new(void);
/* What waits for the disk then is not written: see fmq_run_log_writer(). */
void fmq_run_log_destroy(fmq_run_log_t **self_p);

/* The sink; its argument is the run log. */
fmq_log_sink_fn fmq_run_log_write;

/* Appends to directory/run.log from now on, the lines that wait first. */
int fmq_run_log_open(fmq_run_log_t *self, const char *directory, fmq_error_t *err);

/* What the file is written through; borrowed.  NULL: it is not open yet. */
fmq_writer_t *fmq_run_log_writer(fmq_run_log_t *self);

#endif
