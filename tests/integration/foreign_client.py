#!/usr/bin/env python3
"""A client of a run that shares no code with fedmq: written from docs/protocol.md and docs/runs.md.

usage: foreign_client.py ENDPOINT CLIENT MODEL RANK SHIFT

Joins as client-CLIENT, and "trains" by adding SHIFT to every element of the lora_B tensors of the
state that it is given.  MODEL is the folder of the base model, whose config.json says how large the
tensors are; the adapter is LoRA of rank RANK on q_proj and v_proj.  Ends with the run.
"""
import hashlib
import json
import os
import struct
import sys
import time

import msgpack
import zmq

HELLO, WELCOME, REFUSED, WHO, PING, PONG, BYE, NOTE, NOTE_ACK = range(1, 10)
PUBLISH, PUBLISHED, WITHDRAW, FETCH, CREDIT, CHUNK, GONE, CANCEL = range(11, 19)
SERVER, CLIENT = 0, 1
WAIT, TRAIN, EVALUATE, FINISH = range(4)
IDLE, WORKING, OFFER, MEASURED, FAILED = range(5)
RANGE = 61440  # elements of a chunk
NONE = bytes(32)


def blake(data=b""):
    return hashlib.blake2b(data, digest_size=32)


def digest_of(chunks):
    digest = blake()
    for chunk in chunks:
        digest.update(struct.pack("<I", len(chunk)) + chunk)
    return digest.digest()


