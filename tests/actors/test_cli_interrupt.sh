#!/usr/bin/env bash
# Ctrl-C in the middle of a run ends it with status 130 and a checkpoint; --resume goes on, and the
# adapter is the one of a run that was never interrupted.
set -u
FEDMQ=$1 SOURCE=$2
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
MODEL=$SOURCE/configs/quickstart/model
fail() { echo "FAILED: $*"; cat "$WORK"/*.log; exit 1; }

for i in $(seq 60); do
    echo "{\"instruction\":\"What did animal $i do?\",\"output\":\"It went to the park.\"}"
done >"$WORK/data.jsonl"
cat >"$WORK/run.yaml" <<EOF
outdir: $WORK
seed: 5
federate: {client_num: 2, total_round_num: 8}
data: {type: data.jsonl@llm, root: $WORK, splitter: iid, splits: [0.8, 0.1, 0.1]}
model: {type: $MODEL}
llm: {adapter: {use: True, args: [{r: 2}]}}
dataloader: {batch_size: 4}
train:
  local_update_steps: 20
  optimizer: {type: AdamW, lr: 0.003}
early_stop: {patience: 0}
EOF

"$FEDMQ" run --cfg "$WORK/run.yaml" expname whole >"$WORK/whole.log" 2>&1 || fail "the whole run"

"$FEDMQ" run --cfg "$WORK/run.yaml" expname cut --json >"$WORK/cut.log" 2>&1 &
pid=$!
for _ in $(seq 300); do
    grep -q '"event":"aggregated"' "$WORK/cut.log" && break
    sleep 0.1
done
kill -INT $pid
wait $pid
status=$?
[ $status -eq 130 ] || fail "an interrupted run ended with $status, not 130"
[ -n "$(ls "$WORK/cut/checkpoints" 2>/dev/null)" ] || fail "no checkpoint was left"
[ -e "$WORK/cut/adapter" ] && fail "an interrupted run wrote its final adapter"

# It has said how to go on, and that works as it stands.
line=$(grep -oE 'fedmq run --resume --directory [^"]*' "$WORK/cut.log") || fail "nothing says how to go on"
[ "$line" = "fedmq run --resume --directory $WORK/cut" ] || fail "the way to go on is '$line'"
fedmq() { "$FEDMQ" "$@"; }
eval "$line" >"$WORK/resumed.log" 2>&1 || fail "the resumed run"
cmp "$WORK/whole/adapter/adapter_model.safetensors" "$WORK/cut/adapter/adapter_model.safetensors" ||
    fail "resuming gave other bytes"
"$FEDMQ" run --cfg "$WORK/run.yaml" expname cut federate.total_round_num 1 >"$WORK/beside.log" 2>&1 ||
    fail "a run beside a finished one"
ls -d "$WORK"/cut/sub_exp_* >/dev/null || fail "a run went into a directory that was there"
echo "interrupted, resumed, the same bytes"
