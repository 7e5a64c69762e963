/*
 * task_state.c - a vector, or an object of this process that is read.
 */
#include "actors/client/task_state.h"

#include <stdlib.h>
#include <string.h>

#include "broker/lent_state.h"

void fmq_task_state_release(fmq_task_state_t *self)
{
    free(self->vector);
    self->vector = NULL;
    fmq_object_drop(&self->object);
}

int fmq_task_state_make_room(fmq_task_state_t *self, const fmq_schema_t *schema, fmq_error_t *err)
{
    uint64_t elements = fmq_schema_elements(schema);
    if (!self->vector)
        self->vector = malloc((elements ? (size_t)elements : 1) * sizeof *self->vector);
    return self->vector
               ? 0
               : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a state of %llu elements",
                               (unsigned long long)elements);
}

static int take_values(void *argument, uint64_t first, uint64_t count, const float *values,
                       fmq_error_t *err)
{
    (void)err;
    memcpy((float *)argument + first, values, (size_t)count * sizeof *values);
    return 0;
}

int fmq_task_state_settle(fmq_task_state_t *self, const fmq_schema_t *schema, fmq_error_t *err)
{
    if (self->vector || !self->object)
        return 0;
    if (fmq_task_state_make_room(self, schema, err) < 0 ||
        fmq_state_read(self->object, schema, take_values, self->vector, err) < 0) {
        free(self->vector);
        self->vector = NULL;
        return -1;
    }
    fmq_object_drop(&self->object);
    return 0;
}

static int set_values(void *argument, uint64_t first, uint64_t count, const float *values,
                      fmq_error_t *err)
{
    return llm_workspace_set_range(argument, first, count, values, err);
}

int fmq_task_state_load(const fmq_task_state_t *self, const fmq_schema_t *schema,
                        llm_workspace_t *workspace, fmq_error_t *err)
{
    if (self->vector || !self->object)
        return llm_workspace_set_params(workspace, self->vector, err);
    return fmq_state_read(self->object, schema, set_values, workspace, err);
}
