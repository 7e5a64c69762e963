#!/usr/bin/env python3
"""Writes tests/llm/train/goldens/routine: what FS-LLM's local routine does to a
tiny model, computed by PyTorch, transformers and PEFT.

A random LLaMA over bytes with a random LoRA adapter is trained on a few Alpaca
records the way FS-LLM trains: prompt and answer as one padded sequence, labels
of the prompt at -100, HF's own loss.  Three cases: AdamW with accumulation,
clipping and warm-up; SGD with momentum and FedProx's term in the loss; SGD with
FedBiOT's, eps sum ||s B A - s B0 A0||^2, of merged matrices.
Everything is computed in float64.  Needs torch, transformers, peft,
safetensors; run it from the source root."""
import json
import pathlib
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path("tests/llm/train/goldens/routine")
BOS, EOS, PAD, IGNORED = 256, 257, 0, -100
TOK_LEN = 200

RECORDS = [
    {"instruction": "Add.", "output": "two"},
    {"instruction": "Name a colour.", "input": "", "output": "blue, like the sky"},
    {"instruction": "Repeat.", "input": "abc", "output": "no room for this answer"},
    {"instruction": "Count.", "output": ""},
    {"instruction": "Say something long.", "output": "word after word " * 9},
    {"instruction": "Spell it: caf\u00e9", "output": "c a f \u00e9"},
    {"instruction": "Opposite of hot?", "output": "cold"},
    {"instruction": "?", "output": "!"},
]

CASES = {
    "adamw": {"batch_size": 2, "accum": 2, "steps": 6, "clip": 0.5, "mu": 0.0, "lr": 0.01,
              "warmup": 2, "total": 12},
    "sgd": {"batch_size": 3, "accum": 1, "steps": 5, "clip": 0.0, "mu": 0.2, "lr": 0.2,
            "warmup": 0, "total": 0},
    "merged": {"batch_size": 2, "accum": 2, "steps": 6, "clip": 2.0, "mu": 0.0, "eps": 0.5,
               "lr": 0.1, "warmup": 0, "total": 0},
}


def prompt(record):
    if record.get("input"):
        return ("Below is an instruction that describes a task, paired with an input that provides "
                "further context. Write a response that appropriately completes the request.\n\n"
                "### Instruction:\n" + record["instruction"] + "\n\n### Input:\n"
                + record["input"] + "\n\n### Response:")
    return ("Below is an instruction that describes a task. Write a response that appropriately "
            "completes the request.\n\n### Instruction:\n" + record["instruction"]
            + "\n\n### Response:")


def tokenize(text, end=False):
    return ([BOS] + list(text.encode()) + ([EOS] if end else []))[:TOK_LEN]


def example(record):
    source, ids = tokenize(prompt(record)), tokenize(prompt(record) + record["output"], end=True)
    labels = list(ids)
    labels[:len(source)] = [IGNORED] * len(source)
    return ids, labels


def collate(examples):
    longest = max(len(ids) for ids, _ in examples)
    pad = [longest - len(ids) for ids, _ in examples]
    ids = torch.tensor([e[0] + [PAD] * p for e, p in zip(examples, pad)])
    labels = torch.tensor([e[1] + [IGNORED] * p for e, p in zip(examples, pad)])
    return {"input_ids": ids, "labels": labels, "attention_mask": (ids != PAD).long()}


def batches(examples, size, count):
    per_epoch = -(-len(examples) // size)
    for i in range(count):
        at = i % per_epoch * size
        yield collate(examples[at:at + size])


def optimizer_of(name, weights, lr):
    if name == "adamw":
        return torch.optim.AdamW(weights, lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    return torch.optim.SGD(weights, lr=lr, momentum=0.9, nesterov=True)


def schedule_of(optimizer, case):
    def factor(step):
        if case["total"] == 0:
            return 1.0
        if step < case["warmup"]:
            return step / case["warmup"]
        return max(0.0, (case["total"] - step) / (case["total"] - case["warmup"]))
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def merged(model):
    """s B A of every adapted module, as PEFT would merge it."""
    return [m.get_delta_weight("default") for m in model.modules() if hasattr(m, "lora_A")]


def train(model, name, case, examples):
    weights = [p for p in model.parameters() if p.requires_grad]
    start = [w.detach().clone() for w in weights]
    merged_start = [m.detach().clone() for m in merged(model)]
    optimizer = optimizer_of(name, weights, case["lr"])
    schedule = schedule_of(optimizer, case)
    losses, proximal = [], []
    drawn = batches(examples, case["batch_size"], case["steps"] * case["accum"])
    for i, batch in enumerate(drawn):
        loss = model(**batch).loss
        losses.append(loss.item())
        (loss / case["accum"]).backward()
        if (i + 1) % case["accum"]:
            continue
        if case["mu"] > 0:
            (case["mu"] / 2 * sum(((w - s) ** 2).sum() for w, s in zip(weights, start))).backward()
        if case.get("eps", 0) > 0:
            apart = sum(((m - s) ** 2).sum() for m, s in zip(merged(model), merged_start))
            proximal.append(case["eps"] * apart.item())
            (case["eps"] * apart).backward()
        if case["clip"] > 0:
            torch.nn.utils.clip_grad_norm_(weights, case["clip"])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return {"losses": losses, "proximal": proximal} if proximal else {"losses": losses}


def make_model():
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=258, max_position_embeddings=256, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, intermediate_size=24, initializer_range=0.2,
        rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=BOS, eos_token_id=EOS)
    model = LlamaForCausalLM(config)
    model.save_pretrained(HERE / "model")
    lora = get_peft_model(model, LoraConfig(
        r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"],
        task_type="CAUSAL_LM"))
    with torch.no_grad():
        for key, weight in lora.named_parameters():
            if "lora_B" in key:
                weight.normal_(0, 0.1)
    lora.save_pretrained(HERE / "start")


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    make_model()
    # fedmq leaves out records without an answer, which FS-LLM trains as "say nothing".
    examples = [example(record) for record in RECORDS if record["output"]]
    examples = [e for e in examples if any(label != IGNORED for label in e[1])]
    golden = {"tok_len": TOK_LEN, "examples": len(examples), "cases": {}}
    for name, case in CASES.items():
        base = LlamaForCausalLM.from_pretrained(HERE / "model").double()
        model = PeftModel.from_pretrained(base, HERE / "start", is_trainable=True).double()
        golden["cases"][name] = {**case, **train(model, name, case, examples)}
        model.float().save_pretrained(HERE / name)
    with open(HERE / "records.jsonl", "w", encoding="utf-8") as file:
        for record in RECORDS:
            file.write(json.dumps(record) + "\n")
    with open(HERE / "golden.json", "w", encoding="utf-8") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")
    for extra in HERE.glob("*/README.md"):
        extra.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
