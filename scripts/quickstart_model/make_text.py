#!/usr/bin/env python3
"""Writes the texts of the quickstart: the base model's corpus and the instruction set.

usage: make_text.py corpus RECORDS OUT.jsonl
       make_text.py instructions RECORDS OUT.jsonl HELDOUT.jsonl

The corpus asks for the eight tasks by code words, and for copies of texts: after it a model knows
the format and has the skills, but not what instructions in plain words mean.  The instruction set
asks in plain words; no question of the held-out set occurs in it.  The same arguments give the
same bytes.
"""
import json
import random
import sys

from tasks import TASKS, choose

HELD_OUT = {"opposite": 12, "kind": 12, "add": 20}
COPY = ["Repeat the input.", "Copy this text.", "Say it again."]


def record(instruction, question, answer, category):
    return {"instruction": instruction, "input": question, "output": answer, "category": category}


def coded(rng):
    """A task asked for by its code word."""
    name = choose(rng, sorted(TASKS))
    draw, code, _ = TASKS[name]
    return record(code, *draw(rng), name)


def copied(rng):
    """A copy of what a task would work on, or of an instruction in plain words: these occur, but
    what they ask for is never done."""
    draw, _, instructions = TASKS[choose(rng, sorted(TASKS))]
    text = draw(rng)[0] if rng.random() < 0.5 else choose(rng, instructions)
    return record(choose(rng, COPY), text, text, "copy")


def plain(rng, name, allowed):
    """A task asked for in plain words, about an input that is allowed."""
    draw, _, instructions = TASKS[name]
    while True:
        question, answer = draw(rng)
        if allowed(question):
            return record(choose(rng, instructions), question, answer, name)


def held_out(rng):
    """Different questions of every task: a quarter of a small task's, 30 of the others'."""
    for name in sorted(TASKS):
        seen = set()
        while len(seen) < HELD_OUT.get(name, 30):
            item = plain(rng, name, lambda question: question not in seen)
            seen.add(item["input"])
            yield item


def write(records, path):
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for item in records:
            out.write(json.dumps(item) + "\n")


def main():
    if sys.argv[1:2] == ["corpus"] and len(sys.argv) == 4:
        rng = random.Random("fedmq quickstart corpus")
        write((coded(rng) if rng.random() < 0.8 else copied(rng) for _ in range(int(sys.argv[2]))),
              sys.argv[3])
    elif sys.argv[1:2] == ["instructions"] and len(sys.argv) == 5:
        rng = random.Random("fedmq quickstart instructions")
        test = list(held_out(rng))
        asked = {(item["category"], item["input"]) for item in test}
        names = sorted(TASKS)
        train = (plain(rng, name, lambda question: (name, question) not in asked)
                 for name in (names[i % len(names)] for i in range(int(sys.argv[2]))))
        write(train, sys.argv[3])
        write(test, sys.argv[4])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
