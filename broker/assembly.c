/*
 * assembly.c - builds objects from a stranger's chunks.
 */
#include "broker/assembly.h"

int fmq_assembly_begin(fmq_assembly_t *self, uint64_t bytes_max, fmq_error_t *err)
{
    self->object = fmq_object_new();
    self->bytes_max = bytes_max;
    fmq_digest_begin(&self->running);
    return self->object ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an object");
}

void fmq_assembly_release(fmq_assembly_t *self)
{
    fmq_object_drop(&self->object);
}

int fmq_assembly_add(fmq_assembly_t *self, const void *data, size_t size, fmq_error_t *err)
{
    if (size > self->bytes_max - fmq_object_bytes(self->object))
        return fmq_error_set(err, FMQ_ERR_LIMIT, "object is larger than the %llu bytes announced",
                             (unsigned long long)self->bytes_max);
    if (fmq_object_add(self->object, data, size, err) < 0)
        return -1;
    fmq_object_digest_chunk(&self->running, data, size);
    return 0;
}

fmq_object_t *fmq_assembly_end(fmq_assembly_t *self, const fmq_digest_t *digest, fmq_error_t *err)
{
    fmq_digest_t computed = fmq_digest_end(&self->running);
    if (!fmq_digest_equal(&computed, digest)) {
        fmq_error_set(err, FMQ_ERR_MISMATCH, "object's bytes do not have its digest");
        return NULL;
    }
    fmq_object_t *object = self->object;
    self->object = NULL;
    fmq_object_seal_as(object, &computed);
    return object;
}
