/*
 * module.h - how libfedmq and the module of the GPU backend meet.
 *
 * The module exports one function and nothing else; load.c finds it by name.
 * What the two have in common beside it is fedmq/llm/backend.h and instance.h,
 * whose sizes are compared: a module of another build is refused by a text.
 */
#ifndef LLM_BACKEND_CUDA_MODULE_H
#define LLM_BACKEND_CUDA_MODULE_H

#include "llm/backend/instance.h"

#define LLM_CUDA_ENTRY "fmq_cuda_backend_v1"
#define LLM_CUDA_TABLE 1 /* goes up when an entry of llm_ops_t means something else than before */

/* What the caller is, and what it asks for. */
typedef struct {
    uint32_t table; /* LLM_CUDA_TABLE */
    size_t ops_bytes, instance_bytes;
    int device; /* its number, from 0 */
    bool bf16;  /* activations; false: float */
} llm_cuda_request_t;

/* 0 with an instance, or -1 with err. */
typedef int (*llm_cuda_entry_t)(const llm_cuda_request_t *request, llm_backend_t **out,
                                fmq_error_t *err);

int fmq_cuda_backend_v1(const llm_cuda_request_t *request, llm_backend_t **out, fmq_error_t *err)
    __attribute__((visibility("default")));

#endif
