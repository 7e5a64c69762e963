/*
 * client.h - a client as something that takes turns, for whoever has threads.
 *
 * It never waits for an event: a turn does all there is to do, training
 * included, and then it wants another when its link's notify says so or when its
 * patience is over.  One thread at a time; tell_to_end from any.
 */
#ifndef FEDMQ_ACTORS_CLIENT_CLIENT_H
#define FEDMQ_ACTORS_CLIENT_CLIENT_H

#include "fedmq/actors/actors.h"

typedef struct fmq_client fmq_client_t;

/* NULL with FMQ_ERR_NOMEM.  What options point to is borrowed to the end, except
 * directory, which is needed until the start. */
fmq_client_t *fmq_client_new(const fmq_client_options_t *options, fmq_error_t *err);
/* Also one that has not started or failed to. */
void fmq_client_destroy(fmq_client_t **self_p);

/* Reads its settings and opens its link, with the notify of options. */
int fmq_client_start(fmq_client_t *self, const fmq_client_options_t *options, fmq_error_t *err);

/* Does all there is to do now.  True when it has ended: why is FMQ_ERR_STOPPED
 * when it was told to, else FMQ_OK with the reason as text, or what failed. */
bool fmq_client_turn(fmq_client_t *self, fmq_error_t *why);

/* Milliseconds until it wants a turn without an event; -1: never. */
int fmq_client_patience(fmq_client_t *self);

/* The turn that is going on, or the next one, ends it. */
void fmq_client_tell_to_end(fmq_client_t *self);

/* Between turns: its progress is, or is not, that of those who compute: it has
 * work and waits for a turn.  No display takes a count without an end for steps. */
void fmq_client_show_waiting(fmq_client_t *self, bool waiting);

/* It has ended: gives back what it holds and says goodbye, without waiting. */
void fmq_client_leave(fmq_client_t *self);

#endif
