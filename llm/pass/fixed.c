/*
 * fixed.c - holds and sets a fixed adapter's vector.  Knows nothing of passes.
 */
#include "llm/pass/fixed.h"

#include "llm/adapter/layout.h"

int llm_fixed_init(llm_fixed_t *self, const llm_adapter_t *adapter, llm_backend_t *be,
                   fmq_error_t *err)
{
    self->be = be;
    self->elements = adapter ? fmq_schema_elements(llm_adapter_schema(adapter)) : 0;
    self->ready = !self->elements || llm_adapter_silent_at_zero(adapter);
    if (!self->elements)
        return 0;
    if (self->elements > SIZE_MAX / sizeof(float))
        return fmq_error_set(err, FMQ_ERR_LIMIT, "%llu fixed elements are beyond this machine",
                             (unsigned long long)self->elements);
    self->vector = be->ops->alloc(be, llm_fixed_bytes(self));
    if (!self->vector)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %llu fixed elements",
                             (unsigned long long)self->elements);
    be->ops->zero(be, self->vector, llm_fixed_bytes(self));
    return 0;
}

void llm_fixed_release(llm_fixed_t *self)
{
    if (self->vector)
        self->be->ops->release(self->be, self->vector);
    self->vector = NULL;
}

int llm_fixed_set(llm_fixed_t *self, const float *host, fmq_error_t *err)
{
    if (!self->elements)
        return 0;
    if (!host)
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "no vector is given for %llu fixed elements",
                             (unsigned long long)self->elements);
    self->be->ops->upload(self->be, self->vector, host, llm_fixed_bytes(self));
    self->ready = true;
    return 0;
}

int llm_fixed_check(const llm_fixed_t *self, fmq_error_t *err)
{
    if (self->ready)
        return 0;
    return fmq_error_set(err, FMQ_ERR_INTERNAL,
                         "the fixed adapter replaces whole layers and its vector was not set");
}

size_t llm_fixed_bytes(const llm_fixed_t *self)
{
    return (size_t)self->elements * sizeof(float);
}
