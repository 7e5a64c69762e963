/*
 * task_state.h - the state that a task goes on from, or that came of it.
 *
 * In the server's process it is not copied: the published object is read, range
 * by range, when somebody computes with it.  From elsewhere it comes as a
 * vector.  Plain data that belongs to one client.
 */
#ifndef FEDMQ_ACTORS_CLIENT_TASK_STATE_H
#define FEDMQ_ACTORS_CLIENT_TASK_STATE_H

#include <stdbool.h>

#include "fedmq/base/schema.h"
#include "fedmq/broker/object.h"
#include "fedmq/llm/workspace.h"

typedef struct {
    float *vector;        /* owned, of malloc(): the schema's elements; NULL: see object */
    fmq_object_t *object; /* owned reference to a state of this process, or NULL */
} fmq_task_state_t;

/* Forgets it; harmless when zeroed. */
void fmq_task_state_release(fmq_task_state_t *self);

/* Makes a vector of undefined numbers unless there is one. */
int fmq_task_state_make_room(fmq_task_state_t *self, const fmq_schema_t *schema, fmq_error_t *err);

/* Reads the object, if it is one, into a vector. */
int fmq_task_state_settle(fmq_task_state_t *self, const fmq_schema_t *schema, fmq_error_t *err);

/* Gives it to a workspace as its parameters. */
int fmq_task_state_load(const fmq_task_state_t *self, const fmq_schema_t *schema,
                        llm_workspace_t *workspace, fmq_error_t *err);

#endif
