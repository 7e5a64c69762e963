/*
 * backend.c - the questions that are answered alike for every backend.
 *
 * Ops live in the folder of each backend; this file knows none of them.
 */
#include "llm/backend/instance.h"

void llm_backend_destroy(llm_backend_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    llm_backend_t *self = *self_p;
    self->ops->destroy(self);
    *self_p = NULL;
}

const char *llm_backend_variant(const llm_backend_t *self)
{
    return llm_instance(self)->variant;
}

double llm_backend_gemm_seconds(const llm_backend_t *self)
{
    return llm_instance(self)->gemm_seconds;
}
