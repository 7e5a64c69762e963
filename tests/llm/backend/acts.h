/*
 * acts.h - floats of a test as the activations of a backend whose act is
 * FMQ_F32, and whose memory is the process's own.
 */
#ifndef TESTS_BACKEND_ACTS_H
#define TESTS_BACKEND_ACTS_H

#include "fedmq/llm/backend.h"

static inline llm_act_t *act(float *x)
{
    return (llm_act_t *)(void *)x;
}

static inline const llm_act_t *const_act(const float *x)
{
    return (const llm_act_t *)(const void *)x;
}

#endif
