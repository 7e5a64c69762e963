#!/usr/bin/env python3
"""Writes tests/llm/offsite/goldens: the losses of alignment and their gradients
as PyTorch computes them from the formulas of include/fedmq/llm/align.h.

losses.safetensors holds each loss over small tensors.  model/ is a tiny random
LLaMA teacher in HF layout; golden.safetensors beside it has the vectors of A
and of E (names as PEFT has them), a ragged batch, and for every kind of loss its
parts and the gradient of E's LoRA.  The student is the teacher without some
layers.  Everything is computed in float64 from the float32 values on disk.
Needs torch, transformers, safetensors; takes the output directory as its only
argument (default: the repository's).
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch.nn.functional import cosine_similarity, log_softmax
from transformers import LlamaConfig, LlamaForCausalLM

VOCAB, IGNORED = 61, -100
LENGTHS, PROMPTS = [9, 5, 12], [4, 2, 7]
LAYERS, FIRST, BEHIND = 6, 1, 5  # the teacher's layers [1, 5) are emulated ...
KEPT = [0, 1, 4, 5]              # ... by its layers 1 and 4
E_LAYERS = [1, 2]                # their numbers in the student
A_LAYERS = [0, 3]
RANK, ALPHA = 2, 3.0
MODULES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]

CASES = {
    "l2": {"sim": 1.0},
    "cos": {"sim": 1.0, "cos": True},
    "l2_layerwise": {"sim": 0.9, "layerwise": True},
    "cos_layerwise": {"sim": 1.0, "cos": True, "layerwise": True},
    "kl_raw": {"kl": 1.0},
    "kl_logps": {"kl": 1.0, "logps": True},
    "kl_logps_released": {"kl": 1.0, "logps": True, "released": True},
    "lm": {"lm": 1.0},
    "all_raw": {"sim": 0.7, "kl": 0.3, "lm": 0.2},
    "all_logps": {"sim": 0.7, "kl": 0.3, "lm": 0.2, "logps": True, "cos": True,
                  "layerwise": True},
}


def l2(teacher, student):
    return (((teacher - student) / teacher.pow(2).mean().sqrt()) ** 2).mean()


def cos(teacher, student):
    return -cosine_similarity(teacher, student, dim=-1).mean()


def kl_raw(full, client):
    full, client = log_softmax(full, -1), log_softmax(client, -1)
    return (full.exp() * (full - client)).sum(-1).mean()


def log_likelihood(logits, labels):
    """Mean log p of one example's targets; label t is predicted by row t - 1."""
    chosen = labels[1:] != IGNORED
    rows = log_softmax(logits[:-1], -1)[chosen]
    return rows.gather(-1, labels[1:][chosen][:, None]).mean()


def kl_logps(full, client, labels, released):
    """Lists with one entry an example."""
    apart = [log_likelihood(f, y) - log_likelihood(c, y) for f, c, y in zip(full, client, labels)]
    return torch.stack(apart).mean() * (-1.0 if released else 1.0)


def lm(client, labels):
    total, count = 0.0, 0
    for logits, label in zip(client, labels):
        chosen = int((label[1:] != IGNORED).sum())
        total = total - log_likelihood(logits, label) * chosen
        count += chosen
    return total / count


def batch():
    sequences = [torch.randint(0, VOCAB, (length,)) for length in LENGTHS]
    labels = [s.clone() for s in sequences]
    for label, prompt in zip(labels, PROMPTS):
        label[:prompt] = IGNORED
    return sequences, labels


def small_tensors():
    """Losses over tensors made up here, with the gradient of the student's side."""
    out = {}
    teacher = torch.randn(7, 5).double()
    student = torch.randn(7, 5).double().requires_grad_()
    out["teacher"], out["student"] = teacher, student.detach()
    for name, loss in (("l2", l2), ("cos", cos)):
        value = loss(teacher, student)
        out[name], = [value.detach()[None]]
        out[name + ".grad"], = torch.autograd.grad(value, student)
    full = (2.0 * torch.randn(sum(LENGTHS), VOCAB)).double()
    client = (2.0 * torch.randn(sum(LENGTHS), VOCAB)).double().requires_grad_()
    _, labels = batch()
    out["full"], out["client"] = full, client.detach()
    out["labels"] = torch.cat(labels)
    out["lengths"] = torch.tensor(LENGTHS)
    parts = full.split(LENGTHS), client.split(LENGTHS)
    losses = {
        "kl_raw": kl_raw(full, client),
        "kl_logps": kl_logps(*parts, labels, False),
        "kl_logps_released": kl_logps(*parts, labels, True),
        "lm": lm(parts[1], labels),
    }
    for name, value in losses.items():
        out[name] = value.detach()[None]
        out[name + ".grad"], = torch.autograd.grad(value, client, retain_graph=True)
    return out


class Lora(torch.nn.Module):
    """y = W x + alpha / r B A x, W frozen."""

    def __init__(self, linear, a, b):
        super().__init__()
        self.linear, self.a, self.b = linear, a, b

    def forward(self, x):
        return self.linear(x) + ALPHA / RANK * (x @ self.a.T @ self.b.T)


def vector(model, layers):
    """Random LoRA over some layers, by (layer, module)."""
    tensors = {}
    for layer in layers:
        for module in MODULES:
            linear = model.model.layers[layer].get_submodule(module)
            tensors[layer, module] = (0.3 * torch.randn(RANK, linear.in_features),
                                      0.3 * torch.randn(linear.out_features, RANK))
    return tensors


