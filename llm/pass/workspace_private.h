/*
 * workspace_private.h - the inside of a workspace, for the passes of this
 * folder only.
 */
#ifndef FEDMQ_LLM_PASS_WORKSPACE_PRIVATE_H
#define FEDMQ_LLM_PASS_WORKSPACE_PRIVATE_H

#include "fedmq/llm/workspace.h"
#include "llm/pass/fixed.h"
#include "llm/pass/pass.h"
#include "llm/pass/spread.h"

struct llm_workspace {
    llm_pass_t pass;
    llm_stack_t stack; /* what it was made for, as limits; its parts are borrowed */
    llm_limits_t limits;
    llm_backend_t *be;            /* borrowed */
    const llm_adapter_t *adapter; /* borrowed: what trains */
    uint64_t elements;
    float *params; /* owned, on the backend; NULL when elements is 0 */
    float *grads;  /* owned, on the backend; NULL unless training */
    llm_fixed_t fixed;
    llm_spread_t spread;
    int32_t *positions_host; /* owned, [tokens_max] */
    float *losses_host;      /* owned, [tokens_max] */
};

/* Checks and uploads the tokens; the sequences stay in the caller's memory, or
 * with virtual tokens in the workspace's. */
int llm_workspace_take_tokens(llm_workspace_t *self, const llm_batch_t *batch, llm_packed_t *packed,
                              fmq_error_t *err);

#endif
