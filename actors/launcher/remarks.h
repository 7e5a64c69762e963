/*
 * remarks.h - what is said once, when a process begins: keys without effect,
 * and what a resumed run is told otherwise than before.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_REMARKS_H
#define FEDMQ_ACTORS_LAUNCHER_REMARKS_H

#include "actors/settings/settings.h"
#include "fedmq/base/config.h"
#include "fedmq/base/writer.h"

/* One warning that lists every key that was given and changes nothing here;
 * with json (or NULL) also as one object a line there.  Nothing when there is
 * none.  asked: config came from the run, so only pairs of the command line
 * are this process's own. */
void fmq_remarks_inert(const fmq_config_t *config, bool asked, fmq_log_t *log, fmq_writer_t *json);

/* Where this process computes, and what it keeps frozen weights as; with a
 * warning where a GPU was asked for and there is none. */
void fmq_remarks_compute(const fmq_compute_settings_t *compute, fmq_log_t *log);

/* "going on with 'DIR'" and changes, as fmq_resuming_check() gives them. */
void fmq_remarks_resumed(const char *directory, const char *changes, fmq_log_t *log,
                         fmq_writer_t *json);

#endif
