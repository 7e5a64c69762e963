/*
 * golden_steps.h - what a golden case of an adapter does beside a single loss and its
 * gradients.  Cases are open and stay so; every failure in here fails the running test.
 */
#ifndef FEDMQ_TESTS_LLM_TRAIN_GOLDEN_STEPS_H
#define FEDMQ_TESTS_LLM_TRAIN_GOLDEN_STEPS_H

#include "tests/llm/pass/golden.h"

/* The case named "<root>/<name>" over the model in tests/llm/pass/goldens/<base>, with an
 * adapter of spec, whose vector the workspace does not have yet.  Takes be. */
void golden_open_over(golden_t *self, const char *root, const char *name, const char *base,
                      const llm_adapter_spec_t *spec, llm_backend_t *be);

/* Fifty steps of AdamW, by turns on the batch and on its first and third sequence, have the
 * losses that the case has, up to a share of these or of `least` where they are smaller. */
void golden_check_steps(golden_t *self, double lr, double least);

/* The answer to the first sequence is the case's, with every room for tokens taken or some to
 * spare. */
void golden_check_greedy(golden_t *self, size_t spare);

/* Gradients are the same, bit by bit, when activations are made again. */
void golden_check_recompute(golden_t *self, llm_recompute_t recompute);

#endif
