/*
 * activations.h - how loud each MLP channel of a model is on public examples.
 */
#ifndef FEDMQ_LLM_OFFSITE_ACTIVATIONS_H
#define FEDMQ_LLM_OFFSITE_ACTIVATIONS_H

#include "fedmq/llm/dataset.h"
#include "fedmq/llm/model.h"

#define LLM_LOUDNESS_EXAMPLES 128 /* that are looked at; Wanda's number */

/* Everything is borrowed. */
typedef struct {
    const llm_model_t *model;
    uint32_t l, r; /* its layers [l, r) */
    const llm_dataset_t *data;
    llm_backend_t *be;
    uint64_t seed; /* which examples, when there are more */
} llm_loudness_t;

/* Root of the mean square over tokens of what enters DOWN, [r - l][ffn]; the
 * caller's, host memory. */
float *llm_loudness_new(const llm_loudness_t *how, fmq_error_t *err);

#endif
