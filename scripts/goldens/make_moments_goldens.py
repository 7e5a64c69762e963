#!/usr/bin/env python3
"""Writes tests/llm/train/goldens/moments.json: what 50 steps of further optimizers make
of three tensors: torch's Adagrad, RMSprop, Adafactor and Adam's amsgrad, transformers'
Adafactor, and AdamW with moments of 8 bits as docs/training.md has it, written down here
once more.  Needs torch and transformers; run it from the source root.

Starts and gradients come from a generator of integers that test_moments.c has, too."""
import json
import sys

import torch
from transformers.optimization import Adafactor as OtherAdafactor

STEPS = 50
SHOWN = (1, 10, 50)
EVERY = 5  # of the elements only, which keeps the file small
SHAPES = [[17, 23], [9], [40, 20]]
SCALES = [2.0 ** -3, 1.0, 2.0 ** -9]
BLOCK = 256


class Numbers:
    """Multiples of 1/1024 from -2 to 2."""
    def __init__(self, seed):
        self.state = seed

    def tensor(self, shape, scale):
        out = []
        for _ in range(torch.Size(shape).numel()):
            self.state = (self.state * 1664525 + 1013904223) % 2 ** 32
            out.append(((self.state >> 16) % 4097 - 2048) / 1024 * scale)
        return torch.tensor(out).reshape(shape)


def dynamic_map(signed):
    values = [0.0, 1.0]
    for decade in range(7):
        count = 2 ** decade * (1 if signed else 2)
        for j in range(count):
            value = 10.0 ** (decade - 6) * (0.1 + 0.9 * (j + 0.5) / count)
            values += [value, -value] if signed else [value]
    return torch.tensor(sorted(values), dtype=torch.float32)


class AdamW8bit:
    """Element by element in fp32; only what is kept is rounded."""
    def __init__(self, params, lr, betas, eps, weight_decay, min_8bit_size):
        self.params, self.lr, self.betas, self.eps = params, lr, betas, eps
        self.decay, self.least, self.steps = weight_decay, min_8bit_size, 0
        self.state = [[torch.zeros_like(p).flatten() for _ in range(2)] for p in params]
        self.maps = [dynamic_map(True), dynamic_map(False)]

    def rounded(self, x, values):
        out = torch.empty_like(x)
        middles = (values[:-1] + values[1:]) * 0.5
        for at in range(0, x.numel(), BLOCK):
            part = x[at:at + BLOCK]
            scale = part.abs().max()
            share = part / scale if scale > 0 else torch.zeros_like(part)
            out[at:at + BLOCK] = values[torch.bucketize(share, middles)] * scale
        return out

    def step(self):
        self.steps += 1
        beta1, beta2 = self.betas
        size = self.lr / (1 - beta1 ** self.steps)
        root = (1 - beta2 ** self.steps) ** 0.5
        f32 = lambda number: torch.tensor(number, dtype=torch.float32)
        for p, state in zip(self.params, self.state):
            g = p.grad.flatten()
            m = f32(beta1) * state[0] + f32(1 - beta1) * g
            v = f32(beta2) * state[1] + f32(1 - beta2) * (g * g)
            update = f32(size) * (m / (v.sqrt() / f32(root) + f32(self.eps)))
            p.data = (p.data.flatten() * f32(1 - self.lr * self.decay) - update).reshape(p.shape)
            if p.numel() >= self.least:
                m, v = self.rounded(m, self.maps[0]), self.rounded(v, self.maps[1])
            state[0], state[1] = m, v


CASES = [
    ("Adagrad", {"lr": 0.05}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.02, "weight_decay": 0.1,
                 "initial_accumulator_value": 0.3, "eps": 1e-6}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.8, "weight_decay": 0.05}),
    ("RMSprop", {"lr": 0.005, "centered": True, "eps": 1e-4}),
    ("RMSprop", {"lr": 0.005, "alpha": 0.95, "momentum": 0.5, "centered": True, "eps": 1e-4,
                 "maximize": True}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "betas": [0.8, 0.9], "maximize": True}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "maximize": True}),
    ("Adafactor", {"lr": 0.02}),
    ("Adafactor", {"lr": 0.3, "beta2_decay": -0.5, "d": 2.0, "weight_decay": 0.1,
                   "eps": [1e-4, 1e-2]}),
    ("Adafactor", {"lr": 0.01, "maximize": True}),
    ("transformers.Adafactor", {}),
    ("transformers.Adafactor", {"warmup_init": True, "beta1": 0.9, "weight_decay": 0.01}),
    ("transformers.Adafactor", {"lr": 0.01, "relative_step": False, "scale_parameter": False,
                                "decay_rate": -0.6, "clip_threshold": 0.5}),
    ("AdamW8bit", {"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01,
                   "min_8bit_size": 100}),
]


def make(name, params, arguments):
    if name == "AdamW8bit":
        return AdamW8bit(params, **arguments)
    if name == "transformers.Adafactor":
        return OtherAdafactor(params, **arguments)
    more = {} if name == "Adafactor" else {"foreach": False}
    return getattr(torch.optim, name)(params, **more, **arguments)


def trajectory(name, arguments):
    numbers = Numbers(7)
    params = [torch.nn.Parameter(numbers.tensor(shape, 1.0)) for shape in SHAPES]
    optimizer = make(name, params, arguments)
    shown = []
    for step in range(1, STEPS + 1):
        for p, shape, scale in zip(params, SHAPES, SCALES):
            p.grad = numbers.tensor(shape, scale)
        optimizer.step()
        if step in SHOWN:
            flat = torch.cat([p.detach().flatten() for p in params])
            shown.append([float("%.9g" % x) for x in flat.tolist()[::EVERY]])
    return shown


def main():
    golden = {"torch": torch.__version__.split("+")[0], "shown": SHOWN,
              "cases": [{"type": name, **arguments, "params": trajectory(name, arguments)}
                        for name, arguments in CASES]}
    with open("tests/llm/train/goldens/moments.json", "w", encoding="utf-8") as file:
        json.dump(golden, file, separators=(",", ":"))
        file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
