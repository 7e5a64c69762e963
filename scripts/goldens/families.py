"""The decoder families that goldens and comparisons are made of: one line each.

A line is a name and a random model of the family: its class of transformers
and the numbers of its configuration, small and awkward (no width is a multiple
of 16, keys are shared where the family can, the vocabulary is odd).  A family
whose configuration switches something on and off has a line for each.
"""

import torch
import transformers

VOCAB = 53
CONTEXT = 48
ENDS = {"bos_token_id": 1, "eos_token_id": None, "pad_token_id": None}

LLAMA = {"max_position_embeddings": CONTEXT, "hidden_size": 20, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 28,
         "rms_norm_eps": 1e-5}
GPT = {"n_positions": CONTEXT, "n_embd": 20, "n_layer": 2, "n_head": 2, "resid_pdrop": 0.0,
       "embd_pdrop": 0.0, "attn_pdrop": 0.0}
NEOX = {"max_position_embeddings": CONTEXT, "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 28}
OPT = {"max_position_embeddings": CONTEXT, "hidden_size": 20, "num_hidden_layers": 2,
       "num_attention_heads": 2, "ffn_dim": 28, "dropout": 0.0, "word_embed_proj_dim": 20}
FALCON = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
          "ffn_hidden_size": 28, "max_position_embeddings": CONTEXT, "alibi": False}


def like(numbers, **more):
    return {**numbers, **more}


def rope(kind, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 500.0, **more}}


