#!/usr/bin/env python3
"""Writes tests/llm/train/goldens/optimizers.json: trajectories of a small
vector under torch's optimizers, and gradients before and after torch's
clip_grad_norm_.  Needs torch; run it from the source root."""
import json
import sys

import torch

STEPS = 12
START = [0.5, -1.25, 2.0, 0.03125, -0.75, 1e-3, -3.0]

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8}),
    ("Adam", {"lr": 0.01, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.02, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.3}),
]


def gradients():
    generator = torch.Generator().manual_seed(7)
    return torch.randn(STEPS, len(START), generator=generator) * torch.tensor(
        [1.0, 0.1, 10.0, 1e-4, 3.0, 1e-6, 0.5])


def trajectory(name, arguments, grads):
    weight = torch.nn.Parameter(torch.tensor(START))
    optimizer = getattr(torch.optim, name)([weight], foreach=False, **arguments)
    out = []
    for grad in grads:
        weight.grad = grad.clone()
        optimizer.step()
        out.append(weight.detach().tolist())
    return out


def clipped(grad, limit):
    weight = torch.nn.Parameter(torch.tensor(START))
    weight.grad = grad.clone()
    norm = torch.nn.utils.clip_grad_norm_([weight], limit, foreach=False)
    return {"limit": limit, "grad": grad.tolist(), "norm": norm.item(),
            "clipped": weight.grad.tolist()}


def main():
    grads = gradients()
    golden = {
        "torch": torch.__version__.split("+")[0],
        "start": torch.tensor(START).tolist(),
        "grads": grads.tolist(),
        "cases": [{"type": name, **arguments, "params": trajectory(name, arguments, grads)}
                  for name, arguments in CASES],
        "clips": [clipped(grads[0], limit) for limit in (0.1, 1.0, 10.0, 1000.0)],
    }
    with open("tests/llm/train/goldens/optimizers.json", "w", encoding="utf-8") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
