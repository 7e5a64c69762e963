#!/usr/bin/env python3
"""Is a run's adapter the mean of the updates in its journal, and one of them what it should be?

usage: foreign_check.py RUN ROUND CLIENT SHIFT

Reads the journal of round ROUND of the run's folder, its checkpoint ROUND and its adapter, as
docs/runs.md describes them.  Every update is checked against its digests; the adapter must be the
mean weighted by examples, to the bit; CLIENT's update must be the checkpoint's state with SHIFT
added to the lora_B tensors.
"""
import array
import hashlib
import json
import os
import struct
import sys

import msgpack


def read(path):
    with open(path, "rb") as file:
        return file.read()


def digest(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def floats_of(chunks):
    values = array.array("f")
    for chunk in chunks:
        for tensor, offset, count, codec, part in msgpack.unpackb(chunk):
            assert codec == 0 and len(part) == 4 * count
            values.frombytes(part)
    return values


def updates_of(path):
    """{client: (samples, floats)} of the updates that a log has committed."""
    data, at = read(path), 152
    assert data[:8] == b"FMQULOG\n" and data[120:152] == digest(data[:120]), path
    salt, brought, updates = data[88:120], {}, {}
    while at < len(data):
        kind, writer, index, size = struct.unpack_from("<4sIII", data, at)
        place = salt + struct.pack("<Q", at)
        assert data[at + 16:at + 32] == digest(place + data[at:at + 16])[:16], (path, at)
        body = data[at + 32:at + 32 + size]
        at += 32 + size
        if kind == b"CHNK":
            assert index == len(brought.setdefault(writer, []))
            brought[writer].append(body)
            continue
        assert kind == b"CMIT" and body[-32:] == digest(salt + struct.pack("<Q", at - size) + body[:-32])
        for item in range(0, size - 32, 56):
            client, _, writer, _, samples = struct.unpack_from("<IIIIQ", body, item)
            whole = b"".join(struct.pack("<I", len(chunk)) + chunk for chunk in brought[writer])
            assert body[item + 24:item + 56] == digest(whole), client
            updates[client] = samples, floats_of(brought[writer])
    return updates


def adapter_of(path):
    """(names with sizes, floats), in the order of the file."""
    data = read(path)
    size, = struct.unpack_from("<Q", data)
    head = json.loads(data[8:8 + size])
    head.pop("__metadata__", None)
    values, names = array.array("f"), []
    for name, entry in sorted(head.items(), key=lambda item: item[1]["data_offsets"][0]):
        begin, end = entry["data_offsets"]
        values.frombytes(data[8 + size + begin:8 + size + end])
        names.append((name, (end - begin) // 4))
    return names, values


def state_of(path, elements):
    data = read(path)
    assert data[:8] == b"FMQCKPT\n" and data[-32:] == digest(data[:-32])
    head, = struct.unpack_from("<I", data, 12)
    assert struct.unpack_from("<Q", data, 16 + head + 32)[0] == elements
    values = array.array("f")
    values.frombytes(data[16 + head + 40:16 + head + 40 + 4 * elements])
    return values


def to_float(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def main(run, number, client, shift):
    names, adapter = adapter_of(os.path.join(run, "adapter/adapter_model.safetensors"))
    by_client = updates_of(os.path.join(run, f"journal/round-{number:06}/updates"))
    updates = [by_client[k] for k in sorted(by_client)]
    total = float(sum(samples for samples, _ in updates))
    for i, value in enumerate(adapter):
        weighted = 0.0
        for samples, values in updates:
            weighted += samples * values[i]
        assert value == to_float(weighted / total), f"element {i} is not the mean"
    state = state_of(os.path.join(run, f"checkpoints/round-{number:06}.state"), len(adapter))
    mine = by_client[client][1]
    at = 0
    for name, count in names:
        for i in range(at, at + count):
            expected = to_float(state[i] + shift) if ".lora_B." in name else state[i]
            assert mine[i] == expected, f"{name}: element {i - at} of client {client}'s update"
        at += count
    print(f"{len(updates)} updates, {len(adapter)} elements: their mean to the bit")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
