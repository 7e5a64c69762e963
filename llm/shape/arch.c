/*
 * arch.c - the table of decoder families, one row each.
 *
 * A row says how a family differs from the others and what HF calls its
 * tensors.  A family that is like another begins with that one's row and names
 * what differs behind it.  Numbers of one model of the family are in shape.c.
 */
#include <string.h>

#include "base/nearest.h"
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

/* What is said again behind a list of what is usual, or behind LIKE_..., replaces
 * what stands there. */
#pragma GCC diagnostic ignored "-Woverride-init"

#define USUAL_KEYS                                                                                 \
    .layers = "num_hidden_layers", .width = "hidden_size", .heads = "num_attention_heads",         \
    .ffn = "intermediate_size", .context = "max_position_embeddings", .activation = "hidden_act"

static const llm_config_keys_t llama_keys = {
    USUAL_KEYS,
    .kv_heads = "num_key_value_heads",
    .head_width = "head_dim",
    .eps = "rms_norm_eps",
};

static const llm_config_keys_t starcoder2_keys = {
    USUAL_KEYS,
    .kv_heads = "num_key_value_heads",
    .head_width = "head_dim",
    .eps = "norm_epsilon",
};

static const llm_config_keys_t neox_keys = {
    USUAL_KEYS,
    .eps = "layer_norm_eps",
};

static const llm_config_keys_t phi_keys = {
    USUAL_KEYS,
    .kv_heads = "num_key_value_heads",
    .eps = "layer_norm_eps",
};

/* OPT has no key for the eps of its norms. */
static const llm_config_keys_t opt_keys = {
    USUAL_KEYS,
    .ffn = "ffn_dim",
    .activation = "activation_function",
};

#define FALCON_KEYS                                                                                \
    USUAL_KEYS, .ffn = "ffn_hidden_size", .eps = "layer_norm_epsilon", .activation = "activation"

static const llm_config_keys_t falcon_keys = {FALCON_KEYS};
static const llm_config_keys_t falcon_group_keys = {FALCON_KEYS, .kv_heads = "num_kv_heads"};

#define LIKE_LLAMA                                                                                 \
    .keys = &llama_keys, .norm = LLM_NORM_RMS, .norm_eps = 1e-6f,                                  \
    .norms =                                                                                       \
        {[LLM_NORM_ATTENTION] = "input_layernorm", [LLM_NORM_MLP] = "post_attention_layernorm"},   \
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

#define LIKE_GEMMA                                                                                 \
    LIKE_LLAMA, .norm_less_one = true, .head_width = 256, .activation = "gelu_pytorch_tanh",       \
                .biases = {{"attention_bias", false, LLM_ATTENTION_MODULES}},                      \
                .embedding_scaled = true, .tie_by_default = true, .bos = 2, .eos = 1

/* Where PEFT names no targets for a family: all of its linear modules. */
#define ALL_TARGETS                                                                                \
    .lora_targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

#define LIKE_NEOX                                                                                  \
    .model_type = "gpt_neox", .hf_class = "GPTNeoXForCausalLM", .keys = &neox_keys,                \
    .norm = LLM_NORM_LAYER, .norm_eps = 1e-5f,                                                     \
    .norms =                                                                                       \
        {[LLM_NORM_ATTENTION] = "input_layernorm", [LLM_NORM_MLP] = "post_attention_layernorm"},   \
    .norm_final = "gpt_neox.final_layer_norm", .positions = LLM_POSITIONS_ROPE,                    \
    .rope_theta = 10000, .rotary_key = "rotary_pct", .rotary = 0.25f,                              \
    .qkv_layout = LLM_QKV_PER_HEAD, .activation = "gelu",                                          \
    .modules = {[LLM_QKV] = "attention.query_key_value",                                           \
                [LLM_O] = "attention.dense",                                                       \
                [LLM_UP] = "mlp.dense_h_to_4h",                                                    \
                [LLM_DOWN] = "mlp.dense_4h_to_h"},                                                 \
    .biases = {{"attention_bias", true, LLM_ATTENTION_MODULES}, {.modules = LLM_MLP_MODULES}},     \
    .lora_targets = {"query_key_value"}, .layer_prefix = "gpt_neox.layers.",                       \
    .token_embedding = "gpt_neox.embed_in", .head = "embed_out", .bos = 0, .eos = 2

