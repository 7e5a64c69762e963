/*
 * constants.h - the scalars of an optimizer step and of dropout, derived in double
 * as Python does before they meet fp32 vectors.
 */
#ifndef LLM_BACKEND_CONSTANTS_H
#define LLM_BACKEND_CONSTANTS_H

#include <math.h>

#include "base/real.h"
#include "fedmq/llm/backend.h"

/* The decimal that a float setting stands for: 0.999f is 0.99900001287..., but
 * whoever wrote 0.999 meant that, and 1 - 0.999 differs by 1.3e-5 of itself. */
static inline double llm_decimal(float setting)
{
    double decimal = round((double)setting * 1e7) / 1e7;
    return (float)decimal == setting ? decimal : (double)setting;
}

typedef struct {
    float beta1, one_minus_beta1;
    float beta2, one_minus_beta2;
    float step_size;  /* lr / (1 - beta1^step) */
    float sqrt_bias2; /* sqrt(1 - beta2^step) */
    float eps;
    float l2;   /* added to the gradient, times the weight */
    float keep; /* the weight's factor: 1 - lr decay, or 1 */
} llm_adam_scalars_t;

static inline llm_adam_scalars_t llm_adam_scalars(const llm_adam_t *how)
{
    double beta1 = llm_decimal(how->beta1);
    double beta2 = llm_decimal(how->beta2);
    double lr = llm_decimal(how->lr);
    double decay = llm_decimal(how->weight_decay);
    return (llm_adam_scalars_t){
        .beta1 = (float)beta1,
        .one_minus_beta1 = (float)(1.0 - beta1),
        .beta2 = (float)beta2,
        .one_minus_beta2 = (float)(1.0 - beta2),
        .step_size = (float)(lr / (1.0 - fmq_pow(beta1, (double)how->step))),
        .sqrt_bias2 = (float)sqrt(1.0 - fmq_pow(beta2, (double)how->step)),
        .eps = how->eps,
        .l2 = how->decoupled ? 0.0f : how->weight_decay,
        .keep = how->decoupled ? (float)(1.0 - lr * decay) : 1.0f,
    };
}

/* What drop() multiplies an element by that is kept. */
static inline float llm_lora_keep(const llm_lora_t *how)
{
    return how->p < 1.0f ? (float)(1.0 / (1.0 - (double)how->p)) : 0.0f;
}

/* An element is dropped when its word lies below this: p 2^32, as far as a word
 * goes.  p = 1 drops all, as llm_lora_keep() is 0 then. */
static inline uint32_t llm_lora_bound(float p)
{
    double bound = (double)p * 0x1p32;
    return bound < UINT32_MAX ? (uint32_t)bound : UINT32_MAX;
}

#endif
