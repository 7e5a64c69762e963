#!/usr/bin/env python3
"""Writes tests/llm/train/goldens/virtual: prompt tuning, p-tuning and prefix
tuning of tiny models as PEFT, transformers and PyTorch compute them.

For each base model (two of make_lora_goldens.py's) and each kind: the adapter
directory that PEFT saves, and golden.safetensors: the encoder's tensors, a
ragged batch, its summed loss, logits and every gradient, the greedy
continuation of a prompt, and the mean losses of fifty steps of AdamW.  Step i
takes the whole batch when i is even, the first and the third sequence when it
is odd.  Everything is computed in float64 from float32 values.  Needs torch,
transformers, peft, safetensors; run it from anywhere.  Its argument is the
output directory (default: the repository's).
"""

import pathlib
import sys

import torch
from peft import (PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, PeftModel,
                  get_peft_model)
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from make_lora_goldens import IGNORED, batch

LENGTHS = [9, 1, 6]
STEPS = 50
NEW = 6
ROOT = pathlib.Path(__file__).resolve().parents[2]

KINDS = {
    "prompt": lambda: PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
    "p-tuning-mlp": lambda: PromptEncoderConfig(
        num_virtual_tokens=3, encoder_hidden_size=7, encoder_dropout=0.1, task_type="CAUSAL_LM"),
    "p-tuning-lstm": lambda: PromptEncoderConfig(
        num_virtual_tokens=5, encoder_reparameterization_type="LSTM", encoder_hidden_size=6,
        encoder_num_layers=3, task_type="CAUSAL_LM"),
    "prefix": lambda: PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
    "prefix-projection": lambda: PrefixTuningConfig(
        num_virtual_tokens=4, prefix_projection=True, encoder_hidden_size=9, task_type="CAUSAL_LM"),
}


def logits_of(model, ids):
    """Logits of the real tokens: some kinds give those of virtual ones, too."""
    return model(input_ids=ids[None], attention_mask=torch.ones(1, len(ids))).logits[0][-len(ids):]


def loss_of(model, sequences, labels):
    """Summed loss and supervised positions; sequences one by one."""
    total, count = 0.0, 0
    for ids, label in zip(sequences, labels):
        supervised = int((label[1:] != IGNORED).sum())
        if supervised:
            total = total + torch.nn.functional.cross_entropy(
                logits_of(model, ids)[:-1], label[1:], ignore_index=IGNORED, reduction="sum")
            count += supervised
    return total, count


def greedy(model, ids):
    """New tokens, each from a pass over all before it."""
    for _ in range(NEW):
        ids = torch.cat([ids, logits_of(model, ids)[-1:].argmax(-1)])
    return ids[-NEW:]


def named(model):
    return {name.replace(".default", ""): tensor
            for name, tensor in model.named_parameters() if tensor.requires_grad}


def fifty_steps(model, tensors, sequences, labels, lr):
    optimizer = torch.optim.AdamW(tensors, lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    losses = []
    for step in range(STEPS):
        chosen = [0, 2] if step % 2 else range(len(sequences))
        loss, count = loss_of(model, [sequences[i] for i in chosen], [labels[i] for i in chosen])
        (loss / count).backward()
        losses.append((loss / count).item())
        optimizer.step()
        optimizer.zero_grad()
    return losses


def save_golden(model, base, directory, names, lr, with_start=False):
    """PEFT's directory, and golden.safetensors: of what is trained, whose tensors names(model)
    gives under the names of the file, also the first values when with_start."""
    model.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)
    config = directory / "adapter_config.json"
    config.write_text(config.read_text().replace(str(base), base.name) + "\n")

    model = model.double().eval()
    sequences, labels = batch(model.config.vocab_size, LENGTHS)
    golden = {}
    if with_start:
        golden.update(("start." + name, tensor.detach().clone())
                      for name, tensor in names(model).items())
    golden.update(ids=torch.cat(sequences), labels=torch.cat(labels),
                  lengths=torch.tensor(LENGTHS))
    with torch.no_grad():
        golden["logits"] = torch.cat([logits_of(model, ids) for ids in sequences])
        golden["greedy"] = greedy(model, sequences[0])
    total, _ = loss_of(model, sequences, labels)
    total.backward()
    golden["loss"] = torch.tensor([total.item()])
    for name, tensor in names(model).items():
        golden["grad." + name] = tensor.grad.clone()
        tensor.grad = None
    golden["losses"] = torch.tensor(
        fifty_steps(model, names(model).values(), sequences, labels, lr))
    save_file({k: v.detach().to(torch.float32).contiguous() for k, v in golden.items()},
              directory / "golden.safetensors")

    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), directory)
    apart = (logits_of(again.double().eval(), sequences[0]) - golden["logits"][:LENGTHS[0]]).abs()
    print(f"{base.name} {directory.name}: loss {total.item():.6f}, after {STEPS} steps "
          f"{golden['losses'][-1].item():.6f}, loaded again {apart.max().item():.1e} apart")


def save_case(directory, base, make):
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), make())
    with torch.no_grad():
        for name, tensor in named(model).items():
            if not name.endswith("embedding.weight"):
                tensor.mul_(2.0)  # so that no part of the encoder hides behind another
    save_golden(model, base, directory, named, lr=0.01, with_start=True)


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/llm/train/goldens/virtual"
    for number, name in enumerate(["gpt2", "llama"]):
        for index, (kind, make) in enumerate(KINDS.items()):
            torch.manual_seed(4100 + 10 * number + index)
            save_case(out / name / kind, ROOT / "tests/llm/pass/goldens" / name, make)


if __name__ == "__main__":
    main()