def plug(layers, number, tensors, source):
    """Puts LoRA of layer `number` of tensors into the layer itself."""
    for module in MODULES:
        parent, leaf = module.split(".")
        owner = getattr(layers[source], parent)
        setattr(owner, leaf, Lora(getattr(owner, leaf), *tensors[number, module]))


def named(prefix, tensors):
    out = {}
    for (layer, module), (a, b) in tensors.items():
        stem = f"{prefix}base_model.model.model.layers.{layer}.{module}"
        out[stem + ".lora_A.weight"], out[stem + ".lora_B.weight"] = a, b
    return out


def run(model, layers, ids):
    """Streams behind every layer, and logits, of one sequence."""
    core = model.model
    stream = core.embed_tokens(ids[None])
    positions = torch.arange(len(ids))[None]
    rotary = core.rotary_emb(stream, positions)
    length = len(ids)
    mask = torch.full((length, length), float("-inf"), dtype=stream.dtype).triu(1)[None, None]
    streams = []
    for layer in layers:
        out = layer(stream, attention_mask=mask, position_ids=positions,
                    position_embeddings=rotary)
        stream = out[0] if isinstance(out, tuple) else out
        streams.append(stream[0])
    return streams, model.lm_head(core.norm(stream))[0]


def measure(case, teacher, student, labels):
    """Loss and its parts; 0 for a part that the case does not ask for."""
    zero = torch.zeros(()).double()
    similar = cos if case.get("cos") else l2
    pairs = [(BEHIND - 1, E_LAYERS[-1])]
    if case.get("layerwise"):
        pairs = [(KEPT[i], i) for i in E_LAYERS]
    sim = kl = words = zero
    if "sim" in case:
        for t, s in pairs:
            sim = sim + similar(torch.cat([streams[t] for streams, _ in teacher]).detach(),
                                torch.cat([streams[s] for streams, _ in student]))
    full, client = [x for _, x in teacher], [x for _, x in student]
    if "kl" in case:
        kl = (kl_logps(full, client, labels, case.get("released", False)) if case.get("logps")
              else kl_raw(torch.cat(full), torch.cat(client)))
    if "lm" in case:
        words = lm(client, labels)
    loss = case.get("sim", 0) * sim + case.get("kl", 0) * kl + case.get("lm", 0) * words
    return loss, sim, kl, words


def whole_model(directory):
    config = LlamaConfig(
        vocab_size=VOCAB, max_position_embeddings=32, hidden_size=16, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, head_dim=4, intermediate_size=20,
        initializer_range=0.2, rms_norm_eps=1e-5, tie_word_embeddings=False,
        attn_implementation="eager", bos_token_id=1, eos_token_id=2)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.ndim == 1:
                tensor.add_(0.1 * torch.randn_like(tensor))
    directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)

    student = LlamaForCausalLM.from_pretrained(directory, attn_implementation="eager")
    chosen = torch.nn.ModuleList([student.model.layers[i] for i in KEPT])
    student.model.layers = chosen
    for i, layer in enumerate(chosen):
        layer.self_attn.layer_idx = i
    adapter, state = vector(student, A_LAYERS), vector(student, E_LAYERS)
    golden = named("adapter.", adapter) | named("state.", state)
    model, student = model.double().eval(), student.double().eval()
    model.requires_grad_(False), student.requires_grad_(False)
    adapter = {k: (a.double(), b.double()) for k, (a, b) in adapter.items()}
    state = {k: (a.double().requires_grad_(), b.double().requires_grad_())
             for k, (a, b) in state.items()}
    for i in A_LAYERS:
        plug(model.model.layers, i, adapter, KEPT[i])
        plug(student.model.layers, i, adapter, i)
    for i in E_LAYERS:
        plug(student.model.layers, i, state, i)

    sequences, labels = batch()
    golden |= {"ids": torch.cat(sequences), "labels": torch.cat(labels),
               "lengths": torch.tensor(LENGTHS), "prompts": torch.tensor(PROMPTS)}
    leaves = [tensor for pair in state.values() for tensor in pair]
    for name, case in CASES.items():
        teacher_runs = [run(model, model.model.layers, ids) for ids in sequences]
        student_runs = [run(student, student.model.layers, ids) for ids in sequences]
        parts = measure(case, teacher_runs, student_runs, labels)
        golden[name + ".parts"] = torch.stack([part.detach() for part in parts])
        grads = torch.autograd.grad(parts[0], leaves, allow_unused=True)
        grads = [torch.zeros_like(leaf) if grad is None else grad
                 for grad, leaf in zip(grads, leaves)]
        golden |= named(name + ".grad.", dict(zip(state, zip(grads[::2], grads[1::2]))))
        print(f"{name}: loss {parts[0].item():.6f}")
    return golden


def save(tensors, path):
    save_file({k: v.detach().to(torch.float32).contiguous() for k, v in tensors.items()}, path)


def main():
    here = pathlib.Path(__file__).resolve().parents[2] / "tests/llm/offsite/goldens"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(64)
    save(small_tensors(), out / "losses.safetensors")
    save(whole_model(out / "model"), out / "model" / "golden.safetensors")


if __name__ == "__main__":
    main()
