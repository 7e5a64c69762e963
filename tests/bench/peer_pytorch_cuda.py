#!/usr/bin/env python3
"""The peer of `bench_step --device cuda`: the same LoRA steps by PyTorch, transformers and PEFT on a GPU.

usage: peer_pytorch_cuda.py [--shape NAME] [--sequences B] [--tokens T] [--steps N] [--layers N]
                            [--how compiled|eager] [--modules all] [--cpu]

Random bf16 weights made on the device, adapters in bf16, r=8 on what PEFT takes by default (or on
every linear module), attention by scaled_dot_product_attention's flash kernel, every token
supervised, no padding, dropout off.  The median of N steps after five; the peak is what torch's
allocator had.  --cpu rehearses it where there is no GPU.  Needs torch, transformers and peft.
"""
import argparse
import contextlib
import statistics
import time

from peer_pytorch import LLAMAS, config_of

MODULES = {
    False: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    True: ["c_attn", "c_proj", "c_fc"],
}
WARM_UP = 5


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", default="gpt2", choices=["gpt2", *LLAMAS])
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--how", default="eager", choices=["compiled", "eager"])
    parser.add_argument("--modules", choices=["all"])
    parser.add_argument("--cpu", action="store_true")
    return parser.parse_args()


def make_model(args, device):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    gpt2 = args.shape == "gpt2"
    config = config_of(args.shape, args.layers)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    model.config.use_cache = False
    usual = ["c_attn"] if gpt2 else ["q_proj", "v_proj"]
    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, fan_in_fan_out=gpt2, task_type="CAUSAL_LM",
                      target_modules=MODULES[gpt2] if args.modules else usual)
    model = get_peft_model(model, lora, autocast_adapter_dtype=False).to(device)
    model.train()
    return model, config.vocab_size


def flash(device):
    """Only the flash kernel, where there is one."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    return sdpa_kernel(SDPBackend.FLASH_ATTENTION) if device == "cuda" else contextlib.nullcontext()


def measure(args, device):
    import torch
    torch.manual_seed(1)
    model, vocab = make_model(args, device)
    run = torch.compile(model) if args.how == "compiled" else model
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=device == "cuda")
    ids = torch.randint(0, vocab, (args.sequences, args.tokens), device=device)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = []
    warm_up = 1 if args.cpu else WARM_UP
    for _ in range(warm_up + args.steps):
        start = time.perf_counter()
        with flash(device):
            loss = run(input_ids=ids, labels=ids).loss
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        wait()
        times.append(time.perf_counter() - start)
    median = statistics.median(times[warm_up:])
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else 0.0
    print(f"PyTorch {torch.__version__} {args.shape} {args.how}, B{args.sequences}xT{args.tokens}: "
          f"{ids.numel() / median:.0f} tokens/s, {median * 1e3:.1f} ms a step, "
          f"loss {loss.item():.4f}, peak of device memory {peak:.0f} MiB", flush=True)


def main():
    args = parse()
    import torch
    if not args.cpu and not torch.cuda.is_available():
        raise SystemExit("peer_pytorch_cuda.py: torch sees no GPU; --cpu rehearses without one")
    measure(args, "cpu" if args.cpu else "cuda")


if __name__ == "__main__":
    main()
