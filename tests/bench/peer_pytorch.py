#!/usr/bin/env python3
"""The peer of bench_step: the same LoRA step by PyTorch, transformers and PEFT.

usage: peer_pytorch.py [--sequences B] [--tokens T] [--steps N] [--threads N]

GPT-2 124M shapes with random weights, r=8 on c_attn, every token supervised, no padding, dropout
off: equal work.  Prints tokens/s (median and best step) and the process's peak memory.  Needs torch,
transformers and peft; neither building nor testing fedmq does.
"""
import argparse
import resource
import statistics
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    config = GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False)
    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=["c_attn"],
                      fan_in_fan_out=True, task_type="CAUSAL_LM")
    model = get_peft_model(GPT2LMHeadModel(config), lora)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = torch.randint(0, config.vocab_size, (args.sequences, args.tokens))

    times = []
    for step in range(args.steps + 1):
        start = time.perf_counter()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step > 0:  # the first step warms up
            times.append(time.perf_counter() - start)
    tokens = args.sequences * args.tokens
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"PyTorch {torch.__version__}, B{args.sequences}xT{args.tokens}, {args.threads} threads: "
          f"{tokens / statistics.median(times):.1f} tokens/s median, {tokens / min(times):.1f} best, "
          f"peak RSS {peak:.0f} MiB")


if __name__ == "__main__":
    main()
