/*
 * activation.c - the names of activation functions.  Computes none.
 */
#include "fedmq/llm/activation.h"

#include <stddef.h>
#include <string.h>

/* transformers has several names for one function: the first of each is what
 * is written. */
static const struct {
    const char *name;
    llm_activation_t activation;
} names[] = {
    {"silu", LLM_ACTIVATION_SILU},
    {"swish", LLM_ACTIVATION_SILU},
    {"gelu", LLM_ACTIVATION_GELU},
    {"gelu_python", LLM_ACTIVATION_GELU},
    {"gelu_new", LLM_ACTIVATION_GELU_TANH},
    {"gelu_pytorch_tanh", LLM_ACTIVATION_GELU_TANH},
    {"gelu_python_tanh", LLM_ACTIVATION_GELU_TANH},
    {"gelu_fast", LLM_ACTIVATION_GELU_TANH},
    {"relu", LLM_ACTIVATION_RELU},
    {"quick_gelu", LLM_ACTIVATION_QUICK_GELU},
};

bool llm_activation_find(const char *name, llm_activation_t *out)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) != 0)
            continue;
        *out = names[i].activation;
        return true;
    }
    return false;
}

const char *llm_activation_name(llm_activation_t activation)
{
    size_t i = 0;
    while (names[i].activation != activation)
        i++;
    return names[i].name;
}
