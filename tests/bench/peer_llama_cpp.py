#!/usr/bin/env python3
"""The peer of bench_generate: the same model by llama.cpp, as PyPI's llama-cpp-python builds it.

usage: peer_llama_cpp.py --model DIR [--type F32|BF16|Q8_0|Q4_0] [--prompt N] [--tokens N] [--turns N]
                         [--threads N] [--gguf FILE]

DIR is a LLaMA in Hugging Face's layout, as make_model writes it.  Its tensors become a GGUF file
(norms F32, everything else of the type; Q4_0 keeps the embedding in Q8_0, as llama-quantize does of a
tied one in Q6_K); the tokenizer is made up, since only ids are given.  Prints tokens/s of prompts and of
generation, each the best and the median of the turns.  Needs llama-cpp-python, gguf, numpy and
safetensors; neither building nor testing fedmq does.
"""
import argparse
import ctypes
import json
import os
import resource
import statistics
import sys
import tempfile
import time

import gguf
import llama_cpp
import numpy
from gguf import GGMLQuantizationType as Type

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--type", default="BF16", choices=["F32", "BF16", "Q8_0", "Q4_0"])
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gguf", help="keep the file here, and use it when it is there")
    return parser.parse_args()


def tensors(path):
    """Name and F32 values of every tensor of a safetensors file."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    data = numpy.memmap(path, dtype=numpy.uint8, mode="r", offset=8 + size)
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        raw = data[entry["data_offsets"][0]:entry["data_offsets"][1]]
        if entry["dtype"] == "BF16":
            values = (raw.view(numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
        else:
            values = raw.view({"F32": numpy.float32, "F16": numpy.float16}[entry["dtype"]])
        yield name, values.astype(numpy.float32).reshape(entry["shape"])


def gguf_name(name):
    if name.startswith("model.layers."):
        _, _, layer, rest = name.split(".", 3)
        return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
            "lm_head.weight": "output.weight"}[name]


def interleave(values, heads):
    """llama.cpp rotates neighbours where Hugging Face rotates halves."""
    rows, columns = values.shape
    return values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(directory, kind, path):
    with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config.get("rope_theta") or 10000.0)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"<{i}>".encode() for i in range(config["vocab_size"])])
    writer.add_token_scores([0.0] * config["vocab_size"])
    writer.add_token_types([1] * config["vocab_size"])
    for name, values in tensors(os.path.join(directory, "model.safetensors")):
        if name.endswith("q_proj.weight") or name.endswith("k_proj.weight"):
            values = interleave(values, heads if name.endswith("q_proj.weight") else kv_heads)
        form = Type.F32 if values.ndim == 1 else Type[kind]
        if form == Type.Q4_0 and name == "model.embed_tokens.weight":
            form = Type.Q8_0
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, form), raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Model:
    def __init__(self, path, args):
        llama_cpp.llama_backend_init()
        self.silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.silence, ctypes.c_void_p(0))
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            sys.exit(f"llama.cpp does not load {path}")
        how = llama_cpp.llama_context_default_params()
        how.n_ctx = args.prompt + args.tokens + 64
        how.n_batch = how.n_ubatch = max(args.prompt, 512)
        how.n_threads = how.n_threads_batch = args.threads
        self.context = llama_cpp.llama_init_from_model(self.model, how)
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def forget(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def decode(self, ids):
        """Runs ids behind what was run before, and returns the likeliest next one."""
        array = (llama_cpp.llama_token * len(ids))(*ids)
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(array, len(ids))) != 0:
            sys.exit("llama_decode failed")
        logits = numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.context, -1), (self.vocab,))
        return int(logits.argmax())


def measure(model, args):
    ids = [(i * 2654435761) % model.vocab for i in range(args.prompt)]
    prompts, steps = [], []
    for turn in range(args.turns + 1):
        model.forget()
        start = time.perf_counter()
        last = model.decode(ids)
        middle = time.perf_counter()
        for _ in range(args.tokens):
            last = model.decode([last])
        end = time.perf_counter()
        if turn:  # the first one warms up
            prompts.append(args.prompt / (middle - start))
            steps.append(args.tokens / (end - middle))
    return prompts, steps


def main():
    args = parse()
    with tempfile.TemporaryDirectory() as room:
        path = args.gguf or os.path.join(room, "model.gguf")
        if not os.path.exists(path):
            write_gguf(args.model, args.type, path)
        size = os.path.getsize(path)
        model = Model(path, args)
        prompts, steps = measure(model, args)
    print(f"llama.cpp {args.type}, {args.threads} threads: prompt of {args.prompt} {max(prompts):.1f} tokens/s "
          f"best, {statistics.median(prompts):.1f} median; generation {max(steps):.1f} best, "
          f"{statistics.median(steps):.1f} median; file {size / 1048576:.0f} MiB, peak RSS "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
