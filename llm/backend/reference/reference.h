/*
 * reference.h - the inside of the reference backend: naive loops, one for one
 * with the formulas.
 *
 * Each file holds one family of ops, forward and backward side by side, and
 * puts them into the table.  Activations are stored in fp32, or in bf16 so that
 * a backend that stores those can be measured; sums are kept in double, so that
 * what a faster backend is measured against carries next to no error of its
 * own.  Nothing here is made fast.
 */
#ifndef LLM_BACKEND_REFERENCE_H
#define LLM_BACKEND_REFERENCE_H

#include <string.h>

#include "base/half.h"
#include "llm/backend/instance.h"

/* Activation number i, and a new value for it, rounded to what is stored. */
static inline double llm_reference_get(const llm_backend_t *be, const llm_act_t *x, size_t i)
{
    const llm_act_t *at = llm_act_const_at(be, x, i);
    float value;
    uint16_t half;
    if (be->ops->act == FMQ_F32) {
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    memcpy(&half, at, sizeof half);
    return (double)fmq_float_of_bf16(half);
}

static inline void llm_reference_put(const llm_backend_t *be, llm_act_t *x, size_t i, double value)
{
    llm_act_t *at = llm_act_at(be, x, i);
    float narrow = (float)value;
    uint16_t half = fmq_bf16_of_float(narrow);
    if (be->ops->act == FMQ_F32)
        memcpy(at, &narrow, sizeof narrow);
    else
        memcpy(at, &half, sizeof half);
}

void llm_reference_memory(llm_ops_t *ops);
void llm_reference_linear(llm_ops_t *ops);
void llm_reference_dense(llm_ops_t *ops);
void llm_reference_embedding(llm_ops_t *ops);
void llm_reference_norm(llm_ops_t *ops);
void llm_reference_attention(llm_ops_t *ops);
void llm_reference_activation(llm_ops_t *ops);
void llm_reference_scales(llm_ops_t *ops);
void llm_reference_loss(llm_ops_t *ops);
void llm_reference_optimizer(llm_ops_t *ops);
void llm_reference_moments(llm_ops_t *ops);

#endif
