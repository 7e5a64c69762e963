/*
 * fixed.h - the vector of a stack's fixed adapter, on the backend.
 *
 * LoRA's begins as zero, which has no effect; one that has an effect at zero has
 * to be set before anything may be computed with it.
 */
#ifndef FEDMQ_LLM_PASS_FIXED_H
#define FEDMQ_LLM_PASS_FIXED_H

#include "fedmq/llm/adapter.h"

typedef struct {
    llm_backend_t *be; /* borrowed */
    uint64_t elements;
    float *vector; /* owned, on the backend; NULL when elements is 0 */
    bool ready;
} llm_fixed_t;

/* adapter NULL: none.  The struct must be zero before; after a failure it may
 * be released. */
int llm_fixed_init(llm_fixed_t *self, const llm_adapter_t *adapter, llm_backend_t *be,
                   fmq_error_t *err);
void llm_fixed_release(llm_fixed_t *self);
int llm_fixed_set(llm_fixed_t *self, const float *host, fmq_error_t *err);
/* -1 with FMQ_ERR_INTERNAL when it still has to be set. */
int llm_fixed_check(const llm_fixed_t *self, fmq_error_t *err);
size_t llm_fixed_bytes(const llm_fixed_t *self);

#endif
