#!/usr/bin/env python3
"""Checks that PEFT loads what llm_adapter_save() wrote.

    FEDMQ_SAVE_ADAPTERS=/tmp/adapters build/dev/tests/llm/pass/test_golden_lora
    scripts/goldens/check_saved_adapters.py /tmp/adapters

Loads every adapter with PeftModel.from_pretrained on its golden base model and
compares the logits with those that PEFT gave for the adapter it wrote itself.
"""

import pathlib
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4


def worst_difference(case, adapter):
    golden = load_file(case / "golden.safetensors")
    model = AutoModelForCausalLM.from_pretrained(case)
    model = PeftModel.from_pretrained(model, adapter).eval()
    worst, start = 0.0, 0
    for length in golden["lengths"].long().tolist():
        ids = golden["ids"][start:start + length].long()
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0]
        worst = max(worst, (logits - golden["lora.logits"][start:start + length]).abs().max().item())
        start += length
    return worst


def main():
    saved = pathlib.Path(sys.argv[1])
    goldens = pathlib.Path(__file__).resolve().parents[2] / "tests/llm/pass/goldens"
    failed = False
    for case in sorted(p for p in goldens.iterdir() if p.is_dir()):
        worst = worst_difference(case, saved / case.name)
        failed = failed or not worst <= TOLERANCE
        print(f"{case.name}: largest logit difference {worst:.3g}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
