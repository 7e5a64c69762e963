#!/usr/bin/env python3
"""Writes tests/actors/goldens/fedopt.txt: what server optimizers make of six rounds.

    scripts/goldens/make_strategy_goldens.py

The formulas are written down once more here, in NumPy and in double: torch's SGD, Adam and Adagrad
(checked against torch itself where it is installed), and algorithm 2 of Reddi et al. 2021.  A case is
a line with its name and its pairs KEY=VALUE of fedopt.*, the state that it begins with, then for every
round the mean of the updates and the state that follows.
"""

import pathlib

import numpy as np

ROUNDS, SIZE = 6, 9
OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/actors/goldens/fedopt.txt"

CASES = [
    ("sgd", {"type": "SGD", "lr": 1.0}),
    ("sgd-momentum", {"type": "sgd", "lr": 0.5, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    ("sgd-nesterov", {"type": "SGD", "lr": 0.3, "momentum": 0.8, "nesterov": True}),
    ("adam", {"type": "Adam", "lr": 0.1}),
    ("adam-betas", {"type": "adam", "lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("adagrad", {"type": "Adagrad", "lr": 0.1, "lr_decay": 0.2, "initial_accumulator_value": 0.3}),
    ("fedadam", {"type": "FedAdam", "lr": 0.1}),
    ("fedyogi", {"type": "FedYogi", "lr": 0.1, "betas": (0.7, 0.6), "eps": 0.01}),
    ("yogi", {"type": "yogi", "lr": 0.02}),
    ("fedadagrad", {"type": "FedAdagrad", "lr": 0.1, "eps": 0.05}),
    ("annealed", {"type": "SGD", "lr": 1.0, "annealing": True, "annealing_step_size": 2, "annealing_gamma": 0.5}),
]


def sgd(x, means, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False, rates=None):
    buffer = None
    for t, mean in enumerate(means):
        g = x - mean + weight_decay * x
        if momentum:
            buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
            g = g + momentum * buffer if nesterov else buffer
        x = x - (rates[t] if rates else lr) * g
        yield x


def adam(x, means, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
    m = v = 0
    for t, mean in enumerate(means, 1):
        g = x - mean + weight_decay * x
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        x = x - lr / (1 - betas[0] ** t) * m / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        yield x


def adagrad(x, means, lr, lr_decay=0, initial_accumulator_value=0, eps=1e-10):
    total = initial_accumulator_value
    for t, mean in enumerate(means):
        g = x - mean
        total = total + g * g
        x = x - lr / (1 + t * lr_decay) * g / (np.sqrt(total) + eps)
        yield x


def paper(x, means, second, lr, betas=(0.9, 0.99), eps=1e-3):
    """Algorithm 2, with delta = mean - x, v_{-1} = tau^2 and m_{-1} = 0."""
    m, v = 0, np.full_like(x, eps * eps)
    for mean in means:
        delta = mean - x
        m = betas[0] * m + (1 - betas[0]) * delta
        v = second(v, delta * delta, betas[1])
        x = x + lr * m / (np.sqrt(v) + eps)
        yield x


SECOND = {
    "fedadam": lambda v, s, beta: beta * v + (1 - beta) * s,
    "fedyogi": lambda v, s, beta: v - (1 - beta) * s * np.sign(v - s),
    "fedadagrad": lambda v, s, beta: v + s,
}


def run(options, x, means):
    kind = options["type"].lower()
    rest = {k: v for k, v in options.items() if k != "type" and not k.startswith("annealing")}
    if options.get("annealing"):
        rest["rates"] = [options["lr"] * options["annealing_gamma"] ** (t // options["annealing_step_size"])
                         for t in range(ROUNDS)]
    if kind in ("sgd", "adam", "adagrad"):
        return list({"sgd": sgd, "adam": adam, "adagrad": adagrad}[kind](x, means, **rest))
    return list(paper(x, means, SECOND["fedyogi" if kind == "yogi" else kind], **rest))


def check_torch(options, x, means, states):
    try:
        import torch
    except ImportError:
        return
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}
    kind = options["type"].lower()
    if kind not in kinds:
        return
    w = torch.tensor(x, requires_grad=True)
    rest = {k: v for k, v in options.items() if k != "type" and not k.startswith("annealing")}
    optimizer = kinds[kind]([w], **rest)
    schedule = None
    if options.get("annealing"):
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, options["annealing_step_size"], options["annealing_gamma"])
    for mean, state in zip(means, states):
        w.grad = (w.detach() - torch.tensor(mean)).clone()
        optimizer.step()
        if schedule:
            schedule.step()
        assert np.allclose(w.detach().numpy(), state, rtol=1e-12, atol=1e-14), options


def write(out, values):
    out.write(" ".join(repr(float(v)) for v in values) + "\n")


def main():
    rng = np.random.default_rng(11)
    with OUT.open("w") as out:
        for name, options in CASES:
            x = rng.normal(size=SIZE).astype(np.float32).astype(np.float64)
            means = [(x + rng.normal(scale=0.3, size=SIZE)).astype(np.float32).astype(np.float64)
                     for _ in range(ROUNDS)]
            means[2][4] = x[4]
            states = run(options, x, means)
            check_torch(options, x, means, states)
            pairs = " ".join(f"{'fedopt.' if k.startswith('annealing') else 'fedopt.optimizer.'}{k}={str(v).replace(' ', '')}"
                             for k, v in options.items())
            out.write(f"case {name} {pairs}\n")
            write(out, x)
            for mean, state in zip(means, states):
                write(out, mean)
                write(out, state)


if __name__ == "__main__":
    main()
