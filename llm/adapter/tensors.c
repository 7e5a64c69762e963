/*
 * tensors.c - see tensors.h.
 */
#include "llm/adapter/tensors.h"

#include <stdlib.h>
#include <string.h>

int llm_tensors_read(const llm_adapter_t *self, const llm_weights_t *weights, float *vector,
                     fmq_error_t *err)
{
    for (size_t i = 0; i < fmq_schema_size(self->schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(self->schema, i);
        if (llm_weights_read(weights, tensor->name, tensor->rank, tensor->shape,
                             vector + tensor->offset, err) < 0)
            return -1;
    }
    return 0;
}

int llm_tensors_save(const llm_adapter_t *self, const float *vector, fmq_dtype_t dtype,
                     const char *path, fmq_error_t *err)
{
    size_t count = fmq_schema_size(self->schema);
    llm_tensor_out_t *tensors = calloc(count + 1, sizeof *tensors);
    if (!tensors)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a list of %zu tensors", count);
    for (size_t i = 0; i < count; i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(self->schema, i);
        tensors[i] = (llm_tensor_out_t){.name = tensor->name,
                                        .dtype = dtype,
                                        .rank = tensor->rank,
                                        .data = vector + tensor->offset};
        memcpy(tensors[i].shape, tensor->shape, sizeof tensors[i].shape);
    }
    int rc = llm_safetensors_save(path, tensors, count, err);
    free(tensors);
    return rc;
}
