#!/usr/bin/env python3
"""Writes tests/llm/train/goldens/merged.json: FedBiOT's regulariser and its
gradient, with the merged matrices formed, by PyTorch's autograd in float64.

    value = eps * sum over modules ||s B A - s B0 A0||^2

The factors are float32 values (as fedmq holds them) of LoRA r = 2 on q_proj,
v_proj and down_proj of two layers of a LLaMA of width 8, heads 2 x 4, one
key/value head, MLP 12.  Cases: far from the start; at the start of a run,
where B0 is zero; near the start, where the merged matrices nearly cancel; and
a move that changes factors but hardly their product.  Needs torch; run it
from the source root."""
import json
import sys

import torch

RANK, ALPHA, EPS = 2, 3.0, 0.7
MODULES = [("self_attn.q_proj", 8, 8), ("self_attn.v_proj", 4, 8), ("mlp.down_proj", 8, 12)]
OUT = "tests/llm/train/goldens/merged.json"


def drawn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def far(a, b):
    return a, b, drawn(*a.shape), drawn(*b.shape)


def first(a, b):
    return a, torch.zeros_like(b), a + 0.1 * drawn(*a.shape), 0.1 * drawn(*b.shape)


def near(a, b):
    return a, b, a + 1e-5 * drawn(*a.shape), b + 1e-5 * drawn(*b.shape)


def turned(a, b):
    turn, one = 0.01 * drawn(RANK, RANK), torch.eye(RANK, dtype=torch.float64)
    return a, b, (one - turn) @ a, b @ (one + turn)


def case(make):
    """Tensors by PEFT's names: start, vector, and the gradient at the vector."""
    start, vector, grads, value = {}, {}, {}, 0
    for layer in range(2):
        for module, out, width in MODULES:
            prefix = f"base_model.model.model.layers.{layer}.{module}"
            names = (prefix + ".lora_A.weight", prefix + ".lora_B.weight")
            a0, b0, a, b = (t.float().double()
                            for t in make(drawn(RANK, width), drawn(out, RANK)))
            a.requires_grad_()
            b.requires_grad_()
            s = ALPHA / RANK
            value = value + EPS * ((s * b @ a - s * b0 @ a0) ** 2).sum()
            start.update(zip(names, (a0, b0)))
            vector.update(zip(names, (a, b)))
    value.backward()
    for name, tensor in vector.items():
        grads[name] = tensor.grad.flatten().tolist()
    return {"value": value.item(),
            "start": {name: tensor.flatten().tolist() for name, tensor in start.items()},
            "vector": {name: tensor.detach().flatten().tolist()
                       for name, tensor in vector.items()},
            "grads": grads}


def main():
    torch.manual_seed(17)
    golden = {"torch": torch.__version__.split("+")[0], "rank": RANK, "alpha": ALPHA, "eps": EPS,
              "cases": {make.__name__: case(make) for make in (far, first, near, turned)}}
    with open(OUT, "w", encoding="utf-8") as file:
        json.dump(golden, file)
        file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