#define LIKE_STABLELM                                                                              \
    LIKE_LLAMA, .model_type = "stablelm", .hf_class = "StableLmForCausalLM", .keys = &phi_keys,    \
                .norm = LLM_NORM_LAYER, .norm_eps = 1e-5f, .rotary_key = "partial_rotary_factor",  \
                .rotary = 0.25f,                                                                   \
                .biases = {{"use_qkv_bias", false, 1u << LLM_Q | 1u << LLM_K | 1u << LLM_V}},      \
                .bos = 0, .eos = 0

#define LIKE_FALCON                                                                                \
    .model_type = "falcon", .hf_class = "FalconForCausalLM", .keys = &falcon_keys,                 \
    .norm = LLM_NORM_LAYER, .norm_eps = 1e-5f, .norm_final = "transformer.ln_f",                   \
    .positions = LLM_POSITIONS_ROPE, .rope_theta = 10000, .context = 2048, .activation = "gelu",   \
    .ffn_optional = true, .parallel = true,                                                        \
    .modules = {[LLM_QKV] = "self_attention.query_key_value",                                      \
                [LLM_O] = "self_attention.dense",                                                  \
                [LLM_UP] = "mlp.dense_h_to_4h",                                                    \
                [LLM_DOWN] = "mlp.dense_4h_to_h"},                                                 \
    .biases = {{"bias", false, LLM_ALL_MODULES}}, .lora_targets = {"query_key_value"},             \
    .layer_prefix = "transformer.h.", .token_embedding = "transformer.word_embeddings",            \
    .head = "lm_head", .tie_by_default = true, .bos = 11, .eos = 11

/* The rows' tensor names are those of HF's modeling_<model_type>.py, the LoRA
 * targets those of PEFT's TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING. */
