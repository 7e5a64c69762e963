#!/usr/bin/env python3
"""Checks that PEFT loads what llm_adapter_save() wrote of virtual tokens.

    FEDMQ_SAVE_ADAPTERS=/tmp/virtual build/dev/tests/llm/train/test_golden_virtual
    scripts/goldens/check_saved_virtual.py /tmp/virtual

Loads every adapter with PeftModel.from_pretrained on its golden base model and
compares the logits with those that PEFT gave for the adapter it wrote itself.
With a model and a file of records, and adapters of runs on it, it prints the
loss that PEFT has, for comparison with `fedmq eval`:

    scripts/goldens/check_saved_virtual.py --model DIR --data FILE ADAPTER...
"""

import argparse
import json
import pathlib
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

TOLERANCE = 1e-4
ROOT = pathlib.Path(__file__).resolve().parents[2]
INTRO = ("Below is an instruction that describes a task{}. Write a response that appropriately "
         "completes the request.\n\n")


def worst_difference(saved, base, kind):
    golden = load_file(ROOT / "tests/llm/train/goldens/virtual" / base / kind / "golden.safetensors")
    model = AutoModelForCausalLM.from_pretrained(ROOT / "tests/llm/pass/goldens" / base)
    model = PeftModel.from_pretrained(model, saved).eval()
    worst, start = 0.0, 0
    for length in golden["lengths"].long().tolist():
        ids = golden["ids"][start:start + length].long()
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0][-length:]
        worst = max(worst, (logits - golden["logits"][start:start + length]).abs().max().item())
        start += length
    return worst


def check_all(saved):
    failed = False
    for directory in sorted(saved.iterdir()):
        base, kind = directory.name.split("-", 1)
        worst = worst_difference(directory, base, kind)
        failed = failed or not worst <= TOLERANCE
        print(f"{directory.name}: largest logit difference {worst:.3g}")
    return failed


def prompt_of(record):
    if record.get("input"):
        return (INTRO.format(", paired with an input that provides further context")
                + f"### Instruction:\n{record['instruction']}\n\n### Input:\n{record['input']}"
                + "\n\n### Response:")
    return INTRO.format("") + f"### Instruction:\n{record['instruction']}\n\n### Response:"


def loss_of(model, tokenizer, records):
    """Mean over supervised tokens."""
    total, count = 0.0, 0
    for record in records:
        prompt = prompt_of(record)
        ids = tokenizer(prompt + record["output"])["input_ids"] + [tokenizer.eos_token_id]
        first = len(tokenizer(prompt)["input_ids"])
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0][-len(ids):]
        targets = torch.tensor(ids[first:])
        total += torch.nn.functional.cross_entropy(logits[first - 1:-1], targets,
                                                   reduction="sum").item()
        count += len(targets)
    return total / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--data")
    parser.add_argument("adapters", nargs="+", type=pathlib.Path)
    given = parser.parse_args()
    if not given.model:
        return check_all(given.adapters[0])
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    records = [json.loads(line) for line in open(given.data, encoding="utf-8")]
    for adapter in given.adapters:
        model = AutoModelForCausalLM.from_pretrained(given.model)
        model = PeftModel.from_pretrained(model, adapter).eval()
        print(f"{adapter}: loss {loss_of(model, tokenizer, records):.6f}")
    return False


if __name__ == "__main__":
    sys.exit(main())
