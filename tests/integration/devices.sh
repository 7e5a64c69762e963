#!/usr/bin/env bash
# Devices: clients dealt to several; several that share every batch, with the optimizer's state whole
# or shared out; what is said where there is no GPU; what cannot be meant is refused.
set -euo pipefail
. "$2/tests/integration/lib.sh"
TWO=(federate.total_round_num 2 eval.freq 2 train.data_para_dids "[0, 1]")

# loss NAME: the clients' merged loss of the last round, to four digits.
loss() {
    grep -o '"train_avg_loss":[0-9.]*' "$WORK/$1/metrics.jsonl" | tail -n 1 | cut -c 1-23
}

one alone federate.total_round_num 2 eval.freq 2
one together "${TWO[@]}"
one again "${TWO[@]}" fedmq.permits 1 fedmq.threads 2
same together again
grep -q 'computing device=cpu weights=.* together=cpu,cpu optimizer=whole' "$WORK/together/run.log" || fail "the log does not say who computes together"
cmp -s "$WORK"/{alone,together}/adapter/adapter_model.safetensors && fail "two devices added up as one does"
[ "$(loss alone)" = "$(loss together)" ] || fail "two devices learnt something else: $(loss alone), $(loss together)"

# DeepSpeed's way, by the word of the README: the same bytes.
one sharded "${TWO[@]}" llm.accelation.use True
same together sharded
grep -q 'optimizer=sharded' "$WORK/sharded/run.log" || fail "the log does not say that the optimizer is shared out"
one nothing federate.total_round_num 1 llm.deepspeed.use True
grep -q 'nothing-to-shard reason="llm.deepspeed.use is True, but one device' "$WORK/nothing/run.log" || fail "nothing says that there is nothing to share out"

# DeepSpeed's file: what it says counts, what it says in vain is told once.
cat >"$WORK/ds.json" <<'JSON'
{"train_batch_size": 4, "optimizer": {"type": "AdamW", "params": {"lr": 0.002}},
 "zero_optimization": {"stage": 2, "overlap_comm": true}, "steps_per_print": 10}
JSON
one file "${TWO[@]}" llm.deepspeed.use True llm.deepspeed.ds_config "$WORK/ds.json" train.optimizer.lr 9 dataloader.batch_size 2
same together file
[ "$(grep -c 'deepspeed-without-effect entries="steps_per_print, zero_optimization.overlap_comm"' "$WORK/file/run.log")" = 1 ] || fail "it is not said once what the file says in vain"

# Dealt to two devices, memory given back between tasks: no byte is another.
one dealt federate.total_round_num 2 eval.freq 2 device "[cpu, cpu]" llm.adapter.mv_to_cpu True federate.share_local_model True
same alone dealt
grep -q 'computing device=cpu,cpu' "$WORK/dealt/run.log" || fail "the log does not name both devices"

# The whole model trains, over two devices.
one whole "${TWO[@]}" llm.adapter.use False train.optimizer.lr 0.0005 llm.deepspeed.use True

# As processes, a client of two devices beside clients of one.
distributed "$(free_port)"
start server "$FEDMQ" server --cfg $CFG --directory "$WORK/tcp" "${OVER_TCP[@]}" "${TWO[@]}"
SERVER=$PID
for k in 1 2 3; do start "client-$k" "$FEDMQ" client --cfg $CFG --id $k "${OVER_TCP[@]}" "${TWO[@]}"; done
gone "$SERVER" 60 server
same together tcp

# A GPU that is not there.
one no-gpu federate.total_round_num 1 use_gpu True device 1 train.data_para_dids "[0, 1]"
[ "$(grep -c 'no-gpu reason="use_gpu is True, but' "$WORK/no-gpu/run.log")" = 1 ] || fail "it is not said once that there is no GPU"
grep -q 'together=cpu,cpu' "$WORK/no-gpu/run.log" || fail "the CPU does not take the GPUs' place"
refused() {
    local what=$1 said=$2
    shift 2
    status_of "$what" "$FEDMQ" run --cfg $CFG outdir "$WORK" expname "$what" "$@"
    [ $STATUS -ne 0 ] && grep -q -- "$said" "$WORK/$what.log" || fail "'$what' is taken: $(tail -n 1 "$WORK/$what.log")"
    [ ! -e "$WORK/$what" ] || fail "'$what' left a run directory"
}
refused required 'fedmq.require_gpu is True, but' use_gpu True fedmq.require_gpu True
refused required-name 'fedmq.require_gpu is True, but' device cuda:3 fedmq.require_gpu True use_gpu True
refused unknown "device: there is no device 'gpu'" device gpu
refused unknown-member "train.data_para_dids: there is no device 'gpu'" train.data_para_dids "[gpu, cpu]"
refused contradiction 'use_gpu is False, but device names' device cuda:0 use_gpu False
refused crowded 'names 5 devices, but a batch has 4 examples' train.data_para_dids "[0, 1, 2, 3, 4]"
refused no-file 'cannot read' llm.deepspeed.use True llm.deepspeed.ds_config "$WORK/none.json"
refused mixed 'activations of one type' train.data_para_dids "[cpu, 'cpu:bf16']"
one idle federate.total_round_num 1 device 1
grep -q 'keys-without-effect .*device' "$WORK/idle/run.log" || fail "a number without use_gpu has no effect in silence"
echo "devices: dealt, together, sharded, missing, refused"
