/*
 * arch.c - the table of decoder families, one row each.
 *
 * A row says how a family differs from the others and what HF calls its
 * tensors.  Numbers of one model of the family are in shape.c.
 */
#include <string.h>

#include "fedmq/llm/shape.h"

/* The rows' tensor names are those of HF's modeling_<model_type>.py, the LoRA
 * targets those of PEFT's TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING. */
static const llm_arch_t rows[] = {
    {
        .model_type = "gpt2",
        .hf_class = "GPT2LMHeadModel",
        .norm = LLM_NORM_LAYER,
        .positions = LLM_POSITIONS_LEARNED,
        .mlp = LLM_MLP_GELU,
        .input_major = true,
        .attention_bias = true,
        .mlp_bias = true,
        .tie_by_default = true,
        .bos = 50256,
        .eos = 50256,
        .layer_prefix = "transformer.h.",
        .token_embedding = "transformer.wte",
        .position_embedding = "transformer.wpe",
        .norm_attention = "ln_1",
        .norm_mlp = "ln_2",
        .norm_final = "transformer.ln_f",
        .head = "lm_head",
        .modules = {[LLM_QKV] = "attn.c_attn",
                    [LLM_O] = "attn.c_proj",
                    [LLM_UP] = "mlp.c_fc",
                    [LLM_DOWN] = "mlp.c_proj"},
        .lora_targets = {"c_attn"},
    },
    {
        .model_type = "llama",
        .hf_class = "LlamaForCausalLM",
        .norm = LLM_NORM_RMS,
        .positions = LLM_POSITIONS_ROPE,
        .mlp = LLM_MLP_SWIGLU,
        .bos = 1,
        .eos = 2,
        .layer_prefix = "model.layers.",
        .token_embedding = "model.embed_tokens",
        .norm_attention = "input_layernorm",
        .norm_mlp = "post_attention_layernorm",
        .norm_final = "model.norm",
        .head = "lm_head",
        .modules = {[LLM_Q] = "self_attn.q_proj",
                    [LLM_K] = "self_attn.k_proj",
                    [LLM_V] = "self_attn.v_proj",
                    [LLM_O] = "self_attn.o_proj",
                    [LLM_GATE] = "mlp.gate_proj",
                    [LLM_UP] = "mlp.up_proj",
                    [LLM_DOWN] = "mlp.down_proj"},
        .lora_targets = {"q_proj", "v_proj"},
    },
    {
        /* Mistral computes what LLaMA computes as far as its sliding window
         * reaches; nothing longer is computed. */
        .model_type = "mistral",
        .hf_class = "MistralForCausalLM",
        .norm = LLM_NORM_RMS,
        .positions = LLM_POSITIONS_ROPE,
        .mlp = LLM_MLP_SWIGLU,
        .bos = 1,
        .eos = 2,
        .kv_heads = 8,
        .window = 4096,
        .layer_prefix = "model.layers.",
        .token_embedding = "model.embed_tokens",
        .norm_attention = "input_layernorm",
        .norm_mlp = "post_attention_layernorm",
        .norm_final = "model.norm",
        .head = "lm_head",
        .modules = {[LLM_Q] = "self_attn.q_proj",
                    [LLM_K] = "self_attn.k_proj",
                    [LLM_V] = "self_attn.v_proj",
                    [LLM_O] = "self_attn.o_proj",
                    [LLM_GATE] = "mlp.gate_proj",
                    [LLM_UP] = "mlp.up_proj",
                    [LLM_DOWN] = "mlp.down_proj"},
        .lora_targets = {"q_proj", "v_proj"},
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
