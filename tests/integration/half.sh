#!/usr/bin/env bash
# Half precision and narrow weights: runs over tcp are those in one process, a resumed run is the
# undisturbed one, tools take the flags, and what cannot be is refused.
set -euo pipefail
. "$2/tests/integration/lib.sh"
HALF=(train.is_enable_half True eval.freq 2)

# over_tcp NAME KEY VALUE...: as processes; an adapter as the run NAME left.
over_tcp() {
    local name=$1 server k
    shift
    distributed "$(free_port)"
    start "$name-server" "$FEDMQ" server --cfg $CFG --directory "$WORK/$name-tcp" "${OVER_TCP[@]}" "$@"
    server=$PID
    for k in 1 2 3; do start "$name-$k" "$FEDMQ" client --cfg $CFG --id $k "${OVER_TCP[@]}" "$@"; done
    gone "$server" 60 "$name-server"
    same "$name" "$name-tcp"
}

one plain federate.total_round_num 2 eval.freq 2
one half "${HALF[@]}" federate.total_round_num 2 fedmq.weights bf16 use_gpu True
over_tcp half "${HALF[@]}" federate.total_round_num 2 fedmq.weights bf16
one nf4 federate.total_round_num 2 fedmq.weights nf4 eval.freq 2
over_tcp nf4 federate.total_round_num 2 fedmq.weights nf4 eval.freq 2
for other in half nf4; do
    ! cmp -s "$WORK"/{plain,$other}/adapter/adapter_model.safetensors || fail "'$other' computed in fp32"
done
grep -q 'computing device=cpu:bf16 weights=bf16' "$WORK/half/run.log" || fail "the log does not say in what is computed"
grep -q 'no-gpu reason="use_gpu is True' "$WORK/half/run.log" || fail "nothing says that there is no GPU"

one cut "${HALF[@]}" federate.total_round_num 1
"$FEDMQ" run --resume --directory "$WORK/cut" federate.total_round_num 2 >"$WORK/cut.log" 2>&1 || fail "the resume"
one auto "${HALF[@]}" federate.total_round_num 2
same cut auto
same half auto

for how in --half "--weights int4" "--half --weights int8"; do
    # shellcheck disable=SC2086
    "$FEDMQ" generate --model configs/quickstart/model $how --prompt Say --max-new-tokens 4 >"$WORK/said.log" 2>&1 || fail "generate $how"
    # shellcheck disable=SC2086
    "$FEDMQ" eval --model configs/quickstart/model $how --data configs/quickstart/data/heldout.jsonl >"$WORK/eval.log" 2>&1 || fail "eval $how"
done
status_of wrong "$FEDMQ" generate --model configs/quickstart/model --weights fp4 --prompt Say
[ $STATUS -eq 2 ] && grep -q "cannot be kept as 'fp4'" "$WORK/wrong.log" || fail "an unknown form is taken"
status_of whole "$FEDMQ" run --cfg $CFG outdir "$WORK" expname whole llm.adapter.use False fedmq.weights int4
[ $STATUS -eq 2 ] && grep -q 'llm.adapter.use is False' "$WORK/whole.log" || fail "full fine-tuning takes int4"
status_of gpu "$FEDMQ" run --cfg $CFG outdir "$WORK" expname gpu use_gpu True fedmq.require_gpu True
[ $STATUS -ne 0 ] && grep -q 'fedmq.require_gpu is True' "$WORK/gpu.log" || fail "a GPU that is required is not missed"
echo "half precision and narrow weights: over tcp, resumed, in tools"
