#!/usr/bin/env bash
# Federations on a GPU that the CPU emulates: two clients train, are measured and generate there; as
# near to the CPU as bf16 is; on two devices, in another order of warps and resumed to the same byte;
# and memory that runs out, or a module that is none, ends in a line.
set -euo pipefail
. "$2/tests/integration/lib.sh"
[ -n "${3:-}" ] || skip "there is no emulated GPU: no C++ compiler, or a sanitizer that knows no fibers"
export FEDMQ_CUDA_EMULATED=$3
"$FEDMQ" init --config tests/integration/gpt2.json --tokenizer configs/quickstart/model --out "$WORK/gpt2.model" \
    >"$WORK/init.log" 2>&1 || fail "no model of GPT-2's family could be made"
SMALL=(federate.client_num 2 federate.total_round_num 2 llm.tok_len 64 dataloader.batch_size 1 train.local_update_steps 2
    eval.freq 2 fedmq.match_tokens 2 fedmq.match_examples 1 data.splits "[0.996, 0.002, 0.002]" model.type "$WORK/gpt2.model")
HALF=(train.is_enable_half True)

# near A B SHARE: the losses of training of two runs, round by round.
near() {
    local name
    for name in "$1" "$2"; do
        grep -o '"train_avg_loss":[0-9.]*' "$WORK/$name/metrics.jsonl" | cut -d: -f2 >"$WORK/$name.losses"
        [ "$(wc -l <"$WORK/$name.losses")" -ge 2 ] || fail "run '$name' tells no losses"
    done
    paste "$WORK/$1.losses" "$WORK/$2.losses" | awk -v share="$3" '{
        apart = $1 > $2 ? $1 - $2 : $2 - $1
        if (apart > share * $1) { print "round", NR ":", $1, "and", $2; wrong = 1 }
    } END { exit wrong }' || fail "runs '$1' and '$2' learn otherwise"
}

one cpu "${SMALL[@]}"
one emulated "${SMALL[@]}" device cuda-emulated "${HALF[@]}"
near cpu emulated 0.02
grep -q 'computing device=cuda-emulated:bf16' "$WORK/emulated/run.log" || fail "the log does not say where it computes"
cmp -s "$WORK"/{cpu,emulated}/adapter/adapter_model.safetensors && fail "the CPU computed"
one floats "${SMALL[@]}" federate.total_round_num 1 device cuda-emulated
one cpu-floats "${SMALL[@]}" federate.total_round_num 1
grep -q 'computing device=cuda-emulated:f32' "$WORK/floats/run.log" || fail "without half precision it does not compute in fp32"

one cut "${SMALL[@]}" device cuda-emulated "${HALF[@]}" federate.total_round_num 1
"$FEDMQ" run --resume --directory "$WORK/cut" federate.total_round_num 2 >"$WORK/resumed.log" 2>&1 || fail "the resume"
same emulated cut
FEDMQ_EMULATED_ORDER=3 one ordered "${SMALL[@]}" device cuda-emulated "${HALF[@]}"
same emulated ordered
one spread "${SMALL[@]}" device "[cuda-emulated:0, cuda-emulated:1]" fedmq.permits 2 "${HALF[@]}"
same emulated spread

# Two devices share every batch: what they add up goes from one to the other, or through host memory.
PAIR=(federate.total_round_num 1 dataloader.batch_size 2 train.data_para_dids "[cuda-emulated:0, cuda-emulated:1]" "${HALF[@]}")
one pair "${SMALL[@]}" "${PAIR[@]}"
grep -q 'exchange carrier="NCCL"' "$WORK/pair/run.log" || fail "two devices do not exchange by NCCL"
FEDMQ_NCCL=/nowhere one detour "${SMALL[@]}" "${PAIR[@]}"
same pair detour
grep -q "exchange carrier=\"host memory\" reason=\"no NCCL: there is no '/nowhere'" "$WORK/detour/run.log" || fail "nothing says that there is no NCCL"

FEDMQ_EMULATED_MEMORY=100000 status_of full "$FEDMQ" run --cfg $CFG outdir "$WORK" expname full "${SMALL[@]}" device cuda-emulated "${HALF[@]}"
[ $STATUS -ne 0 ] && [ $STATUS -lt 124 ] && grep -qi 'memory' "$WORK/full.log" || fail "a device that is full: status $STATUS"
FEDMQ_CUDA_EMULATED=/nowhere status_of none "$FEDMQ" run --cfg $CFG outdir "$WORK" expname none "${SMALL[@]}" device cuda-emulated
[ "$(grep -c 'no CUDA module: /nowhere' "$WORK/none/run.log")" = 1 ] || fail "it is not said once that there is no module"
same cpu none
echo "two clients train on an emulated GPU, and do so again to the byte"
