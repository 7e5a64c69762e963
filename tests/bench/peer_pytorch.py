#!/usr/bin/env python3
"""The peer of bench_step and bench_instructions: the same LoRA steps by PyTorch, transformers and PEFT.

usage: peer_pytorch.py [--shape NAME | --model DIR] [--dtype f32|bf16] [--how HOW] [--tuned] [--threads N]
                       [--sequences B --tokens T --steps N | --examples FILE --batch B --steps N]

Random weights of a shape, or those of a directory; r=8 on what PEFT takes by default, dropout off,
attention by scaled_dot_product_attention.  Without --examples every token is supervised and nothing
is padded: equal work.  With it, examples are what `bench_instructions --dump FILE` wrote, and a batch
is padded on the right to its longest example, as PEFT's users do; tokens/s count real tokens.

bf16 is done in three ways, and the best counts: "autocast" (f32 weights), "weights" (bf16 weights,
f32 adapters, PEFT's default) and "pure" (bf16 adapters too).  --how picks one.  --tuned raises
glibc's malloc thresholds, so that pages stay.  Needs torch, transformers and peft; neither building
nor testing fedmq does.
"""
import argparse
import contextlib
import gc
import json
import os
import resource
import statistics
import sys
import time

KEPT = str(8 << 30)
TUNING = {"MALLOC_MMAP_THRESHOLD_": KEPT, "MALLOC_TRIM_THRESHOLD_": KEPT, "MALLOC_TOP_PAD_": "268435456"}
LLAMAS = {  # layers, width, heads, kv heads, ffn, vocabulary, context, tied: as tests/bench/shapes.c
    "llama-135m": (30, 576, 9, 3, 1536, 49152, 8192, True),
    "llama-0.3b": (24, 1024, 16, 16, 2816, 32000, 2048, True),
    "llama-1.1b": (22, 2048, 32, 4, 5632, 32000, 2048, False),
    "llama-7b": (32, 4096, 32, 32, 11008, 32000, 4096, False),
}


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", default="gpt2", choices=["gpt2", *LLAMAS])
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--how", choices=["autocast", "weights", "pure"])
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--examples")
    parser.add_argument("--batch", type=int, default=4)
    return parser.parse_args()


def config_of(shape, first_layers=None):
    from transformers import GPT2Config, LlamaConfig
    if shape == "gpt2":
        return GPT2Config(n_layer=first_layers or 12, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    layers, width, heads, kv_heads, ffn, vocab, context, tied = LLAMAS[shape]
    return LlamaConfig(num_hidden_layers=first_layers or layers, hidden_size=width, num_attention_heads=heads,
                       num_key_value_heads=kv_heads, intermediate_size=ffn, vocab_size=vocab,
                       max_position_embeddings=context, tie_word_embeddings=tied)


def make_model(args, dtype):
    from transformers import AutoModelForCausalLM
    if args.model:
        return AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, attn_implementation="sdpa")
    return AutoModelForCausalLM.from_config(config_of(args.shape), dtype=dtype, attn_implementation="sdpa")


def make_peft(args, how):
    import torch
    from peft import LoraConfig, get_peft_model
    model = make_model(args, torch.bfloat16 if how in ("weights", "pure") else torch.float32)
    model.config.use_cache = False
    gpt2 = model.config.model_type == "gpt2"
    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, fan_in_fan_out=gpt2, task_type="CAUSAL_LM",
                      target_modules=["c_attn"] if gpt2 else ["q_proj", "v_proj"])
    model = get_peft_model(model, lora, autocast_adapter_dtype=how != "pure")
    model.train()
    return model


def full_batches(args, vocab):
    """The same batch again and again: (inputs, real tokens, rows of the batch)."""
    import torch
    ids = torch.randint(0, vocab, (args.sequences, args.tokens))
    inputs = {"input_ids": ids, "labels": ids}
    return [(inputs, ids.numel(), ids.numel())] * (args.steps + 1)


def padded_batches(args):
    import torch
    with open(args.examples, encoding="utf-8") as file:
        examples = [json.loads(line) for line in file]
    batches = []
    for first in range(0, len(examples) - args.batch + 1, args.batch):
        chosen = examples[first:first + args.batch]
        longest = max(len(e["ids"]) for e in chosen)
        ids = torch.full((len(chosen), longest), 0)
        mask = torch.zeros((len(chosen), longest), dtype=torch.long)
        labels = torch.full((len(chosen), longest), -100)
        for row, example in enumerate(chosen):
            size, prompt = len(example["ids"]), example["prompt"]
            ids[row, :size] = torch.tensor(example["ids"])
            mask[row, :size] = 1
            labels[row, prompt:size] = ids[row, prompt:size]
        inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        batches.append((inputs, int(mask.sum()), ids.numel()))
        if len(batches) > args.steps:
            break
    return batches


def measure(args, how):
    """Trains over the batches, the first of them to warm up; returns tokens a second."""
    import torch
    torch.manual_seed(1)
    model = make_peft(args, how)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    batches = padded_batches(args) if args.examples else full_batches(args, model.config.vocab_size)
    cast = torch.autocast("cpu", dtype=torch.bfloat16) if how == "autocast" else contextlib.nullcontext()
    times, user = [], 0.0
    for step, (inputs, _, _) in enumerate(batches):
        before, start = time.process_time(), time.perf_counter()
        with cast:
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step > 0:
            times.append(time.perf_counter() - start)
            user += time.process_time() - before
    real = sum(tokens for _, tokens, _ in batches[1:])
    rows = sum(padded for _, _, padded in batches[1:])
    rates = sorted(tokens / seconds for (_, tokens, _), seconds in zip(batches[1:], times))
    mean = real / sum(times)
    headline = mean if args.examples else statistics.median(rates)
    print(f"PyTorch {torch.__version__} {args.model or args.shape} {how}{' tuned' if args.tuned else ''}, "
          f"{args.threads} threads: {headline:.1f} tokens/s, {rates[-1]:.1f} in the best step, "
          f"{len(times)} steps of {real / len(times):.0f} tokens ({rows / real:.2f} rows a token), "
          f"{user / len(times):.3f} processor seconds a step, peak RSS "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB", flush=True)
    return headline


def main():
    args = parse()
    if args.tuned and os.environ.get("MALLOC_MMAP_THRESHOLD_") != KEPT:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **TUNING})
    import torch
    torch.set_num_threads(args.threads)
    hows = [args.how] if args.how else ["f32"] if args.dtype == "f32" else ["autocast", "weights", "pure"]
    best = 0.0
    for how in hows:
        best = max(best, measure(args, how))
        gc.collect()
    print(f"best: {best:.1f} tokens/s")


if __name__ == "__main__":
    main()
