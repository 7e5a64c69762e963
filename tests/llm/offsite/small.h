/*
 * small.h - models of some layers that the tests of this folder share, with
 * random weights; and what a stack of model and adapters gives.
 * Every failure in here fails the running test.
 */
#ifndef FEDMQ_TESTS_OFFSITE_SMALL_H
#define FEDMQ_TESTS_OFFSITE_SMALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fedmq/llm/offsite.h"

#define SMALL_VOCAB   260 /* bytes and the two marks of tests/llm/data/byte_tokenizer.h */
#define SMALL_CONTEXT 48

/* "gpt2" or "llama" (grouped keys). */
llm_shape_t small_shape(const char *family, uint32_t layers);

typedef struct {
    llm_backend_t *be;
    llm_model_t *model;
} small_t;

void small_open(small_t *self, const char *family, uint32_t layers);
void small_close(small_t *self);

llm_adapter_spec_t small_lora(void);
/* drop_layer of [l, r) with small_lora(). */
llm_emulator_spec_t small_spec(uint32_t l, uint32_t r, double drop_ratio);

/* Builds, or fails the test. */
llm_emulator_t *small_emulator(const small_t *self, const llm_emulator_spec_t *spec,
                               const llm_emulator_building_t *how);

/* normal(0, deviation) values for an adapter's vector; the caller's. */
float *small_vector(const llm_adapter_t *adapter, double deviation, uint32_t step);

/* Sum of the losses of a made-up batch under a model with an adapter's vector
 * and a fixed one; adapters may be NULL. */
double small_loss(const llm_stack_t *stack, const float *vector, const float *fixed,
                  llm_backend_t *be);

/* The same of a bare model. */
double small_model_loss(const llm_model_t *model, llm_backend_t *be);

void small_assert_same_digest(const llm_model_t *a, const llm_model_t *b);

#endif
