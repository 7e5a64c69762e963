/*
 * reference.c - puts the reference backend's table together.
 *
 * The ops themselves are in the family files of this folder.
 */
#include "llm/backend/reference/reference.h"

#include <stdlib.h>

static void destroy(llm_backend_t *be)
{
    free(llm_instance(be));
}

static llm_backend_t *another(const llm_backend_t *be, unsigned threads, fmq_error_t *err)
{
    (void)be;
    (void)threads;
    return llm_backend_reference_new(err);
}

llm_backend_t *llm_backend_reference_new(fmq_error_t *err)
{
    llm_instance_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the reference backend");
        return NULL;
    }
    self->ops.name = "reference";
    self->ops.destroy = destroy;
    self->ops.another = another;
    llm_reference_memory(&self->ops);
    llm_reference_linear(&self->ops);
    llm_reference_embedding(&self->ops);
    llm_reference_norm(&self->ops);
    llm_reference_attention(&self->ops);
    llm_reference_activation(&self->ops);
    llm_reference_loss(&self->ops);
    llm_reference_optimizer(&self->ops);
    self->variant = "reference";
    self->backend.ops = &self->ops;
    self->backend.context = self;
    return &self->backend;
}
