/*
 * config_text.h - texts of config.json for tests, changed and loaded.
 */
#ifndef FEDMQ_TESTS_CONFIG_TEXT_H
#define FEDMQ_TESTS_CONFIG_TEXT_H

#include "fedmq/llm/shape.h"
#include "tests/llm/hub/scratch.h"

#define GPT2_TEXT                                                                                  \
    "{\"model_type\":\"gpt2\",\"vocab_size\":50257,\"n_positions\":1024,\"n_embd\":768,"           \
    "\"n_layer\":12,\"n_head\":12,\"n_inner\":null,\"activation_function\":\"gelu_new\","          \
    "\"layer_norm_epsilon\":1e-05,\"bos_token_id\":50256,\"eos_token_id\":50256}"

#define LLAMA_TEXT                                                                                 \
    "{\"model_type\":\"llama\",\"vocab_size\":32000,\"hidden_size\":4096,"                         \
    "\"num_hidden_layers\":32,\"num_attention_heads\":32,\"intermediate_size\":11008,"             \
    "\"max_position_embeddings\":4096,\"rms_norm_eps\":1e-05,\"hidden_act\":\"silu\","             \
    "\"bos_token_id\":1,\"eos_token_id\":2}"

/* Llama-3.1-8B's config, as far as it matters. */
#define LLAMA31_TEXT                                                                               \
    "{\"model_type\":\"llama\",\"vocab_size\":128256,\"hidden_size\":4096,"                        \
    "\"num_hidden_layers\":32,\"num_attention_heads\":32,\"num_key_value_heads\":8,"               \
    "\"intermediate_size\":14336,\"max_position_embeddings\":131072,\"rms_norm_eps\":1e-05,"       \
    "\"hidden_act\":\"silu\",\"rope_theta\":500000.0,\"rope_scaling\":{\"factor\":8.0,"            \
    "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"                                            \
    "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"},"                         \
    "\"bos_token_id\":128000,\"eos_token_id\":[128001,128008,128009]}"

/* A folder for files, as cmocka's group fixture. */
int config_text_set_up(void **state);
int config_text_tear_down(void **state);

/* Reads the text from a file; the second fails the test when that fails. */
int config_text_load(void **state, const char *text, llm_shape_t *shape, fmq_error_t *err);
void config_text_load_well(void **state, const char *text, llm_shape_t *shape);

/* The text with its first occurrence of from replaced. */
void config_text_replace(char *out, size_t size, const char *text, const char *from,
                         const char *to);

#endif
