/*
 * activation.h - the activation functions of MLPs, plain or behind a gate.
 *
 * Names are those of transformers' ACT2FN.
 */
#ifndef FEDMQ_LLM_ACTIVATION_H
#define FEDMQ_LLM_ACTIVATION_H

#include <stdbool.h>

#include "fedmq/base/api.h"

FMQ_API_BEGIN

typedef enum {
    LLM_ACTIVATION_SILU,       /* x sigmoid(x) */
    LLM_ACTIVATION_GELU,       /* x Phi(x), by erf */
    LLM_ACTIVATION_GELU_TANH,  /* its approximation by tanh */
    LLM_ACTIVATION_RELU,       /* max(x, 0) */
    LLM_ACTIVATION_QUICK_GELU, /* x sigmoid(1.702 x) */
    LLM_ACTIVATIONS
} llm_activation_t;

/* Finds the function that a config.json names; false when there is none. */
bool llm_activation_find(const char *name, llm_activation_t *out);

/* A name under which transformers knows it. */
const char *llm_activation_name(llm_activation_t activation);

FMQ_API_END

#endif
