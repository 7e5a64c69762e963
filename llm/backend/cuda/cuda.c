/*
 * cuda.c - what every op asks of its instance: its device, its rooms, and where
 * to put a failure.
 */
#include "llm/backend/cuda/cuda.h"

#include <stdio.h>

llm_cuda_t *llm_cuda_enter(const llm_backend_t *be)
{
    llm_cuda_t *self = be->context;
    if (self->several)
        llm_cuda_fail(self, llm_cuda_use((int)self->instance.device));
    return self;
}

void llm_cuda_fail(llm_cuda_t *self, const char *text)
{
    if (text)
        llm_instance_fail(&self->instance, FMQ_ERR_INTERNAL, text);
}

void *llm_cuda_room(llm_cuda_t *self, llm_cuda_room_t which, size_t bytes)
{
    if (self->rooms[which].bytes >= bytes && self->rooms[which].memory)
        return self->rooms[which].memory;
    llm_cuda_release(self->rooms[which].memory);
    self->rooms[which].memory = llm_cuda_alloc(bytes);
    self->rooms[which].bytes = self->rooms[which].memory ? bytes : 0;
    if (!self->rooms[which].memory) {
        char text[FMQ_ERROR_TEXT_MAX];
        snprintf(text, sizeof text,
                 "'%s' has no %zu bytes of memory left for the work of an op: use fewer tokens a "
                 "step, or fewer clients on a device",
                 self->instance.ops.name, bytes);
        llm_instance_fail(&self->instance, FMQ_ERR_NOMEM, text);
    }
    return self->rooms[which].memory;
}
