/*
 * perform.h - does what rounds.h orders, one step after the other.
 *
 * The crash story.  A round's plan (who is asked) is on the disk before anybody is
 * asked; an update before its client may forget it; the list of whose updates count
 * (COMMIT) before anything is made of them; metrics before the checkpoint; the
 * checkpoint before the state is announced.  So whoever is killed anywhere goes on
 * from the newest checkpoint, asks those of the plan whose updates are not there, or
 * makes of a closed list what was made of it before: the same bytes.  Aggregating
 * leaves nothing behind but the checkpoint that follows it.
 */
#ifndef FEDMQ_ACTORS_SERVER_PERFORM_H
#define FEDMQ_ACTORS_SERVER_PERFORM_H

#include <stdbool.h>

#include "fedmq/base/error.h"

#define FMQ_EMPTY_ROUNDS_MAX 3 /* in a row, then the run fails */

struct fmq_coordinator;

typedef struct {
    bool begun;      /* enough clients were there once */
    bool unmeasured; /* all clients failed to measure the last state that they were asked to */
} fmq_perform_t;

/* Does what the facts call for, until they call for nothing. */
int fmq_perform_advance(struct fmq_coordinator *self, fmq_error_t *err);

#endif
