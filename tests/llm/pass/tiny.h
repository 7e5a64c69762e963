/*
 * tiny.h - small models, adapters and batches that the tests of this folder
 * share.  Everything is made up from seeds; nothing is read from disk.
 */
#ifndef FEDMQ_TESTS_LLM_PASS_TINY_H
#define FEDMQ_TESTS_LLM_PASS_TINY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fedmq/llm/workspace.h"

#define TINY_VOCAB   23
#define TINY_TOKENS  12
#define TINY_CONTEXT 8

llm_shape_t tiny_gpt2(void);
llm_shape_t tiny_llama(void);        /* grouped keys, tied */
llm_shape_t tiny_llama_biased(void); /* grouped keys, untied, with biases */

/* A batch of three ragged sequences, TINY_TOKENS tokens, some rows supervised. */
typedef struct {
    uint32_t starts[4];
    int32_t ids[TINY_TOKENS];
    int32_t rows[TINY_TOKENS];
    int32_t targets[TINY_TOKENS];
    llm_batch_t batch;
} tiny_batch_t;

void tiny_batch_init(tiny_batch_t *self);

/* A model, an adapter and a workspace over the reference backend (or the given
 * one), with a trainable vector of normal(0, deviation). */
typedef struct {
    llm_backend_t *be;
    llm_model_t *model;
    llm_adapter_t *adapter, *fixed; /* fixed may be NULL */
    llm_workspace_t *ws;
    float *vector;
    uint64_t elements;
    float *fixed_vector; /* normal(0, deviation), set in ws */
} tiny_t;

/* targets: names separated by one blank, "" for the defaults; kind LoRA. */
llm_adapter_spec_t tiny_lora(const char *targets, float dropout);
llm_adapter_spec_t tiny_full(void);
/* On these layers alone: "0 3". */
llm_adapter_spec_t tiny_on_layers(llm_adapter_spec_t spec, const char *layers);

/* Takes be; asserts that everything can be made. */
void tiny_init(tiny_t *self, const llm_shape_t *shape, const llm_adapter_spec_t *spec,
               llm_backend_t *be);
/* The same with what fixed asks for applied, too. */
void tiny_init_stack(tiny_t *self, const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                     const llm_adapter_spec_t *fixed, llm_backend_t *be);
/* The same over a model that is taken; fixed may be NULL. */
void tiny_init_with(tiny_t *self, llm_model_t **model_p, const llm_adapter_spec_t *spec,
                    const llm_adapter_spec_t *fixed, llm_backend_t *be);
void tiny_release(tiny_t *self);

/* A model of part files with only the first ffn[l] MLP channels of layer l. */
#define TINY_LAYERS_MAX 4
llm_model_t *tiny_narrow(const llm_model_t *model, const uint32_t *ffn, llm_backend_t *be);

/* normal(0, deviation) from the test stream numbered step. */
void tiny_normal(float *out, size_t count, double deviation, uint32_t step);

/* Logits of every row of the shared batch, of a model without an adapter. */
#define TINY_LOGITS (TINY_TOKENS * TINY_VOCAB)
void tiny_logits(const llm_model_t *model, llm_backend_t *be, float out[TINY_LOGITS]);

#endif
