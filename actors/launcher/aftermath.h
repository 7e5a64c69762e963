/*
 * aftermath.h - what is to be done after a run that did not finish.
 *
 * One that was refused before its first round leaves nothing behind, so that
 * the next try finds its place free; one that was interrupted is told apart by
 * its error, which then says how to go on.  No other failure is touched.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_AFTERMATH_H
#define FEDMQ_ACTORS_LAUNCHER_AFTERMATH_H

#include <stdio.h>

#include "actors/launcher/command.h"
#include "actors/storage/directory.h"

/* Where a run writes. */
typedef struct {
    char *path;       /* owned */
    bool made;        /* by this process */
    fmq_lock_t *lock; /* owned */
    char *changes;    /* owned; of a run that goes on, see fmq_resuming_check(); else NULL */
} fmq_run_place_t;

void fmq_run_place_release(fmq_run_place_t *place);

/* err: how the run ended; it is completed where that helps. */
void fmq_aftermath(const fmq_command_t *command, const fmq_arguments_t *arguments,
                   const fmq_run_place_t *place, fmq_error_t *err);

/* The command line that resumes the run in directory, quoted for a shell: the
 * options that its configuration does not hold are repeated.  The caller's;
 * NULL when out of memory. */
char *fmq_aftermath_resume(const fmq_command_t *command, const fmq_arguments_t *arguments,
                           const char *directory);

/* Writes a space and word, quoted for a shell where that needs it. */
void fmq_aftermath_word(FILE *out, const char *word);

#endif
