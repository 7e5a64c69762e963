/*
 * pipe.h - what an actor and its owner say to each other on the actor's pipe.
 *
 * The owner says $TERM (zactor_destroy does), before it BECAUSE and a reason
 * where something has failed; an actor that ends by itself says
 * DONE, exit status and reason, and then waits for its $TERM, so that nothing
 * it sends is lost and zactor_destroy() finds it alive.
 */
#ifndef FEDMQ_ACTORS_RUNTIME_PIPE_H
#define FEDMQ_ACTORS_RUNTIME_PIPE_H

#include <czmq.h>
#include <stdbool.h>

#include "fedmq/base/error.h"

/* Owner: fmq_actor_start() and zactor_destroy().  What either thread wrote before
 * fmq_pipe_ready() or the actor's end the other sees after start or stop;
 * ZeroMQ orders them, and ThreadSanitizer, which cannot see that, is told. */
zactor_t *fmq_pipe_start(zactor_fn *actor, void *options, const char *what, fmq_error_t *err);
void fmq_pipe_stop(zactor_t **actor_p);
/* The same, telling the actor which failure ends it. */
void fmq_pipe_stop_because(zactor_t **actor_p, const fmq_error_t *why);

/* Actor: has copied its options; fmq_pipe_start() may return. */
void fmq_pipe_ready(zsock_t *pipe);

/* Actor: tells the owner that it has ended.  err: why; FMQ_OK: as it should,
 * its text is the reason. */
void fmq_pipe_done(zsock_t *pipe, const fmq_error_t *err);

/* Actor: true when a message waits and it is $TERM (or the pipe is broken);
 * other messages are dropped.  Never blocks. */
bool fmq_pipe_terminated(zsock_t *pipe);

/* The same for an actor that wants to know: why becomes the failure that it is
 * told to end for, and is left alone where it is just told to end. */
bool fmq_pipe_terminated_because(zsock_t *pipe, fmq_error_t *why);

/* Actor: waits for $TERM. */
void fmq_pipe_wait(zsock_t *pipe);

/* Owner: takes a DONE that waits on actor into why (FMQ_OK with the reason as
 * text when it ended as it should).  False when there is none.  Never blocks. */
bool fmq_pipe_ended(zactor_t *actor, fmq_error_t *why);

#endif
