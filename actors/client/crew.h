/*
 * crew.h - the clients of a process, and the few threads that give them turns.
 *
 * A client that waits costs its own state and no thread.  One whose link has
 * news, or whose patience is over, stands in a queue until one of the threads is
 * free; there are a few more of these than may compute at once.  While it
 * stands there its heartbeats show that work goes on, as those of one do that
 * waits for a permit, so that its server does not take it for stalled.
 */
#ifndef FEDMQ_ACTORS_CLIENT_CREW_H
#define FEDMQ_ACTORS_CLIENT_CREW_H

#include "fedmq/actors/actors.h"

#define FMQ_CREW_SPARE 2 /* threads beyond those that may compute */

typedef struct fmq_crew fmq_crew_t;

typedef struct {
    fmq_client_options_t client; /* of the first: the others have the numbers behind it */
    uint32_t size;
    uint32_t threads; /* that give turns */
} fmq_crew_options_t;

/* Starts them.  What options point to is borrowed to the end.  NULL with
 * FMQ_ERR_NOMEM, naming the limit that was met. */
fmq_crew_t *fmq_crew_new(const fmq_crew_options_t *options, fmq_error_t *err);

/* Tells all to end, waits until they have said goodbye, and frees them. */
void fmq_crew_destroy(fmq_crew_t **self_p);

/* Takes one that has ended by itself, or could not start: which and why
 * (FMQ_OK: as it should).  False when there is none.  Never waits. */
bool fmq_crew_ended(fmq_crew_t *self, uint32_t *client, fmq_error_t *why);

/* Readable while such a one is there to be taken. */
int fmq_crew_descriptor(const fmq_crew_t *self);

#endif
