/*
 * actor.h - starting an actor's thread where the system may refuse it.
 *
 * zactor_new() asserts, crashes or waits for ever when a thread, a socket or
 * memory cannot be had.  This asks for them first, and starts the actor only
 * when they were there; one start of a process at a time, so that no other
 * takes what was asked for.  An actor signals on its pipe before it starts
 * another.
 */
#ifndef FEDMQ_BROKER_ACTOR_H
#define FEDMQ_BROKER_ACTOR_H

#include <czmq.h>

#include "fedmq/base/error.h"

/* NULL with FMQ_ERR_NOMEM, naming the limit that was met and how to raise it;
 * what: "a client", for that text.  End it with zactor_destroy(). */
zactor_t *fmq_actor_start(zactor_fn *actor, void *argument, const char *what, fmq_error_t *err);

/* The question alone, for a thread and sockets that are made in another way. */
int fmq_actor_ask(const char *what, fmq_error_t *err);

/* Starts `wanted` threads that do nothing, ends them, and says how many there
 * were at once.  0, or the error number that refused the next. */
int fmq_threads_try(size_t wanted, size_t *got);

#endif
