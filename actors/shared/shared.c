/*
 * shared.c - which model an actor of a client's kind computes with.  Holds and
 * opens nothing.
 */
#include "fedmq/actors/actors.h"

const llm_model_t *fmq_shared_client_model(const fmq_shared_t *self)
{
    return self->offsite ? self->offsite->student : self->model;
}

llm_stack_t fmq_shared_client_stack(const fmq_shared_t *self)
{
    if (!self->offsite)
        return (llm_stack_t){.model = self->model, .adapter = self->adapter};
    return (llm_stack_t){.model = self->offsite->student,
                         .adapter = self->offsite->adapter,
                         .fixed = self->offsite->state};
}
