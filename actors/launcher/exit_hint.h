/*
 * exit_hint.h - what a run that has ended well leaves, where that is, and what
 * to type next.
 *
 * It looks at what is there rather than at what should be, so that every path
 * and command holds from the folder that the process was started in.  What a
 * run that did not end well needs is aftermath.h.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_EXIT_HINT_H
#define FEDMQ_ACTORS_LAUNCHER_EXIT_HINT_H

#include "actors/launcher/output.h"
#include "fedmq/base/config.h"

typedef struct {
    const fmq_config_t *config;
    const char *directory; /* of the run */
    const char *model;     /* directory of the base model */
    bool clients;          /* they are here, and save below directory too */
    bool json;             /* one object, {"event":"goodbye",..}, instead of lines */
} fmq_exit_hint_t;

/* Without memory less is said. */
void fmq_exit_hint(const fmq_exit_hint_t *what, fmq_output_t *output);

#endif
