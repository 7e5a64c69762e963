/*
 * module.c - the one function that the module exports.
 */
#include "llm/backend/cuda/module.h"

#include "llm/backend/cuda/cuda.h"

int fmq_cuda_backend_v1(const llm_cuda_request_t *request, llm_backend_t **out, fmq_error_t *err)
{
    if (request->table != LLM_CUDA_TABLE || request->ops_bytes != sizeof(llm_ops_t) ||
        request->instance_bytes != sizeof(llm_instance_t))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the GPU module is of another build: its table %d has %zu bytes and "
                             "its instance %zu, the program's table %u has %zu and %zu; install "
                             "both from one build",
                             LLM_CUDA_TABLE, sizeof(llm_ops_t), sizeof(llm_instance_t),
                             request->table, request->ops_bytes, request->instance_bytes);
    llm_backend_t *be = llm_cuda_new(request->device, request->bf16, err);
    if (!be)
        return -1;
    *out = be;
    return 0;
}
