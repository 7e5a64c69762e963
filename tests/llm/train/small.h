/*
 * small.h - a random model of bytes, what is trained of it, and data, as the
 * tests of this folder share them.
 *
 * For programs that are linked with the tokenizer of bytes: no file is needed.
 */
#ifndef FEDMQ_TESTS_LLM_TRAIN_SMALL_H
#define FEDMQ_TESTS_LLM_TRAIN_SMALL_H

#include "fedmq/llm/data.h"
#include "tests/llm/pass/tiny.h"

#define SMALL_CONTEXT 512

/* Two layers, grouped keys, tied. */
llm_shape_t small_llama(void);
/* LoRA of rank 4; targets as tiny_lora()'s. */
llm_adapter_spec_t small_lora(const char *targets, float dropout);

typedef struct {
    llm_model_t *model;
    llm_adapter_t *adapter;
    float *vector; /* owned, host: the first one of the adapter */
    size_t elements;
} small_t;

/* be is borrowed; asserts that everything can be made. */
void small_open(small_t *self, const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                uint64_t seed, llm_backend_t *be);
void small_close(small_t *self);
/* Moves all parameters off their start: LoRA's B, too, is to have a gradient. */
void small_stir(small_t *self);

/* Questions and answers of many lengths; a flavour makes others. */
llm_dataset_t *small_ragged(size_t examples, unsigned flavour);

#endif
