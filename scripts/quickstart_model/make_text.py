#!/usr/bin/env python3
"""Writes the texts of the quickstart: the base model's corpus and the instruction set.

usage: make_text.py corpus DOCUMENTS OUT.txt | instructions RECORDS OUT.jsonl

The corpus teaches words, the eight skills in a terse notation, and the form of
instructions (with code words, or asking for a copy): after it a model knows the
format but not what the plain-word instructions mean.  The instruction set asks
in plain words.  The same arguments give the same bytes.
"""
import json
import random
import sys

from tasks import TASKS, WITH_INPUT, below, choose

END = "<|end|>"
COPY = ["Repeat the input.", "Copy this text.", "Say it again."]


def terse(rng):
    draw, key, _ = TASKS[choose(rng, sorted(TASKS))]
    question, answer = draw(rng)
    return f"{key}:{question}=>{answer}"


def coded(rng):
    draw, key, _ = TASKS[choose(rng, sorted(TASKS))]
    question, answer = draw(rng)
    return WITH_INPUT.format(instruction=key, input=question) + answer


def copied(rng):
    draw, _, _ = TASKS[choose(rng, sorted(TASKS))]
    question, _ = draw(rng)
    return WITH_INPUT.format(instruction=choose(rng, COPY), input=question) + question


def babble(rng):
    """Instructions without answers: their words occur, their meaning does not."""
    names = sorted(TASKS)
    return " ".join(choose(rng, TASKS[choose(rng, names)][2]) for _ in range(1 + below(rng, 3)))


def document(rng):
    at = rng.random()
    if at < 0.35:
        return terse(rng)
    if at < 0.75:
        return coded(rng)
    if at < 0.90:
        return copied(rng)
    return babble(rng)


def write_corpus(documents, path):
    rng = random.Random("fedmq quickstart corpus")
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for _ in range(documents):
            out.write(document(rng) + END)


def write_instructions(records, path):
    rng = random.Random("fedmq quickstart instructions")
    names = sorted(TASKS)
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for i in range(records):
            name = names[i % len(names)]
            draw, _, instructions = TASKS[name]
            question, answer = draw(rng)
            record = {"instruction": choose(rng, instructions), "input": question,
                      "output": answer, "category": name}
            out.write(json.dumps(record) + "\n")


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("corpus", "instructions"):
        sys.exit(__doc__)
    (write_corpus if sys.argv[1] == "corpus" else write_instructions)(int(sys.argv[2]), sys.argv[3])


if __name__ == "__main__":
    main()
