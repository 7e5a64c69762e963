#!/usr/bin/env python3
"""Writes tests/llm/train/goldens/adapters: LoRA's variants, DoRA and IA3 on tiny
models as PEFT, transformers and PyTorch compute them.

For each case: the adapter directory that PEFT saves, and golden.safetensors: a
ragged batch, its summed loss, logits and every gradient under the names of
PEFT's file, the greedy continuation of a prompt, and the mean losses of fifty
steps of AdamW, as make_virtual_goldens.py has them.  Everything is computed in
float64 from float32 values.  Needs torch, transformers, peft, safetensors; run
it from anywhere.  Its argument is the output directory (default: the
repository's).
"""

import pathlib
import sys

import make_virtual_goldens as virtual
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


def lora(**arguments):
    return LoraConfig(task_type="CAUSAL_LM", **{"r": 3, "lora_alpha": 5, **arguments})


CASES = {
    "gpt2-rslora": ("gpt2", lambda: lora(use_rslora=True)),
    "gpt2-bias-all": ("gpt2", lambda: lora(bias="all")),
    "gpt2-bias-lora": ("gpt2", lambda: lora(bias="lora_only", target_modules=["c_fc"])),
    "gpt2-dora": ("gpt2", lambda: lora(use_dora=True, target_modules=["c_attn", "mlp.c_proj"])),
    "gpt2-ia3": ("gpt2", lambda: IA3Config(task_type="CAUSAL_LM")),
    "gpt2-saved": ("gpt2", lambda: lora(modules_to_save=["wte", "ln_f", "ln_1"])),
    "gpt2-head": ("gpt2", lambda: lora(target_modules=["lm_head"])),
    "gpt2-lookup": ("gpt2", lambda: lora(target_modules=["c_attn", "wte"])),
    "llama-patterns": ("llama", lambda: lora(
        target_modules="all-linear", exclude_modules=["o_proj"],
        rank_pattern={"mlp.up_proj": 2, r".*\.0\.self_attn\.[qk]_proj": 4},
        alpha_pattern={"q_proj": 7})),
    "llama-expression": ("llama", lambda: lora(target_modules=r".*\.1\..*(q|down)_proj")),
    "llama-embedding": ("llama", lambda: lora(
        target_modules=["embed_tokens", "lm_head", "v_proj"])),
    "llama-dora": ("llama", lambda: lora(
        use_dora=True, target_modules="all-linear", bias="lora_only")),
    "llama-ia3": ("llama", lambda: IA3Config(task_type="CAUSAL_LM")),
    "llama-ia3-saved": ("llama", lambda: IA3Config(
        task_type="CAUSAL_LM", target_modules=["q_proj", "up_proj", "down_proj"],
        feedforward_modules=["up_proj"], modules_to_save=["norm", "lm_head"])),
    "llama-saved": ("llama", lambda: lora(
        modules_to_save=["embed_tokens", "lm_head", "mlp"], target_modules=["q_proj"])),
    "tied-saved": ("llama_tied", lambda: lora(modules_to_save=["embed_tokens"])),
    "tied-head": ("llama_tied", lambda: lora(modules_to_save=["lm_head"], init_lora_weights=False)),
}


def in_file(name):
    """What a parameter is called in PEFT's file."""
    for part in (".default", ".modules_to_save"):
        name = name.replace(part, "")
    return name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def trained(model):
    return {in_file(name): tensor for name, tensor in model.named_parameters()
            if tensor.requires_grad}


def save_case(directory, base, make):
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), make())
    with torch.no_grad():
        for tensor in trained(model).values():
            tensor.add_(torch.randn_like(tensor) * (0.2 if tensor.ndim > 1 else 0.05))
    virtual.save_golden(model, base, directory, trained, lr=0.002)


def main():
    out = virtual.ROOT / "tests/llm/train/goldens/adapters"
    if len(sys.argv) > 1:
        out = pathlib.Path(sys.argv[1])
    for number, (name, (base, make)) in enumerate(CASES.items()):
        torch.manual_seed(5200 + number)
        save_case(out / name, virtual.ROOT / "tests/llm/pass/goldens" / base, make)


if __name__ == "__main__":
    main()
