/*
 * shared_state.h - the vector that rounds are aggregated into, and which is published
 * from where it lies.
 *
 * While it is lent it is not written to; before it is, whoever still reads it is moved
 * to its checkpoint.  A large one lies there alone while others compute.  Belongs to the
 * server's thread.
 */
#ifndef FEDMQ_ACTORS_SERVER_SHARED_STATE_H
#define FEDMQ_ACTORS_SERVER_SHARED_STATE_H

#include "actors/server/checkpoints.h"
#include "broker/lent_state.h"

/* A state of more bytes lies in its checkpoint alone while clients compute. */
#define FMQ_STATE_KEPT_MAX ((size_t)64 << 20)

typedef struct {
    const fmq_schema_t *schema;           /* borrowed */
    const fmq_checkpoints_t *checkpoints; /* borrowed */
    fmq_codec_t codec;                    /* that it is published in */
    size_t kept_max;                      /* bytes; 0: FMQ_STATE_KEPT_MAX */
    fmq_log_t *log;                       /* borrowed, may be NULL */
} fmq_shared_state_options_t;

typedef struct {
    fmq_shared_state_options_t options;
    float *vector;          /* of the round of the checkpoints' mark, ... */
    float *own;             /* ... owned, unless it was given */
    fmq_lent_state_t *lent; /* of vector while it is published; NULL: it may be written to */
    bool away;              /* it is in its checkpoint only, and its memory given back */
} fmq_shared_state_t;

/* Begins with initial; vector is where it lies from then on (initial itself, say), NULL: in memory
 * of its own. */
int fmq_shared_state_open(fmq_shared_state_t *self, const fmq_shared_state_options_t *options,
                          const float *initial, float *vector, fmq_error_t *err);
void fmq_shared_state_release(fmq_shared_state_t *self);

/* Lends it.  *object is borrowed; NULL when it was lent already, for it has not changed since. */
int fmq_shared_state_lend(fmq_shared_state_t *self, fmq_object_t **object, fmq_error_t *err);
/* It may be written to, or is not needed any more: who still reads it goes on in its checkpoint. */
int fmq_shared_state_reclaim(fmq_shared_state_t *self, fmq_error_t *err);
void fmq_shared_state_end_lending(fmq_shared_state_t *self);

/* Gives the memory of a large one that is lent to others, and brings it back: before the server
 * itself reads it. */
void fmq_shared_state_put_away(fmq_shared_state_t *self);
int fmq_shared_state_bring(fmq_shared_state_t *self, fmq_error_t *err);

#endif