class Member:
    """The fabric's side: one DEALER, notes that are repeated until they are acknowledged, objects."""

    def __init__(self, endpoint, name, role):
        self.name, self.role = name, role
        self.incarnation = int.from_bytes(os.urandom(8), "big")
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 500
        self.socket.connect(endpoint)
        self.version = int(time.time() * 1000) << 20
        self.notes = {}  # (to, topic) -> [version, body, acknowledged]
        self.objects = {}  # digest -> [chunks, reader, known]
        self.serving = {}  # ticket -> [digest, next, credit]
        self.seen = {}  # (from, to, topic) -> version
        self.fetching = None  # [owner, digest, ticket, chunks, then]
        self.ticket = 0
        self.heartbeat, self.said, self.repeated, self.joined = 0.25, 0.0, 0.0, False

    def send(self, kind, *fields, payload=None):
        frames = [msgpack.packb([1, kind, *fields])]
        self.socket.send_multipart(frames + ([payload] if payload is not None else []))

    def note(self, to, topic, body):
        self.version += 1
        self.notes[to, topic] = [self.version, body, False]
        self.announce()

    def publish(self, chunks, reader):
        digest = digest_of(chunks)
        self.objects[digest] = [chunks, reader, False]
        self.announce()
        return digest

    def withdraw(self):
        for digest in self.objects:
            self.send(WITHDRAW, digest)
        self.objects = {}

    def announce(self):
        """Objects before the notes that name them; again until the router has them."""
        for digest, (chunks, reader, known) in self.objects.items():
            if self.joined and not known:
                self.send(PUBLISH, digest, sum(map(len, chunks)), len(chunks), reader)
        for (to, topic), (version, body, known) in self.notes.items():
            if self.joined and not known:
                self.send(NOTE, self.name, self.role, to, topic, version, payload=body)
        self.repeated = time.time()

    def fetch(self, owner, digest, then):
        self.ticket += 1
        self.fetching = [owner, digest, self.ticket, [], then]
        self.send(FETCH, self.ticket, owner, digest, 0, 8)

    def serve(self, ticket):
        digest, index, credit = self.serving[ticket]
        chunks = self.objects[digest][0] if digest in self.objects else []
        if not chunks:
            self.send(GONE, ticket, 7, "is no longer published")
        while credit > 0 and index < len(chunks):
            self.send(CHUNK, ticket, index, len(chunks), payload=chunks[index])
            index, credit = index + 1, credit - 1
        self.serving[ticket] = [digest, index, credit]

    def take_chunk(self, ticket, payload, index, count):
        if not self.fetching or ticket != self.fetching[2]:
            return
        owner, digest, _, chunks, then = self.fetching
        chunks.append(payload)
        if index + 1 < count:
            self.send(CREDIT, ticket, 1)
            return
        self.fetching = None
        if digest_of(chunks) != digest:
            raise SystemExit("what was fetched is not what its digest says")
        then(chunks)

    def take(self, kind, fields, payload):
        """Answers what is the fabric's affair; a note that is new is returned."""
        if kind == WELCOME:
            self.joined = True
            self.version = max(self.version, fields[1])
            self.heartbeat = min(self.heartbeat, fields[2] / 4000)
            for (to, topic), note in self.notes.items():
                if note[0] <= fields[1]:
                    self.version += 1
                    note[0] = self.version
                note[2] = False
            for known in self.objects.values():
                known[2] = False
            self.announce()
        elif kind == REFUSED:
            raise SystemExit(f"refused: {fields[1]}")
        elif kind == WHO:
            self.joined = False
        elif kind == NOTE:
            sender, role, to, topic, version = fields
            self.send(NOTE_ACK, sender, to, topic, version)
            if version > self.seen.get((sender, to, topic), 0):
                self.seen[sender, to, topic] = version
                return sender, role, topic, payload
        elif kind == NOTE_ACK:
            note = self.notes.get((fields[1], fields[2]))
            if note and fields[3] >= note[0]:
                note[2] = True
        elif kind == PUBLISHED and fields[0] in self.objects:
            self.objects[fields[0]][2] = True
        elif kind == FETCH:
            self.serving[fields[0]] = [fields[2], fields[3], fields[4]]
            self.serve(fields[0])
        elif kind == CREDIT and fields[0] in self.serving:
            self.serving[fields[0]][2] += fields[1]
            self.serve(fields[0])
        elif kind == CANCEL:
            self.serving.pop(fields[0], None)
        elif kind == CHUNK:
            self.take_chunk(fields[0], payload, fields[1], fields[2])
        elif kind == GONE and self.fetching and fields[0] == self.fetching[2]:
            time.sleep(0.5)
            self.fetch(self.fetching[0], self.fetching[1], self.fetching[4])
        return None

    def turn(self):
        """One message, if one comes; what time asks for meanwhile.  A new note, or None."""
        if time.time() - self.said >= self.heartbeat:
            self.said = time.time()
            if self.joined:
                self.send(PING, 0, 0)
            else:
                self.send(HELLO, self.name, self.role, self.incarnation)
        if time.time() - self.repeated >= 1:
            self.announce()
        if not self.socket.poll(50):
            return None
        frames = self.socket.recv_multipart()
        head = msgpack.unpackb(frames[0])
        return self.take(head[1], head[2:], frames[1] if len(frames) > 1 else None)


def schema_of(model, rank):
    """The tensors of the state, in their order: (name, rows, columns)."""
    with open(os.path.join(model, "config.json")) as file:
        config = json.load(file)
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head_width = config.get("head_dim") or width // heads
    outs = {"q_proj": heads * head_width,
            "v_proj": config.get("num_key_value_heads", heads) * head_width}
    tensors = []
    for layer in range(config["num_hidden_layers"]):
        for module in ("q_proj", "v_proj"):
            path = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors.append((f"{path}.lora_A.weight", rank, width))
            tensors.append((f"{path}.lora_B.weight", outs[module], rank))
    return tensors


def schema_digest(tensors):
    text = b"fedmq-schema-1\0" + struct.pack("<BI", 0, len(tensors))
    for name, rows, columns in tensors:
        text += struct.pack("<B", len(name)) + name.encode() + struct.pack("<BQQ", 2, rows, columns)
    return blake(text).digest()


