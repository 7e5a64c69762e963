#!/usr/bin/env python3
"""Trains the quickstart's byte-level BPE tokenizer and writes it in HF's files.

usage: make_tokenizer.py CORPUS.jsonl VOCABULARY DIRECTORY

Plain byte-pair encoding (Sennrich et al. 2016) over the words that GPT-2's
pattern finds, most frequent pair first, ties by the pair itself, so that the
same corpus gives the same file.  Standard library only: GPT-2's pattern is
written for ASCII, which the corpus is.
"""
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

from tasks import WITH_INPUT

UNKNOWN, END = "<|unk|>", "<|end|>"
PATTERN = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def byte_alphabet():
    """The printable stand-in of every byte, as GPT-2 assigns them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in plain}
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + len(table) - len(plain))
    return table


def count_words(text):
    alphabet = byte_alphabet()
    counts = Counter()
    for line in text.splitlines():
        record = json.loads(line)
        counts.update(PATTERN.findall(WITH_INPUT.format(**record) + record["output"]))
    return {tuple(alphabet[b] for b in word.encode()): n for word, n in counts.items()}


def merge(word, pair):
    out, i = [], 0
    while i < len(word):
        if word[i:i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def train(words, merges_wanted):
    merges = []
    for _ in range(merges_wanted):
        pairs = defaultdict(int)
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {merge(word, best): n for word, n in words.items()}
    return merges


def added(token_id, content):
    return {"id": token_id, "content": content, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True}


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    corpus, size, directory = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    alphabet = byte_alphabet()
    tokens = [UNKNOWN, END] + [alphabet[b] for b in sorted(alphabet)]
    merges = train(count_words(corpus.read_text(encoding="utf-8")), size - len(tokens))
    tokens += [a + b for a, b in merges]

    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(0, UNKNOWN), added(1, END)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False,
                  "vocab": {token: i for i, token in enumerate(tokens)},
                  "merges": [f"{a} {b}" for a, b in merges]},
    }
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END,
                "unk_token": UNKNOWN, "model_max_length": 256,
                "clean_up_tokenization_spaces": False}
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in (("tokenizer.json", tokenizer), ("tokenizer_config.json", settings)):
        (directory / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n",
                                      encoding="utf-8")
    print(f"{len(tokens)} tokens, {len(merges)} merges")


if __name__ == "__main__":
    main()
