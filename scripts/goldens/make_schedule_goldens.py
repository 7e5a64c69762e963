#!/usr/bin/env python3
"""Writes tests/llm/train/goldens/schedules.json: learning rates as torch's
schedulers give them, step by step.  Needs torch; run it from the source root.

warmup_step and warmup_noam are FS-LLM's own functions on LambdaLR, written
down here after its documentation.  Nothing else is taken from anywhere."""
import json
import sys

import torch
from torch.optim import lr_scheduler as schedulers

STEPS = 60
MOMENTUM = 0.6


def warmup_step(optimizer, warmup_steps, total_steps):
    def factor(step):
        if step < warmup_steps:
            return step / max(1, warmup_steps)
        return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
    return schedulers.LambdaLR(optimizer, factor)


def warmup_noam(optimizer, warmup_steps):
    def factor(step):
        step = max(1, step)
        return min(step ** -0.5, step * warmup_steps ** -1.5)
    return schedulers.LambdaLR(optimizer, factor)


CASES = [
    ("warmup_step", warmup_step, {"warmup_steps": 10, "total_steps": 50}),
    ("warmup_step", warmup_step, {"warmup_steps": 0, "total_steps": 20}),
    ("warmup_step", warmup_step, {"warmup_steps": 30, "total_steps": 20}),
    ("warmup_noam", warmup_noam, {"warmup_steps": 16}),
    ("warmup_noam", warmup_noam, {"warmup_steps": 1}),
    ("StepLR", schedulers.StepLR, {"step_size": 7, "gamma": 0.3}),
    ("StepLR", schedulers.StepLR, {"step_size": 1, "gamma": 0.9}),
    ("MultiStepLR", schedulers.MultiStepLR, {"milestones": [3, 11, 11, 40], "gamma": 0.5}),
    ("ExponentialLR", schedulers.ExponentialLR, {"gamma": 0.97}),
    ("CosineAnnealingLR", schedulers.CosineAnnealingLR, {"T_max": 25, "eta_min": 0.001}),
    ("CosineAnnealingLR", schedulers.CosineAnnealingLR, {"T_max": 60, "eta_min": 0.0}),
    ("LinearLR", schedulers.LinearLR,
     {"start_factor": 0.25, "end_factor": 1.0, "total_iters": 12}),
    ("LinearLR", schedulers.LinearLR,
     {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 45}),
    ("ConstantLR", schedulers.ConstantLR, {"factor": 0.25, "total_iters": 7}),
    ("PolynomialLR", schedulers.PolynomialLR, {"total_iters": 40, "power": 2.0}),
    ("PolynomialLR", schedulers.PolynomialLR, {"total_iters": 11, "power": 0.5}),
    ("CosineAnnealingWarmRestarts", schedulers.CosineAnnealingWarmRestarts,
     {"T_0": 9, "T_mult": 1, "eta_min": 0.002}),
    ("CosineAnnealingWarmRestarts", schedulers.CosineAnnealingWarmRestarts,
     {"T_0": 5, "T_mult": 2, "eta_min": 0.0}),
    ("OneCycleLR", schedulers.OneCycleLR, {"max_lr": 0.3, "total_steps": 60}),
    ("OneCycleLR", schedulers.OneCycleLR,
     {"max_lr": 0.3, "total_steps": 61, "pct_start": 0.25, "anneal_strategy": "linear",
      "div_factor": 10.0, "final_div_factor": 100.0, "base_momentum": 0.7, "max_momentum": 0.9}),
    ("OneCycleLR", schedulers.OneCycleLR,
     {"max_lr": 0.2, "total_steps": 75, "pct_start": 0.4, "three_phase": True}),
    ("OneCycleLR", schedulers.OneCycleLR,
     {"max_lr": 0.2, "total_steps": 60, "pct_start": 0.0, "cycle_momentum": False}),
]


def rates(make, arguments, lr):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=lr, momentum=MOMENTUM)
    scheduler = make(optimizer, **arguments)
    out = {"rates": [], "momenta": []}
    for _ in range(STEPS):
        out["rates"].append(optimizer.param_groups[0]["lr"])
        out["momenta"].append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    if make is not schedulers.OneCycleLR:
        del out["momenta"]
    return out


def main():
    lr = 0.05
    cases = [{"type": name, "lr": lr, **arguments, **rates(make, arguments, lr)}
             for name, make, arguments in CASES]
    with open("tests/llm/train/goldens/schedules.json", "w", encoding="utf-8") as file:
        json.dump({"torch": torch.__version__.split("+")[0], "cases": cases}, file, indent=1)
        file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