def decode_state(tensors, chunks):
    """One list of floats a tensor."""
    state = [[] for _ in tensors]
    for chunk in chunks:
        for tensor, offset, count, codec, data in msgpack.unpackb(chunk):
            if codec != 0 or offset != len(state[tensor]) or len(data) != 4 * count:
                raise SystemExit("a slice of the state is not the one that was due")
            state[tensor] += struct.unpack(f"<{count}f", data)
    if [len(values) for values in state] != [rows * columns for _, rows, columns in tensors]:
        raise SystemExit("the state does not have the tensors of the schema")
    return state


def encode_state(state):
    chunks, begin = [], 0
    total = sum(map(len, state))
    while begin < total:
        end, slices, first = min(begin + RANGE, total), [], 0
        for tensor, values in enumerate(state):
            low, high = max(begin, first), min(end, first + len(values))
            if low < high:
                data = struct.pack(f"<{high - low}f", *values[low - first:high - first])
                slices.append([tensor, low - first, high - low, 0, data])
            first += len(values)
        chunks.append(msgpack.packb(slices))
        begin = end
    return chunks


class Client:
    SHARD = 40  # examples that it says it has

    def __init__(self, endpoint, number, model, rank, shift):
        self.member = Member(endpoint, f"client-{number}", CLIENT)
        self.tensors, self.shift = schema_of(model, rank), shift
        self.server = self.run = self.task = None

    def report(self, phase, **more):
        task = self.task or {"serial": 0, "round": 0}
        body = {"run": self.run, "serial": task["serial"], "round": task["round"], "phase": phase,
                "update": NONE, "update_bytes": 0, "samples": 0, "shard_samples": self.SHARD,
                "seconds": 0.0, "metrics": {}, "reason": ""}
        body.update(more)
        self.member.note(self.server, "report", msgpack.packb(body))

    def train(self, task, chunks):
        state = decode_state(self.tensors, chunks)
        for (name, _, _), values in zip(self.tensors, state):
            if ".lora_B." in name:
                values[:] = [value + self.shift for value in values]
        update = encode_state(state)
        digest = self.member.publish(update, self.server)
        self.report(OFFER, update=digest, update_bytes=sum(map(len, update)), samples=12,
                    metrics={"train_avg_loss": 1.0, "train_total": 12.0})
        print(f"round {task['round']}: offered {len(update)} chunks", flush=True)

    def on_run(self, note):
        if note["schema"] != schema_digest(self.tensors):
            self.run = note["run"]
            self.report(FAILED, reason="the schema is another one than this client's")
            raise SystemExit("the server's schema is not the one of the page")
        if note["run"] != self.run:
            self.run, self.task = note["run"], None
            self.report(IDLE)

    def on_task(self, task):
        if task["run"] != self.run or (self.task and task["serial"] == self.task["serial"]):
            return
        self.member.withdraw()
        self.task = task
        if task["kind"] == WAIT:
            self.report(IDLE)
        elif task["kind"] == TRAIN:
            self.report(WORKING)
            self.member.fetch(self.server, task["state"], lambda chunks: self.train(task, chunks))
        elif task["kind"] == EVALUATE:
            self.report(MEASURED)

    def live(self):
        while True:
            note = self.member.turn()
            if not note or note[1] != SERVER:
                continue
            sender, _, topic, payload = note
            body = msgpack.unpackb(payload)
            if not isinstance(body, dict):  # nil: the run is over for who joins now
                continue
            if topic == "run":
                self.server = sender
                self.on_run(body)
            elif topic == "task" and self.run:
                self.on_task(body)
            elif topic == "done" and body["run"] == self.run:
                self.member.send(BYE)
                print(f"done: {body['reason']}", flush=True)
                return 1 if body["failed"] else 0


if __name__ == "__main__":
    if len(sys.argv) != 6:
        raise SystemExit(__doc__)
    sys.exit(Client(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]),
                    float(sys.argv[5])).live())
