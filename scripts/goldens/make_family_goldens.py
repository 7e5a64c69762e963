#!/usr/bin/env python3
"""Writes tests/llm/pass/families: a random model of every decoder family, and
what PyTorch, transformers and peft compute with it.

usage: make_family_goldens.py [--out DIRECTORY] [FAMILY...]

Without names, those are made again that are there.  A new family is a line in
families.py, and its name here.  A directory holds the model in HF's layout (in
BF16, which halves it), a LoRA adapter of PEFT on PEFT's default targets, and
golden.safetensors: ids and labels of a ragged batch, logits, the summed loss,
the gradient of every tensor (full) and of every LoRA tensor (lora), and the
ids that greedy decoding appends to a prompt.  All is computed in float64 from
the weights on the disk.  Needs torch, transformers, peft, safetensors.
"""

import argparse
import pathlib

import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import save_file

import families
from make_lora_goldens import batch, lora_golden, run, save_adapter, strip_paths

LENGTHS = [11, 1, 7, 18]
PROMPTS = [3, 9]
NEW_TOKENS = 20
# A choice that two computations may take differently proves nothing.
MARGIN = 2e-3
# Where PEFT names none: all linear modules.
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "qkv_proj",
       "gate_up_proj", "c_fc", "c_proj"]


def greedy(model, prompt):
    """Ids behind the prompt, and by how much the closest choice was won."""
    ids, margin = prompt.clone(), float("inf")
    with torch.no_grad():
        for _ in range(NEW_TOKENS):
            best = model(input_ids=ids[None], use_cache=False).logits[0, -1].topk(2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            ids = torch.cat([ids, best.indices[:1]])
    return ids[len(prompt):], margin


def clear_greedy(model, length):
    for _ in range(50):
        prompt = torch.randint(0, families.VOCAB, (length,))
        ids, margin = greedy(model, prompt)
        if margin > MARGIN:
            return prompt, ids
    raise SystemExit("no prompt of 50 is decided clearly")


def load(kind, directory):
    model = kind.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager",
                                  experts_implementation="eager")
    return model.eval()


def adapted(model):
    try:
        return get_peft_model(model, LoraConfig(r=3, lora_alpha=5, task_type="CAUSAL_LM"))
    except ValueError:
        there = {name.split(".")[-1] for name, _ in model.named_modules()} & set(ALL)
        return get_peft_model(model, LoraConfig(r=3, lora_alpha=5, task_type="CAUSAL_LM",
                                                target_modules=sorted(there)))


def names_on_disk(model, directory):
    """transformers calls one tensor something else in memory: the head of GPT-NeoX."""
    with safe_open(directory / "model.safetensors", "pt") as file:
        there = set(file.keys())
    here = {name for name, _ in model.named_parameters()}
    return dict(zip(sorted(here - there), sorted(there - here), strict=True))


def golden_of(kind, directory, sequences, labels):
    model = load(kind, directory).double()
    golden = {"ids": torch.cat(sequences), "labels": torch.cat(labels),
              "lengths": torch.tensor(LENGTHS)}
    total, golden["full.logits"] = run(model, sequences, labels)
    golden["full.loss"] = torch.tensor([total])
    renamed = names_on_disk(model, directory)
    for name, tensor in model.named_parameters():
        golden["full.grad." + renamed.get(name, name)] = (
            tensor.grad if tensor.grad is not None else torch.zeros_like(tensor))
    for number, length in enumerate(PROMPTS):
        prompt, ids = clear_greedy(model, length)
        golden[f"prompt.{number}"], golden[f"greedy.{number}"] = prompt, ids

    golden |= lora_golden(load(kind, directory), directory, sequences, labels)
    return {key: value.to(torch.float32).contiguous() for key, value in golden.items()}


def save_case(directory, name):
    directory.mkdir(parents=True, exist_ok=True)
    model = families.make(name, seed=sum(name.encode()))
    kind = type(model)
    model.to(torch.bfloat16).save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    sequences, labels = batch(families.VOCAB, LENGTHS)
    save_adapter(adapted(load(kind, directory)), directory)
    golden = golden_of(kind, directory, sequences, labels)
    save_file(golden, directory / "golden.safetensors")
    strip_paths(directory)
    print(f"{name}: full loss {golden['full.loss'].item():.6f}, "
          f"lora loss {golden['lora.loss'].item():.6f}")


def main():
    here = pathlib.Path(__file__).resolve().parents[2] / "tests/llm/pass/families"
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=here)
    parser.add_argument("family", nargs="*", metavar="FAMILY")
    options = parser.parse_args()
    for name in options.family or sorted(path.name for path in options.out.iterdir()):
        save_case(options.out / name, name)


if __name__ == "__main__":
    main()
