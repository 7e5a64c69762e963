/*
 * inputs.c - shapes and texts of the benchmarks; the same in every run.
 */
#include "tests/bench/inputs.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/llm/data/byte_tokenizer.h"

llm_shape_t bench_llama_like(int layers, int width, int context)
{
    uint32_t channels = (uint32_t)width / 64 * 64;
    return (llm_shape_t){.arch = llm_arch_find("llama"),
                         .layers = (uint32_t)layers,
                         .width = channels,
                         .heads = channels / 64,
                         .kv_heads = channels / 64,
                         .head_width = 64,
                         .ffn = channels * 43 / 16,
                         .vocab = channels * 125 / 16,
                         .context = (uint32_t)context,
                         .norm_eps = 1e-5f,
                         .rope_theta = 10000,
                         .bos = BYTE_BOS,
                         .eos = BYTE_EOS,
                         .rope_factor = 1};
}

llm_dataset_t *bench_dataset(int examples, int tokens)
{
    fmq_error_t err;
    size_t size = (size_t)examples * (size_t)tokens - 1;
    char *text = malloc(size + 1);
    if (!text)
        exit(1);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + i * 2654435761u / 65536 % 26);
    text[size] = '\0';
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *dataset = llm_dataset_new_text(text, size, &tokenizer, (size_t)tokens, &err);
    free(text);
    if (!dataset) {
        (void)fprintf(stderr, "dataset: %s\n", err.text);
        exit(1);
    }
    return dataset;
}
