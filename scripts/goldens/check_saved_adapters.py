#!/usr/bin/env python3
"""Checks that transformers and PEFT load what llm_adapter_save() wrote.

    FEDMQ_SAVE_ADAPTERS=/tmp/adapters build/dev/tests/llm/model/test_golden_lora
    scripts/goldens/check_saved_adapters.py /tmp/adapters

Loads every adapter with PeftModel.from_pretrained on its golden base model, and
every fully fine-tuned model (full-*) by itself, and compares the logits with
those of the files that PEFT and transformers wrote themselves.
"""

import pathlib
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4


def worst_difference(model, golden, kind):
    logits_name, worst, start = kind + ".logits", 0.0, 0
    for length in golden["lengths"].long().tolist():
        ids = golden["ids"][start:start + length].long()
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0]
        worst = max(worst, (logits - golden[logits_name][start:start + length]).abs().max().item())
        start += length
    return worst


def main():
    saved = pathlib.Path(sys.argv[1])
    goldens = pathlib.Path(__file__).resolve().parents[2] / "tests/llm/model/goldens"
    failed = False
    for case in sorted(p for p in goldens.iterdir() if p.is_dir()):
        golden = load_file(case / "golden.safetensors")
        base = AutoModelForCausalLM.from_pretrained(case)
        adapted = PeftModel.from_pretrained(base, saved / case.name).eval()
        lora = worst_difference(adapted, golden, "lora")
        full = AutoModelForCausalLM.from_pretrained(saved / ("full-" + case.name)).eval()
        full = worst_difference(full, golden, "full")
        failed = failed or not max(lora, full) <= TOLERANCE
        print(f"{case.name}: largest logit difference {lora:.3g} (LoRA), {full:.3g} (full)")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
