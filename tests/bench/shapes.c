/*
 * shapes.c - see shapes.h.
 */
#include "tests/bench/shapes.h"

#include <string.h>

typedef struct {
    const char *name;
    uint32_t layers, width, heads, kv_heads, ffn, vocab, context;
    bool tied;
} row_t;

static const row_t rows[] = {
    {"gpt2", 12, 768, 12, 12, 3072, 50257, 1024, true},
    {"llama-135m", 30, 576, 9, 3, 1536, 49152, 8192, true},
    {"llama-0.3b", 24, 1024, 16, 16, 2816, 32000, 2048, true},
    {"llama-1.1b", 22, 2048, 32, 4, 5632, 32000, 2048, false},
    {"llama-7b", 32, 4096, 32, 32, 11008, 32000, 4096, false},
};

bool bench_shape_find(const char *name, llm_shape_t *out)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const row_t *row = &rows[i];
        if (strcmp(row->name, name) != 0)
            continue;
        bool gpt2 = i == 0;
        *out = (llm_shape_t){.arch = llm_arch_find(gpt2 ? "gpt2" : "llama"),
                             .layers = row->layers,
                             .width = row->width,
                             .heads = row->heads,
                             .kv_heads = row->kv_heads,
                             .head_width = row->width / row->heads,
                             .ffn = row->ffn,
                             .vocab = row->vocab,
                             .context = row->context,
                             .norm_eps = 1e-5f,
                             .rope_theta = gpt2 ? 0.0f : 10000.0f,
                             .activation = gpt2 ? LLM_ACTIVATION_GELU_TANH : LLM_ACTIVATION_SILU,
                             .biases = gpt2 ? LLM_ALL_MODULES : 0,
                             .tied = row->tied,
                             .bos = gpt2 ? 50256 : 1,
                             .eos = gpt2 ? 50256 : 2,
                             .rope_factor = 1.0f};
        return true;
    }
    return false;
}

llm_adapter_spec_t bench_lora(const llm_shape_t *shape, int first)
{
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_LORA, .rank = 8, .alpha = 16.0f};
    if (first > 0)
        llm_layer_set_add(&spec.layers, (uint32_t)first, shape->layers);
    return spec;
}
