/*
 * rundir.h - the directory of a run: <outdir>/<expname>.
 *
 * FS-LLM's rule: a directory that is there already is not written into, the
 * run gets a child sub_exp_<time> of it.  Only who resumes goes on in it.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_RUNDIR_H
#define FEDMQ_ACTORS_LAUNCHER_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "fedmq/base/config.h"

/* expname, or FS-LLM's default from method, model, data, rate and steps; with
 * expname_tag behind it.  The caller's. */
char *fmq_rundir_name(const fmq_config_t *config, fmq_error_t *err);

typedef enum {
    FMQ_PLACE_FOLDER,
    FMQ_PLACE_REPLACED, /* a file that is written beside and renamed: its folder counts */
    FMQ_PLACE_APPENDED, /* a file that is written to */
    FMQ_PLACE_LOCK
} fmq_place_kind_t;

/* How it may be before the first round begins, if it is there at all. */
typedef enum {
    FMQ_EARLY_NEVER, /* it is not there */
    FMQ_EARLY_ANY,
    FMQ_EARLY_EMPTY,
    FMQ_EARLY_INITIAL /* with the initial checkpoint alone */
} fmq_place_early_t;

/* What a run writes into its directory. */
typedef struct {
    const char *name;
    fmq_place_kind_t kind;
    fmq_place_early_t early;
} fmq_rundir_place_t;

/* NULL behind the last. */
const fmq_rundir_place_t *fmq_rundir_place_at(size_t index);

/* Creates and returns the directory of a run (the caller's).  explicitly:
 * this directory (NULL: outdir/expname).  resume: it must be there; otherwise
 * an explicit one must be new or empty.  now names the sub_exp child. */
char *fmq_rundir_open(const fmq_config_t *config, const char *explicitly, bool resume, time_t now,
                      fmq_error_t *err);

/* 0 when a directory is empty but for its LOCK; else -1 with FMQ_ERR_CONFIG. */
int fmq_rundir_check_free(const char *path, fmq_error_t *err);

/* outdir/expname (the caller's); creates nothing. */
char *fmq_rundir_path(const fmq_config_t *config, fmq_error_t *err);

/* Creates outdir/expname unless it is there (the caller's): where a client that
 * runs by itself saves its own model, beside a run that may be the server's. */
char *fmq_rundir_of_client(const fmq_config_t *config, fmq_error_t *err);

/* Removes what a run writes before its first round, and with and_itself the
 * directory too.  Does nothing when there is anything else in it. */
void fmq_rundir_undo(const char *path, bool and_itself);

/* Writes text to directory/name through a temporary file and a rename. */
int fmq_rundir_write(const char *directory, const char *name, const char *text, fmq_error_t *err);

#endif
