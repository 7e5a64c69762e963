#!/usr/bin/env python3
"""Writes tests/llm/pass/goldens: tiny models with PEFT adapters and what
PyTorch, transformers and peft compute with them.

Each case is a random model in HF layout, a LoRA adapter saved by PEFT with
random A and B, and golden.safetensors: ids and labels of a ragged batch,
logits, the summed loss, and the gradient of every LoRA tensor and (for full
fine-tuning) of every tensor of the model.  Everything is computed in float64
from the float32 weights on disk.  Needs torch, transformers, peft,
safetensors; run it from anywhere, it takes the output directory as its only
argument (default: the repository's).
"""

import pathlib
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from families import randomise

VOCAB = 97
LENGTHS = [9, 1, 6]
IGNORED = -100


def gpt2(layers=2):
    config = GPT2Config(
        vocab_size=VOCAB, n_positions=24, n_embd=32, n_layer=layers, n_head=4, n_inner=48,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, initializer_range=0.2,
        bos_token_id=1, eos_token_id=2)
    return GPT2LMHeadModel(config), ["c_attn", "c_proj", "c_fc"]


def llama(tied, layers=2):
    config = LlamaConfig(
        vocab_size=VOCAB, max_position_embeddings=32, hidden_size=32, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8 if tied else 12,
        intermediate_size=40, initializer_range=0.2, rms_norm_eps=1e-5,
        tie_word_embeddings=tied, attention_bias=not tied, bos_token_id=1, eos_token_id=2)
    if tied:
        config.rope_parameters = {
            "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return LlamaForCausalLM(config), targets


def batch(vocab, lengths):
    """Ragged sequences; the first tokens of each are a prompt without a loss."""
    sequences = [torch.randint(0, vocab, (length,)) for length in lengths]
    labels = [s.clone() for s in sequences]
    for sequence in labels:
        sequence[:3] = IGNORED
    return sequences, labels


def run(model, sequences, labels):
    """Summed loss and logits of the sequences one by one; gradients add up."""
    total, logits = 0.0, []
    for ids, label in zip(sequences, labels):
        out = model(input_ids=ids[None]).logits[0]
        logits.append(out.detach())
        if len(ids) > 1:
            loss = torch.nn.functional.cross_entropy(
                out[:-1], label[1:], ignore_index=IGNORED, reduction="sum")
            if (label[1:] != IGNORED).any():
                loss.backward()
                total += loss.item()
    return total, torch.cat(logits)


def save_adapter(adapted, directory):
    """With random A and B: PEFT's B are zeros."""
    with torch.no_grad():
        for name, tensor in adapted.named_parameters():
            if "lora_" in name:
                tensor.copy_(0.3 * torch.randn_like(tensor))
    adapted.save_pretrained(directory / "adapter")
    (directory / "adapter" / "README.md").unlink(missing_ok=True)


def lora_golden(base, directory, sequences, labels):
    """What the adapter of a directory makes of a model."""
    adapted = PeftModel.from_pretrained(base, directory / "adapter", is_trainable=True)
    adapted = adapted.double().eval()
    total, logits = run(adapted, sequences, labels)
    golden = {"lora.loss": torch.tensor([total]), "lora.logits": logits}
    for name, tensor in adapted.named_parameters():
        if "lora_" in name:
            golden["lora.grad." + name.replace(".default", "")] = tensor.grad
    return golden


def save_case(directory, model, targets, layers):
    directory.mkdir(parents=True, exist_ok=True)
    randomise(model)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    sequences, labels = batch(VOCAB, LENGTHS)
    golden = {
        "ids": torch.cat(sequences).to(torch.float32),
        "labels": torch.cat(labels).to(torch.float32),
        "lengths": torch.tensor(LENGTHS, dtype=torch.float32),
    }

    model = type(model).from_pretrained(directory).double().eval()
    total, logits = run(model, sequences, labels)
    golden["full.loss"] = torch.tensor([total])
    golden["full.logits"] = logits
    for name, tensor in model.named_parameters():
        golden["full.grad." + name] = tensor.grad

    model = type(model).from_pretrained(directory)
    lora = LoraConfig(r=4, lora_alpha=6, lora_dropout=0.0, target_modules=targets,
                      layers_to_transform=layers, task_type="CAUSAL_LM")
    save_adapter(get_peft_model(model, lora), directory)
    golden |= lora_golden(type(model).from_pretrained(directory), directory, sequences, labels)
    save_file({k: v.to(torch.float32).contiguous() for k, v in golden.items()},
              directory / "golden.safetensors")
    print(f"{directory.name}: full loss {golden['full.loss'].item():.6f}, "
          f"lora loss {golden['lora.loss'].item():.6f}")


def strip_paths(directory):
    """PEFT notes where the base model lay; that place means nothing elsewhere."""
    config = directory / "adapter" / "adapter_config.json"
    text = config.read_text().replace(str(directory), directory.name)
    config.write_text(text + "\n")


def main():
    here = pathlib.Path(__file__).resolve().parents[2] / "tests/llm/pass/goldens"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    cases = {
        "gpt2": (gpt2, None),
        "llama": (lambda: llama(False), None),
        "llama_tied": (lambda: llama(True), None),
        "gpt2_layers": (lambda: gpt2(3), 1),
        "llama_layers": (lambda: llama(False, 4), [0, 3]),
    }
    for number, (name, (make, layers)) in enumerate(cases.items()):
        torch.manual_seed(20240 + number)
        model, targets = make()
        save_case(out / name, model, targets, layers)
        strip_paths(out / name)


if __name__ == "__main__":
    main()
