/*
 * inputs.h - what the benchmarks of training compute with: a shape and a text.
 */
#ifndef FEDMQ_TESTS_BENCH_INPUTS_H
#define FEDMQ_TESTS_BENCH_INPUTS_H

#include "fedmq/llm/dataset.h"
#include "fedmq/llm/shape.h"

/* LLaMA-7B's proportions at another width, which is cut to a multiple of 64. */
llm_shape_t bench_llama_like(int layers, int width, int context);

/* Text of `examples` sequences of exactly so many tokens, made for the byte
 * tokenizer: a byte each, and BOS.  Says what failed and exits. */
llm_dataset_t *bench_dataset(int examples, int tokens);

#endif
