#!/usr/bin/env python3
"""No room of the house needs itself: files of a folder that name each other's functions in a circle.

usage: test_circles.py ROOT FOLDER...

A name belongs to the one file that defines it with external linkage; a file needs another when it
uses such a name of it.  Fails with every circle, and the names that tie it.
"""
import collections
import os
import re
import sys

FUNCTION = re.compile(r"^(?!static\b)[A-Za-z_][\w \t\n*]*?\b(\w+)\([^;{}]*\)\s*\n\{", re.M)
OBJECT = re.compile(r"^(?!static\b|extern\b|typedef\b)(?:const )?\w+(?: \w+)* \*?(\w+)(?:\[[^\]\n]*\])* = ", re.M)
SKIPPED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)


def sources(folder):
    for where, _, names in os.walk(folder):
        for name in sorted(names):
            if name.endswith(".c"):
                yield os.path.join(where, name)


def needs_of(folder):
    """{file: {other file: names}}"""
    texts = {}
    for path in sources(folder):
        with open(path, encoding="utf-8") as file:
            texts[path] = SKIPPED.sub(" ", file.read())
    owners = collections.defaultdict(set)
    for path, text in texts.items():
        for name in FUNCTION.findall(text) + OBJECT.findall(text):
            owners[name].add(path)
    needs = {path: collections.defaultdict(set) for path in texts}
    for path, text in texts.items():
        for word in set(re.findall(r"\b\w+\b", text)):
            if len(owners[word]) == 1 and path not in owners[word]:
                needs[path][next(iter(owners[word]))].add(word)
    return needs


def reachable(needs, start):
    seen, todo = set(), [start]
    while todo:
        for other in needs[todo.pop()]:
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def main(root, folders):
    os.chdir(root)
    bad = 0
    for folder in folders:
        needs = needs_of(folder)
        if not needs:
            sys.exit(f"'{folder}' has no sources")
        reach = {path: reachable(needs, path) for path in needs}
        for path in sorted(needs):
            for other, names in sorted(needs[path].items()):
                if path in reach[other]:
                    bad += 1
                    print(f"{path} and {other} stand in a circle: it takes {', '.join(sorted(names)[:4])}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