# name: (prefix of the classes, configuration)
FAMILIES = {
    "gpt2": ("GPT2", like(GPT, n_embd=21, n_head=3, n_inner=26)),
    "gpt2_unscaled": ("GPT2", like(GPT, scale_attn_weights=False)),
    "gpt2_by_layer": ("GPT2", like(GPT, scale_attn_by_inverse_layer_idx=True)),
    "gpt2_upcast": ("GPT2", like(GPT, reorder_and_upcast_attn=True, activation_function="gelu")),
    "gpt2_untied": ("GPT2", like(GPT, tie_word_embeddings=False, activation_function="relu")),
    "llama": ("Llama", like(LLAMA, head_dim=6, attention_bias=True, mlp_bias=True)),
    "llama_linear": ("Llama", like(LLAMA, head_dim=6, **rope("linear", factor=2.0))),
    "llama_dynamic": ("Llama", like(LLAMA, head_dim=6, **rope("dynamic", factor=2.0))),
    "llama3": ("Llama", like(LLAMA, head_dim=6, tie_word_embeddings=True, **rope(
        "llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=16))),
    "llama_yarn": ("Llama", like(LLAMA, head_dim=6, **rope(
        "yarn", factor=4.0, original_max_position_embeddings=12))),
    "llama_longrope": ("Llama", like(LLAMA, head_dim=6, original_max_position_embeddings=CONTEXT,
                                     **rope("longrope", factor=2.0, short_factor=[1.0, 1.5, 2.0],
                                            long_factor=[1.0, 3.0, 6.0],
                                            original_max_position_embeddings=CONTEXT))),
    "mistral": ("Mistral", like(LLAMA, head_dim=6, sliding_window=5)),
    "qwen2": ("Qwen2", like(LLAMA, hidden_size=24)),
    "qwen3": ("Qwen3", like(LLAMA, head_dim=6)),
    "gemma": ("Gemma", like(LLAMA, head_dim=6, num_key_value_heads=1)),
    "gemma2": ("Gemma2", like(LLAMA, head_dim=6, sliding_window=5, query_pre_attn_scalar=9,
                              attn_logit_softcapping=5.0, final_logit_softcapping=6.0)),
    "gemma3_text": ("Gemma3", like(LLAMA, head_dim=6, sliding_window=5, query_pre_attn_scalar=9,
                                   num_hidden_layers=3, layer_types=[
                                       "sliding_attention", "full_attention",
                                       "sliding_attention"])),
    "phi3": ("Phi3", like(LLAMA, hidden_size=24)),
    "olmo2": ("Olmo2", like(LLAMA, hidden_size=24)),
    "granite": ("Granite", like(LLAMA, hidden_size=24, embedding_multiplier=3.0,
                                attention_multiplier=0.3, residual_multiplier=0.5,
                                logits_scaling=1.5)),
    "smollm3": ("SmolLM3", like(LLAMA, hidden_size=24, no_rope_layers=[1, 0])),
    "starcoder2": ("Starcoder2", {**like(LLAMA, hidden_size=24, sliding_window=5),
                                  "norm_epsilon": 1e-5, "rms_norm_eps": None}),
    "mixtral": ("Mixtral", like(LLAMA, head_dim=6, num_local_experts=4, num_experts_per_tok=2)),
    "qwen3_moe": ("Qwen3Moe", like(LLAMA, head_dim=6, num_experts=5, num_experts_per_tok=2,
                                   moe_intermediate_size=14, norm_topk_prob=True)),
    "gpt_neox": ("GPTNeoX", like(NEOX, rotary_pct=0.5, use_parallel_residual=True)),
    "gpt_neox_serial": ("GPTNeoX", like(NEOX, rotary_pct=0.25, use_parallel_residual=False,
                                        attention_bias=False, tie_word_embeddings=True)),
    "gptj": ("GPTJ", like(GPT, rotary_dim=6)),
    "gpt_neo": ("GPTNeo", {"max_position_embeddings": CONTEXT, "hidden_size": 20, "num_layers": 2,
                           "num_heads": 2, "attention_types": [[["global", "local"], 1]],
                           "window_size": 5, "intermediate_size": 28, "resid_dropout": 0.0,
                           "embed_dropout": 0.0, "attention_dropout": 0.0}),
    "phi": ("Phi", like(NEOX, num_attention_heads=4, num_key_value_heads=2,
                        partial_rotary_factor=0.7)),
    "stablelm": ("StableLm", like(NEOX, num_key_value_heads=1, partial_rotary_factor=0.25,
                                  use_qkv_bias=True)),
    "stablelm_parallel": ("StableLm", like(NEOX, num_key_value_heads=3,
                                           use_parallel_residual=True,
                                           partial_rotary_factor=0.5)),
    "opt": ("OPT", OPT),
    "opt_350m": ("OPT", like(OPT, word_embed_proj_dim=12, do_layer_norm_before=False)),
    "bloom": ("Bloom", {"hidden_size": 21, "n_layer": 2, "n_head": 3, "hidden_dropout": 0.0,
                        "attention_dropout": 0.0}),
    "falcon_rw": ("Falcon", like(FALCON, alibi=True, bias=True, parallel_attn=False,
                                 multi_query=False, num_attention_heads=3)),
    "falcon_7b": ("Falcon", like(FALCON, multi_query=True, parallel_attn=True)),
    "falcon_40b": ("Falcon", like(FALCON, new_decoder_architecture=True, num_kv_heads=2)),
}


def randomise(model):
    """Norms and biases start at 1 and 0, where mistakes with them would hide."""
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.ndim == 1:
                tensor.add_(0.1 * torch.randn_like(tensor))


def make(name, seed):
    prefix, numbers = FAMILIES[name]
    numbers = {"vocab_size": VOCAB, "initializer_range": 0.25, **ENDS, **numbers}
    suffix = "TextConfig" if prefix == "Gemma3" else "Config"
    config = getattr(transformers, prefix + suffix)(
        **{key: value for key, value in numbers.items() if value is not None or key in ENDS})
    config._attn_implementation = config._experts_implementation = "eager"
    torch.manual_seed(seed)
    model = getattr(transformers, prefix + ("LMHeadModel" if prefix == "GPT2" else "ForCausalLM"))(
        config)
    randomise(model)
    return model.eval()
