#!/usr/bin/env bash
# Emulators with layers of their own, over tcp to clients that hold no model: quantized, sparse,
# narrowed and distilled layers travel as they were built, and train to the same bytes as in one
# process.  A resumed server uses the layers it has built.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CFG=tests/integration/offsite.yaml
OFFSITE=llm.offsite_tuning

# both NAME KEY VALUE...: in one process and as processes.
both() {
    local name=$1 port server clients=()
    shift
    one "$name" federate.total_round_num 2 "$@"
    port=$(free_port)
    distributed "$port"
    start "$name-server" "$FEDMQ" server --cfg $CFG --directory "$WORK/$name-tcp" "${OVER_TCP[@]}" federate.total_round_num 2 "$@"
    server=$PID
    for k in 1 2 3; do
        bare "$name-$k" "$FEDMQ" client --id $k --broker "tcp://127.0.0.1:$port" fedmq.layer_cache "$WORK/cache-$k"
        clients+=("$PID")
    done
    gone "$server" 60 "$name-server"
    for pid in "${clients[@]}"; do gone "$pid" 20 "a client of $name"; done
    same "$name" "$name-tcp"
    cmp <(vectors "$name") <(vectors "$name-tcp") || fail "the emulators of '$name' differ"
    grep -q 'engine full-model=none' "$WORK/$name-1.log" || fail "a client of '$name' is not without a model"
}

both quantized $OFFSITE.strategy quantization $OFFSITE.kwargs '[{bits: 4}]'
both narrowed $OFFSITE.strategy pruning $OFFSITE.kwargs '[{ratio: 0.5, method: structured}]' $OFFSITE.emu_align.initial_only True
both distilled $OFFSITE.strategy distillation $OFFSITE.kwargs '[{drop_ratio: 0.5, steps: 5}]' $OFFSITE.emu_align.use False

BUILT=$(cd "$WORK/distilled" && stat -c '%n %Y %i' emulator/*)
"$FEDMQ" run --resume --directory "$WORK/distilled" federate.total_round_num 3 >"$WORK/resume.log" 2>&1 || fail "the resume"
[ "$BUILT" = "$(cd "$WORK/distilled" && stat -c '%n %Y %i' emulator/*)" ] || fail "the resumed run built its layers anew"
echo "three strategies, the same bytes in one process and over tcp"
