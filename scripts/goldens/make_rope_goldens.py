#!/usr/bin/env python3
"""Writes tests/llm/hub/goldens/rope.json: what transformers' ROPE_INIT_FUNCTIONS make of
configurations of every scaling - inverse frequencies, and what cosines and sines are multiplied by.

usage: make_rope_goldens.py > tests/llm/hub/goldens/rope.json
"""
import json

from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

BASE = dict(model_type="llama", hidden_size=64, num_attention_heads=2, num_key_value_heads=1, head_dim=24,
            intermediate_size=40, num_hidden_layers=1, vocab_size=50, max_position_embeddings=256,
            rms_norm_eps=1e-6, hidden_act="silu", bos_token_id=1, eos_token_id=2, rope_theta=10000.0,
            tie_word_embeddings=False)
PAIRS = BASE["head_dim"] // 2
SHORT = [1 + 0.03 * i for i in range(PAIRS)]
LONG = [1.5 + 0.7 * i for i in range(PAIRS)]
SCALINGS = [
    {"rope_type": "linear", "factor": 2.5},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
     "original_max_position_embeddings": 64},
    {"rope_type": "dynamic", "factor": 4.0},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "truncate": False,
     "beta_fast": 16, "beta_slow": 2},
    {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32, "mscale": 0.7,
     "mscale_all_dim": 1.1},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 128, "attention_factor": 0.9},
    {"rope_type": "longrope", "original_max_position_embeddings": 64, "short_factor": SHORT,
     "long_factor": LONG},
    {"rope_type": "longrope", "factor": 3.0, "original_max_position_embeddings": 64, "short_factor": SHORT,
     "long_factor": LONG, "attention_factor": 1.25},
]


def main():
    goldens = []
    for scaling in SCALINGS:
        for theta in (10000.0, 500000.0):
            raw = dict(BASE, rope_theta=theta, rope_scaling=scaling)
            config = LlamaConfig(**{k: v for k, v in raw.items() if k not in ("rope_theta", "rope_scaling")},
                                 rope_parameters=dict(scaling, rope_theta=theta))
            inverse, attention = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
            goldens.append({"config": raw, "attention": float(attention), "inv_freq": inverse.double().tolist()})
    print(json.dumps(goldens))


if __name__ == "__main__":
    main()
