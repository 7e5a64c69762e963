#!/usr/bin/env bash
# What full fine-tuning over a few clients in one process holds, in states: makes a model of a given
# size with weights from a fixed pattern, runs a federation over it, and prints the most anonymous
# memory (RssAnon of /proc) that was seen, as bytes and in states (one f32 vector of all parameters).
#
# usage: tests/bench/bench_states.sh [LAYERS [WIDTH [CLIENTS [KEY VALUE ...]]]]
#     (24 layers of 1024: 303M parameters, the default; 8 of 640: 40M)
# FEDMQ names the program (build/release/actors/fedmq).  Needs python3 and some 15 times the model on disk.
set -euo pipefail
cd "$(dirname "$0")/../.."
layers=${1:-24} width=${2:-1024} clients=${3:-2}
shift $(($# < 3 ? $# : 3))
program=${FEDMQ:-build/release/actors/fedmq}
work=$(mktemp -d "${TMPDIR:-/tmp}/states.XXXXXX")
pid=
finish() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

cp -r configs/quickstart/model "$work/model"
parameters=$(python3 - "$work/model" "$layers" "$width" <<'PYTHON'
import array, json, random, struct, sys
directory, layers, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = json.load(open(directory + "/config.json"))
config.update(num_hidden_layers=layers, hidden_size=width, num_attention_heads=width // 64, head_dim=64,
              num_key_value_heads=width // 64, intermediate_size=width * 8 // 3 // 64 * 64)
json.dump(config, open(directory + "/config.json", "w"))
ffn = config["intermediate_size"]
tensors = [("model.embed_tokens.weight", [config["vocab_size"], width])]
for l in range(layers):
    at = "model.layers.%d." % l
    tensors += [(at + "input_layernorm.weight", [width]), (at + "post_attention_layernorm.weight", [width])]
    tensors += [(at + "self_attn.%s_proj.weight" % m, [width, width]) for m in "qkvo"]
    tensors += [(at + "mlp.%s_proj.weight" % m, [ffn, width]) for m in ("gate", "up")]
    tensors += [(at + "mlp.down_proj.weight", [width, ffn])]
tensors.append(("model.norm.weight", [width]))
head, at = {}, 0
for name, shape in tensors:
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * count]}
    at += 4 * count
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
draw = random.Random(1)
tile = array.array("f", [draw.gauss(0, 0.02) for _ in range((1 << 17) + 1)]).tobytes()
one = struct.pack("<f", 1.0)
with open(directory + "/model.safetensors", "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text)
    for name, shape in tensors:
        size = head[name]["data_offsets"][1] - head[name]["data_offsets"][0]
        if len(shape) == 1:
            out.write(one * (size // 4))
            continue
        while size > 0:
            out.write(tile[: min(size, len(tile))])
            size -= min(size, len(tile))
print(at // 4)
PYTHON
)

"$program" run --cfg tests/integration/federation.yaml outdir "$work" expname run model.type "$work/model" \
    llm.adapter.use False federate.client_num "$clients" federate.total_round_num 3 train.local_update_steps 2 \
    train.optimizer.type SGD train.optimizer.lr 0.0001 grad.grad_clip 1.0 data.splitter iid \
    dataloader.batch_size 1 llm.tok_len 64 data.splits '[0.998, 0.001, 0.001]' eval.freq 100 "$@" \
    >"$work/out" 2>&1 &
pid=$!
peak=0 last=
while [ -r "/proc/$pid/status" ]; do
    while read -r name value _; do
        [ "$name" = RssAnon: ] && last=$value
    done <"/proc/$pid/status" || true
    [ "${last:-0}" -gt "$peak" ] && peak=$last
    [ -z "${TRACE:-}" ] || echo "$(date +%s.%N) $last" >>"$TRACE"
    read -r -t 0.02 <> <(:) || true
done 2>/dev/null
code=0
wait "$pid" || code=$?
pid=
[ $code -eq 0 ] || { tail -n 5 "$work/out"; exit $code; }
grep -oE 'permits=[0-9]+ threads=[0-9]+' "$work/run/run.log" | head -n 1
awk -v kb="$peak" -v n="$parameters" -v clients="$clients" 'BEGIN {
    printf "%d clients, %.1fM parameters: at most %.0f MiB of anonymous memory, %.2f states\n",
           clients, n / 1e6, kb / 1024, kb * 1024 / (4 * n)}'
