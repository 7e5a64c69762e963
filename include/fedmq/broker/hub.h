/*
 * hub.h - the one thread that all links of a process live in.
 *
 * It owns a socket for each router that they are connected to, on which every
 * link has a lane of its own, so that a link costs neither a thread nor a
 * descriptor.  Nothing that an actor does holds it up.
 */
#ifndef FEDMQ_BROKER_HUB_PUBLIC_H
#define FEDMQ_BROKER_HUB_PUBLIC_H

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

#define FMQ_HUB_LINKS_MAX 131072 /* at once; one more is refused */

typedef struct fmq_hub fmq_hub_t;

/* Starts the thread.  NULL with FMQ_ERR_NOMEM, naming the limit that was met. */
fmq_hub_t *fmq_hub_new(fmq_error_t *err);

/* Ends it; all its links must have been closed. */
void fmq_hub_destroy(fmq_hub_t **self_p);

FMQ_API_END

#endif
