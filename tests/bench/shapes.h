/*
 * shapes.h - the models whose proportions benchmarks have, by name.
 */
#ifndef FEDMQ_TESTS_BENCH_SHAPES_H
#define FEDMQ_TESTS_BENCH_SHAPES_H

#include <stdbool.h>

#include "fedmq/llm/adapter.h"
#include "fedmq/llm/shape.h"

/* For bench_text(): every name that bench_shape_find() knows. */
#define BENCH_SHAPES "gpt2|llama-135m|llama-0.3b|llama-1.1b|llama-7b"

/* "gpt2" is GPT-2 124M; "llama-135m" SmolLM2's 30 layers of 576, "llama-0.3b"
 * 24 layers of 1024, "llama-1.1b" TinyLlama's, "llama-7b" LLaMA-7B's.  False
 * when there is no such name. */
bool bench_shape_find(const char *name, llm_shape_t *out);

/* What PEFT trains in such a model by default, r = 8: c_attn in GPT-2, q_proj
 * and v_proj in LLaMA; of the layers from first on. */
llm_adapter_spec_t bench_lora(const llm_shape_t *shape, int first);

#endif
