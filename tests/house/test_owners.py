#!/usr/bin/env python3
"""A class of a room is written to by the one file of its name, and no file of a room is long.

usage: test_owners.py ROOT FOLDER LINES

A class is a struct that a header of FOLDER defines; its owner is the source beside that header, or
the one that OWNERS names.  A source writes to a class when it assigns to a
member of one behind a pointer (self->participants.begun = true), or gives away a member's address
there that is no class itself.  What is behind a pointer to const, and a struct that a function has
as a local value, is only read.  Structs of plain values that callers fill in are nobody's class: their
names end as VALUES says.
"""
import collections
import os
import re
import sys

COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*', re.S)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
STRUCT = re.compile(r"typedef struct(?:\s+\w+)?\s*\{(.*?)\n\}\s*(\w+);", re.S)
FUNCTION = re.compile(r"^(?!typedef|struct|#)[A-Za-z_][\w \t\n*]*?\b\w+\s*\(([^;{}]*)\)\s*\n\{(.*?)^\}", re.M | re.S)
WRITE = re.compile(r"(?<![\w.>])(\w+)((?:(?:->|\.)\w+(?:\[[^\]]*\])*)+)\s*(?:[-+*/|&^%]?=(?!=)|<<=|>>=|\+\+|--)")
STEP = re.compile(r"(?:\+\+|--)\s*(\w+)((?:(?:->|\.)\w+(?:\[[^\]]*\])*)+)")
READING = re.compile(r"const (?:struct )?\w+ \*\w+ =\s*&[^;]*;")
ADDRESS = re.compile(r"(?<!&)&(\w+)((?:(?:->|\.)\w+(?:\[[^\]]*\])*)+)(?!\s*\()")
WHOLE = re.compile(r"(?:^|[;{}]\s*)\*(\w+)\s*=(?!=)", re.M)
OWNERS = {"coordinator_private.h": "coordinator.c"}
PARTS = {"fmq_strategy_t"}  # classes of other rooms that a class here consists of
VALUES = re.compile(r".*_(options|settings|count|limits)_t$")


def read(path):
    with open(path, encoding="utf-8") as file:
        return STRING.sub('""', COMMENT.sub(" ", file.read()))


def members(body):
    """{member: (type, is what it points to const)} of a struct's body."""
    found = {}
    body = re.sub(r"\w[\w \t\n*]*\(\*\w+\)\([^;]*\);", " ", body)
    for line in body.split(";"):
        line = re.sub(r"\[[^\]]*\]", "", line.strip())
        match = re.match(r"(?:const )?(?:struct )?(\w+(?: \w+)*?)\s*(\**\s*\w+(?:\s*,\s*\**\s*\w+)*)$", line, re.S)
        for name in match.group(2).split(",") if match else []:
            found[name.replace("*", "").strip()] = (match.group(1), line.startswith("const ") and "*" in name)
    return found


def variables(parameters, body):
    """{variable: (type, pointer, const)} of a function."""
    found = {}
    texts = re.split(r",(?![^()]*\))", parameters)
    texts += re.findall(r"^\s+((?:const )?\w+_t \**\s*\w+(?:\[[^\]]*\])*(?:, \**\w+)*)\s*(?:=|;)", body, re.M)
    for text in texts:
        match = re.match(r"\s*(const )?(?:struct )?(\w+)\s+(\**)\s*(?:const )?(\w+)", text)
        if match:
            found[match.group(4)] = (match.group(2), bool(match.group(3)), bool(match.group(1)))
    return found


class Room:
    def __init__(self, folder):
        self.folder = folder
        self.types, self.owners = {}, {}
        self.aliases = {"fmq_coordinator": "coordinator_t"}
        for name in sorted(os.listdir(folder)):
            if not name.endswith(".h"):
                continue
            text = read(os.path.join(folder, name))
            for body, type_name in STRUCT.findall(text):
                self.types[type_name] = members(body)
                if not VALUES.match(type_name):
                    self.owners[type_name] = OWNERS.get(name, name[:-2] + ".c")

    def resolve(self, kind, chain):
        """The class that a member's place belongs to: (class, type of the last member)."""
        kind, const = self.aliases.get(kind, kind), False
        last = None
        for arrow, name in re.findall(r"(->|\.)(\w+)", chain):
            if const and arrow == "->":
                return None, None
            if kind not in self.types or name not in self.types[kind]:
                return last, None
            last = kind if kind in self.owners else last  # plain values are their class's
            kind, const = self.types[kind][name]
        return last, kind

    def faults(self, name):
        text = read(os.path.join(self.folder, name))
        for parameters, body in FUNCTION.findall(text):
            known = variables(parameters, body)
            body = READING.sub(";", body)
            for root in WHOLE.findall(body):
                kind, pointer, const = known.get(root, (None, False, True))
                kind = self.aliases.get(kind, kind)
                if pointer and not const and self.is_strangers(kind, name):
                    yield f"{name} writes a whole {kind}, which {self.owners[kind]} owns: *{root} ="
            for pattern in (WRITE, STEP, ADDRESS):
                for root, chain in pattern.findall(body):
                    kind, pointer, const = known.get(root, (None, False, True))
                    if const or (not pointer and chain.startswith(".")):
                        continue
                    owner, kind = self.resolve(kind, chain)
                    taken = pattern is ADDRESS
                    if taken and kind in self.owners and self.owners.get(owner) != self.owners[kind]:
                        continue  # a part, given to its own functions
                    if taken and (VALUES.match(kind or "") or kind in PARTS):
                        continue
                    if self.is_strangers(owner, name):
                        yield f"{name} {'gives away' if taken else 'writes'} a member of {owner}, which " \
                              f"{self.owners[owner]} owns: {root}{chain}"

    def is_strangers(self, kind, name):
        return kind in self.owners and self.owners[kind] != name


def main(root, folder, lines):
    room = Room(os.path.join(root, folder))
    bad = []
    classes = collections.Counter(room.owners.values())
    if len(classes) < 10:
        bad.append(f"only {len(classes)} owners of classes were found in {folder}: this test reads nothing")
    for owner in classes:
        if not os.path.exists(os.path.join(root, folder, owner)):
            bad.append(f"a class of {folder} has no source '{owner}'")
    for name in sorted(os.listdir(room.folder)):
        if not name.endswith((".c", ".h")):
            continue
        with open(os.path.join(room.folder, name), encoding="utf-8") as file:
            size = sum(1 for _ in file)
        if size > lines:
            bad.append(f"{folder}/{name} has {size} lines, more than {lines}")
        if name.endswith(".c"):
            bad += room.faults(name)
    print("\n".join(bad) or f"{sum(classes.values())} classes of {folder}, each written by one file")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
