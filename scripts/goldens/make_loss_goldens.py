#!/usr/bin/env python3
"""Writes tests/llm/train/goldens/losses.json: cross-entropies of a few rows of
logits under torch's label_smoothing, and their gradients.  Needs torch; run it
from the source root."""
import json
import sys

import torch

ROWS, VOCAB = 5, 37
SCALE = 0.125
TARGETS = [0, 36, 11, 4, 20]


def one(logits, smoothing):
    x = logits.clone().requires_grad_(True)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="none")
    losses = loss(x, torch.tensor(TARGETS))
    (losses.sum() * SCALE).backward()
    return {"smoothing": smoothing, "losses": losses.tolist(), "gradient": x.grad.flatten().tolist()}


def main():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(ROWS, VOCAB, generator=generator) * 4
    golden = {"torch": torch.__version__.split("+")[0], "scale": SCALE, "targets": TARGETS,
              "vocab": VOCAB, "logits": logits.flatten().tolist(),
              "cases": [one(logits, smoothing) for smoothing in (0.0, 0.1, 0.5, 1.0)]}
    with open("tests/llm/train/goldens/losses.json", "w", encoding="utf-8") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
