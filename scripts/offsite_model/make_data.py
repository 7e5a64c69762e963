#!/usr/bin/env python3
"""Writes what configs/offsite needs beside the quickstart's instruction set.

usage: make_data.py DIRECTORY

  public.jsonl           what the server aligns the emulator with: text like the base model's
                         corpus, code words and copies: nothing of any client, and
                         no task that plain words ask for
  forms.jsonl            tasks asked by code words, answered with an ending that tells the task:
                         fine-tuning changes the form of the answers, not what is understood
  forms_heldout.jsonl    the same for questions that forms.jsonl does not ask

The same arguments give the same bytes.
"""
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "quickstart_model"))
from make_text import coded, copied, held_out, plain, write  # noqa: E402
from tasks import TASKS  # noqa: E402

PUBLIC, FORMS = 2500, 2400
ENDINGS = {"add": " in all", "count": " items", "kind": " of course", "largest": " at most",
           "last": " at the end", "opposite": " instead", "reverse": " backwards",
           "sort": " in order"}


def formed(item):
    """The same question by its code word, answered in the new form."""
    name = item["category"]
    return item | {"instruction": TASKS[name][1], "output": item["output"] + ENDINGS[name]}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    rng = random.Random("fedmq offsite public")
    write((coded(rng) if rng.random() < 0.8 else copied(rng) for _ in range(PUBLIC)),
          out / "public.jsonl")
    rng = random.Random("fedmq offsite forms")
    test = list(held_out(rng))
    asked = {(item["category"], item["input"]) for item in test}
    names = sorted(TASKS)
    write((formed(plain(rng, name, lambda question: (name, question) not in asked))
           for name in (names[i % len(names)] for i in range(FORMS))), out / "forms.jsonl")
    write(map(formed, test), out / "forms_heldout.jsonl")


if __name__ == "__main__":
    main()
