#!/usr/bin/env python3
"""Writes tests/llm/offsite/goldens/drop_layer.json: the layers that FS-LLM's
drop_layer keeps of m for a drop ratio d, over a grid.  Needs nothing; run it
from the source root.

The formula is written down here after FS-LLM's documentation: Python's round()
(ties to even), a stride in double precision, int().  Where that would keep no
layer, or divide by zero for a single one, fedmq keeps layer 0."""
import json
import sys

COUNTS = list(range(1, 41)) + [48, 56, 64, 80, 96, 126]
RATIOS = [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 1 / 3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 2 / 3,
          0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99]


def kept(count, ratio):
    n = round(count * (1 - ratio))
    if n <= 1:
        return [0]
    stride = (count - 1) / (n - 1)
    return [int(i * stride) for i in range(n)]


def main():
    cases = [{"m": m, "d": d, "kept": kept(m, d)} for m in COUNTS for d in RATIOS]
    with open("tests/llm/offsite/goldens/drop_layer.json", "w", encoding="utf-8") as file:
        file.write('{"cases": [\n')
        file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
        file.write("\n]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