static const llm_arch_t rows[] = {
    {
        .model_type = "gpt2",
        .hf_class = "GPT2LMHeadModel",
        .keys = &gpt2_keys,
        .norm = LLM_NORM_LAYER,
        .norm_eps = 1e-5f,
        .norms = {[LLM_NORM_ATTENTION] = "ln_1", [LLM_NORM_MLP] = "ln_2"},
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
        LIKE_LLAMA,
        .model_type = "mistral",
        .hf_class = "MistralForCausalLM",
        .kv_heads = 8,
        .windows = LLM_WINDOWS_ALL,
        .window = 4096,
        .biases = {{0}},
    },
    {
        LIKE_LLAMA,
        .model_type = "qwen2",
        .hf_class = "Qwen2ForCausalLM",
        .windows = LLM_WINDOWS_ABOVE,
        .window = 4096,
        .window_period = 28,
        .biases = {{.modules = 1u << LLM_Q | 1u << LLM_K | 1u << LLM_V}},
        .bos = -1,
        .eos = -1,
    },
    {
        LIKE_LLAMA,
        .model_type = "qwen3",
        .hf_class = "Qwen3ForCausalLM",
        .norms[LLM_NORM_Q] = "self_attn.q_norm",
        .norms[LLM_NORM_K] = "self_attn.k_norm",
        .head_width = 128,
        .windows = LLM_WINDOWS_ABOVE,
        .window = 4096,
        .window_period = 28,
        .biases = {{"attention_bias", false, LLM_ATTENTION_MODULES}},
        .bos = -1,
        .eos = -1,
    },
    {
        /* What attention and MLP make is normed, and not what they are given. */
        LIKE_LLAMA,
        .model_type = "olmo2",
        .hf_class = "Olmo2ForCausalLM",
        ALL_TARGETS,
        .norm_eps = 1e-5f,
        .norms = {[LLM_NORM_POST_ATTENTION] = "post_attention_layernorm",
                  [LLM_NORM_POST_MLP] = "post_feedforward_layernorm",
                  [LLM_NORM_Q] = "self_attn.q_norm",
                  [LLM_NORM_K] = "self_attn.k_norm"},
        .norm_qk_whole = true,
        .biases = {{"attention_bias", false, LLM_ATTENTION_MODULES}},
        .bos = -1,
        .eos = 50279,
    },
    {
        LIKE_LLAMA,
        .model_type = "granite",
        .hf_class = "GraniteForCausalLM",
        ALL_TARGETS,
        .multipliers = true,
    },
    {
        LIKE_LLAMA,
        .model_type = "smollm3",
        .hf_class = "SmolLM3ForCausalLM",
        ALL_TARGETS,
        .rope_theta = 2000000,
        .unrotated_nth = 4,
        .windows = LLM_WINDOWS_UNROTATED,
        .kv_heads = 4,
        .tie_by_default = true,
        .bos = 128000,
        .eos = 128001,
    },
    {
        LIKE_GEMMA,
        .model_type = "gemma",
        .hf_class = "GemmaForCausalLM",
        .kv_heads = 16,
        .exact_means_tanh = true,
    },
    {
        LIKE_LLAMA,
        .model_type = "starcoder2",
        .hf_class = "Starcoder2ForCausalLM",
        .lora_targets = {"q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj"},
        .keys = &starcoder2_keys,
        .norm = LLM_NORM_LAYER,
        .norm_eps = 1e-5f,
        .kv_heads = 2,
        .windows = LLM_WINDOWS_ALL,
        .gated = false,
        .activation = "gelu_pytorch_tanh",
        .modules[LLM_GATE] = NULL,
        .modules[LLM_UP] = "mlp.c_fc",
        .modules[LLM_DOWN] = "mlp.c_proj",
        .biases = {{"use_bias", true, LLM_ALL_MODULES}},
        .tie_by_default = true,
        .bos = 50256,
        .eos = 50256,
    },
    {
        LIKE_LLAMA,
        .model_type = "phi3",
        .hf_class = "Phi3ForCausalLM",
        .norm_eps = 1e-5f,
        .windows = LLM_WINDOWS_ALL,
        .modules = {[LLM_QKV] = "self_attn.qkv_proj",
                    [LLM_O] = "self_attn.o_proj",
                    [LLM_GATE_UP] = "mlp.gate_up_proj",
                    [LLM_DOWN] = "mlp.down_proj"},
        .biases = {{0}},
        .lora_targets = {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"},
        .eos = 32000,
    },
    {
        LIKE_NEOX,
        .switches = {{"use_parallel_residual", true, true}},
        .parallel = true,
    },
    {
        LIKE_NEOX,
        .switches = {{"use_parallel_residual", false, true}},
    },
    {
        .model_type = "gptj",
        .hf_class = "GPTJForCausalLM",
        .keys = &gpt2_keys,
        .norm = LLM_NORM_LAYER,
        .norm_eps = 1e-5f,
        .norms = {[LLM_NORM_ATTENTION] = "ln_1"},
        .norm_final = "transformer.ln_f",
        .positions = LLM_POSITIONS_ROPE,
        .rope_theta = 10000,
        .rotary_key = "rotary_dim",
        .rotary = 64,
        .rotary_channels = true,
        .rope_interleaved = true,
        .activation = "gelu_new",
        .ffn_optional = true,
        .parallel = true,
        .modules = {[LLM_Q] = "attn.q_proj",
                    [LLM_K] = "attn.k_proj",
                    [LLM_V] = "attn.v_proj",
                    [LLM_O] = "attn.out_proj",
                    [LLM_UP] = "mlp.fc_in",
                    [LLM_DOWN] = "mlp.fc_out"},
        .biases = {{.modules = LLM_MLP_MODULES}},
        .lora_targets = {"q_proj", "v_proj"},
        .layer_prefix = "transformer.h.",
        .token_embedding = "transformer.wte",
        .head = "lm_head",
        .head_bias = true,
        .bos = 50256,
        .eos = 50256,
    },
    {
        .model_type = "phi",
        .hf_class = "PhiForCausalLM",
        .keys = &phi_keys,
        .switches = {{"qk_layernorm", false, false}},
        .norm = LLM_NORM_LAYER,
        .norm_eps = 1e-5f,
        .norms = {[LLM_NORM_ATTENTION] = "input_layernorm"},
        .norm_final = "model.final_layernorm",
        .positions = LLM_POSITIONS_ROPE,
        .rope_theta = 10000,
        .rotary_key = "partial_rotary_factor",
        .rotary = 0.5f,
        .activation = "gelu_new",
        .parallel = true,
        .modules = {[LLM_Q] = "self_attn.q_proj",
                    [LLM_K] = "self_attn.k_proj",
                    [LLM_V] = "self_attn.v_proj",
                    [LLM_O] = "self_attn.dense",
                    [LLM_UP] = "mlp.fc1",
                    [LLM_DOWN] = "mlp.fc2"},
        .biases = {{.modules = LLM_ALL_MODULES}},
        .lora_targets = {"q_proj", "v_proj", "fc1", "fc2"},
        .layer_prefix = "model.layers.",
        .token_embedding = "model.embed_tokens",
        .head = "lm_head",
        .head_bias = true,
        .bos = 1,
        .eos = 2,
    },
    {
        LIKE_STABLELM,
        .switches = {{"use_parallel_residual", false, false}, {"qk_layernorm", false, false}},
    },
    {
        LIKE_STABLELM,
        .switches = {{"use_parallel_residual", true, false}, {"qk_layernorm", false, false}},
        .norms[LLM_NORM_MLP] = NULL,
        .parallel = true,
    },
    {
        .model_type = "opt",
        .hf_class = "OPTForCausalLM",
        .keys = &opt_keys,
        .switches = {{"do_layer_norm_before", true, true},
                     {"layer_norm_elementwise_affine", true, true},
                     {"_remove_final_layer_norm", false, false}},
        .norm = LLM_NORM_LAYER,
        .norm_eps = 1e-5f,
        .norms =
            {[LLM_NORM_ATTENTION] = "self_attn_layer_norm", [LLM_NORM_MLP] = "final_layer_norm"},
        .norm_final = "model.decoder.final_layer_norm",
        .positions = LLM_POSITIONS_LEARNED,
        .position_offset = 2,
        .activation = "relu",
        .modules = {[LLM_Q] = "self_attn.q_proj",
                    [LLM_K] = "self_attn.k_proj",
                    [LLM_V] = "self_attn.v_proj",
                    [LLM_O] = "self_attn.out_proj",
                    [LLM_UP] = "fc1",
                    [LLM_DOWN] = "fc2"},
        .biases = {{"enable_bias", true, LLM_ALL_MODULES}},
        .lora_targets = {"q_proj", "v_proj"},
        .layer_prefix = "model.decoder.layers.",
        .token_embedding = "model.decoder.embed_tokens",
        .position_embedding = "model.decoder.embed_positions",
        .head = "lm_head",
        .embedding_width_key = "word_embed_proj_dim",
        .tie_by_default = true,
        .bos = 2,
        .eos = 2,
    },
    {
        /* The 40B and 180B models, and others with groups. */
        LIKE_FALCON,
        .keys = &falcon_group_keys,
        .switches = {{"new_decoder_architecture", true, false}, {"alibi", false, false}},
        .norms = {[LLM_NORM_ATTENTION] = "ln_attn", [LLM_NORM_MLP] = "ln_mlp"},
        .qkv_layout = LLM_QKV_PER_GROUP,
    },
    {
        /* The 7B model: queries of all heads, and one key and value. */
        LIKE_FALCON,
        .switches = {{"new_decoder_architecture", false, false},
                     {"multi_query", true, true},
                     {"parallel_attn", true, true},
                     {"alibi", false, false}},
        .norms = {[LLM_NORM_ATTENTION] = "input_layernorm"},
        .kv_heads = 1,
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

/* How many letters a family's name begins with: "qwen" of "qwen2". */
static size_t letters(const char *model_type)
{
    return strspn(model_type, "abcdefghijklmnopqrstuvwxyz");
}

static bool same_letters(const char *a, const char *b)
{
    return letters(a) == letters(b) && strncmp(a, b, letters(a)) == 0;
}

const llm_arch_t *llm_arch_nearest(const char *model_type)
{
    size_t length = strlen(model_type), least = SIZE_MAX;
    const llm_arch_t *row, *nearest = NULL;
    if (length >= FMQ_NEAREST_MAX)
        return NULL;
    for (size_t i = 0; (row = llm_arch_at(i)); i++) {
        size_t far = fmq_nearest_distance(row->model_type, model_type, length);
        bool like = far <= length / 3 || same_letters(row->model_type, model_type);
        if (!like || far >= least)
            continue;
        least = far;
        nearest = row;
    }
    return nearest;
}
