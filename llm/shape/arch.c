/*
 * arch.c - the table of decoder families, one row each.
 *
 * A row says how a family differs from the others and what HF calls its
 * tensors.  A family that is like another begins with that one's row and names
 * what differs behind it.  Numbers of one model of the family are in shape.c.
 */
#include <string.h>

#include "fedmq/llm/shape.h"

static const llm_config_keys_t gpt2_keys = {
    .layers = "n_layer",
    .width = "n_embd",
    .heads = "n_head",
    .ffn = "n_inner",
    .context = "n_positions",
    .eps = "layer_norm_epsilon",
    .activation = "activation_function",
};

static const llm_config_keys_t llama_keys = {
    .layers = "num_hidden_layers",
    .width = "hidden_size",
    .heads = "num_attention_heads",
    .kv_heads = "num_key_value_heads",
    .head_width = "head_dim",
    .ffn = "intermediate_size",
    .context = "max_position_embeddings",
    .eps = "rms_norm_eps",
    .activation = "hidden_act",
};

/* What is said again behind LIKE_... replaces what stands there. */
#pragma GCC diagnostic ignored "-Woverride-init"

#define LIKE_LLAMA                                                                                 \
    .keys = &llama_keys, .norm = LLM_NORM_RMS, .norm_eps = 1e-6f,                                  \
    .norm_attention = "input_layernorm", .norm_mlp = "post_attention_layernorm",                   \
    .norm_final = "model.norm", .positions = LLM_POSITIONS_ROPE, .rope_theta = 10000,              \
    .gated = true, .activation = "silu",                                                           \
    .modules =                                                                                     \
        {[LLM_Q] = "self_attn.q_proj", [LLM_K] = "self_attn.k_proj", [LLM_V] = "self_attn.v_proj", \
         [LLM_O] = "self_attn.o_proj", [LLM_GATE] = "mlp.gate_proj", [LLM_UP] = "mlp.up_proj",     \
         [LLM_DOWN] = "mlp.down_proj"},                                                            \
    .biases = {{"attention_bias", false, LLM_ATTENTION_MODULES},                                   \
               {"mlp_bias", false, LLM_MLP_MODULES}},                                              \
    .lora_targets = {"q_proj", "v_proj"}, .layer_prefix = "model.layers.",                         \
    .token_embedding = "model.embed_tokens", .head = "lm_head", .bos = 1, .eos = 2

/* The rows' tensor names are those of HF's modeling_<model_type>.py, the LoRA
 * targets those of PEFT's TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING. */
static const llm_arch_t rows[] = {
    {
        .model_type = "gpt2",
        .hf_class = "GPT2LMHeadModel",
        .keys = &gpt2_keys,
        .norm = LLM_NORM_LAYER,
        .norm_eps = 1e-5f,
        .norm_attention = "ln_1",
        .norm_mlp = "ln_2",
        .norm_final = "transformer.ln_f",
        .positions = LLM_POSITIONS_LEARNED,
        .activation = "gelu_new",
        .ffn_optional = true,
        .modules = {[LLM_QKV] = "attn.c_attn",
                    [LLM_O] = "attn.c_proj",
                    [LLM_UP] = "mlp.c_fc",
                    [LLM_DOWN] = "mlp.c_proj"},
        .input_major = true,
        .biases = {{.modules = LLM_ALL_MODULES}},
        .lora_targets = {"c_attn"},
        .layer_prefix = "transformer.h.",
        .token_embedding = "transformer.wte",
        .position_embedding = "transformer.wpe",
        .head = "lm_head",
        .tie_by_default = true,
        .bos = 50256,
        .eos = 50256,
    },
    {
        LIKE_LLAMA,
        .model_type = "llama",
        .hf_class = "LlamaForCausalLM",
    },
    {
        /* Computed as far as its window reaches; nothing longer is. */
        LIKE_LLAMA,
        .model_type = "mistral",
        .hf_class = "MistralForCausalLM",
        .kv_heads = 8,
        .windows = LLM_WINDOWS_ALL,
        .window = 4096,
        .biases = {{0}},
    },
};

const llm_arch_t *llm_arch_at(size_t index)
{
    return index < sizeof rows / sizeof *rows ? &rows[index] : NULL;
}

const llm_arch_t *llm_arch_find(const char *model_type)
{
    const llm_arch_t *row = NULL;
    for (size_t i = 0; (row = llm_arch_at(i)); i++)
        if (strcmp(row->model_type, model_type) == 0)
            break;
    return row;
}
