#!/usr/bin/env bash
# The server's alignment as people meet it: a run that ends with it, one that begins with what was
# aligned before, one that is interrupted in it; the released code's emulator; a metric without
# prefix that stops a run; and the whole model that is saved.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CFG=tests/integration/offsite.yaml
OFFSITE=llm.offsite_tuning
ALIGN=$OFFSITE.emu_align
SHORT=(federate.total_round_num 2 eval.freq 2)

# measured NAME ROUND METRIC: its value, of clients or of the server.
measured() {
    grep "\"round\":$2,\"source\":\"[cs][a-z]*\",\"form\":\"\(weighted_avg\|raw\)\"" "$WORK/$1/metrics.jsonl" |
        grep -o "\"$3\":[^,}]*" | tail -n 1
}

one whole "${SHORT[@]}" $OFFSITE.eval_type full $OFFSITE.save_full_model True federate.save_to "$WORK/m/x"
! grep -q best-key-missing "$WORK/whole/run.log" || fail "the key without prefix was not found"
[ -s "$WORK/whole/best/best.state" ] || fail "no state was the best"

one aligned "${SHORT[@]}" $ALIGN.exit_after_align True $ALIGN.save_to "$WORK/made/e"
grep -q 'ended round=0 reason="aligned"' "$WORK/aligned/run.log" || fail "the run did not end aligned"
[ ! -e "$WORK/aligned/adapter" ] || fail "a run that only aligned left an adapter"
for name in 0_e e; do
    [ -s "$WORK/made/$name/adapter_model.safetensors" ] || fail "no emulator in made/$name"
done

one restored "${SHORT[@]}" $ALIGN.restore_from "$WORK/made/0_e"
[ "$(losses restored | wc -l)" -eq 2 ] || fail "what was restored was aligned before round 0"
same whole restored
cmp <(vectors whole) <(vectors restored) || fail "the emulators differ"

one continued federate.total_round_num 0 $OFFSITE.eval_type full \
    federate.restore_from "$WORK/whole/checkpoints/round-000002.state"
for metric in emulator.test_avg_loss plugin.test_avg_loss; do
    BEFORE=$(measured whole 2 $metric)
    AFTER=$(measured continued 0 $metric)
    [ -n "$BEFORE" ] || fail "$metric is not measured"
    [ "$BEFORE" = "$AFTER" ] || fail "$metric is not that of the checkpoint: '$BEFORE', '$AFTER'"
done

one released "${SHORT[@]}" fedmq.released_fedbiot True
! cmp -s "$WORK/whole/adapter/adapter_model.safetensors" \
    "$WORK/released/adapter/adapter_model.safetensors" || fail "the released code changed nothing"

one stopped federate.total_round_num 6 $OFFSITE.eval_type full early_stop.patience 2 early_stop.delta 1000
grep -q 'early-stop round=3 plugin.val_loss=' "$WORK/stopped/run.log" || fail "no early stop in round 3"
grep -q 'reason="early stop"' "$WORK/stopped/run.log" || fail "the run did not end with it"

loss() { "$FEDMQ" eval --json --data configs/quickstart/data/heldout.jsonl "$@" | grep -o '"avg_loss": *[0-9.]*\|"test_avg_loss": *[0-9.]*' | tail -n 1 | grep -o '[0-9.]*$'; }
MERGED=$(loss --model "$WORK/m/final_x")
PLUGGED=$(loss --model configs/quickstart/model --adapter "$WORK/whole/adapter")
PLAIN=$(loss --model configs/quickstart/model)
awk -v a="$MERGED" -v b="$PLUGGED" -v c="$PLAIN" \
    'BEGIN { d = a - b; e = c - b; exit !(b > 0 && d * d < 1e-8 && e * e > 1e-8) }' ||
    fail "merged $MERGED, plugged in $PLUGGED, without $PLAIN"

# Job control gives background processes their own group, whose SIGINT is not ignored.
LONG=(federate.total_round_num 1 "$ALIGN.train.local_update_steps" 60)
one long "${LONG[@]}"
set -m
"$FEDMQ" run --cfg $CFG --directory "$WORK/cut" "${LONG[@]}" >"$WORK/cut.log" 2>&1 &
RUN=$!
STARTED+=("$RUN")
for at in '"align_block":1.0' '"align_block":2.0'; do
    until_line "$WORK/cut/metrics.jsonl" "$at" 60 $RUN
    [ "$at" = '"align_block":1.0' ] || until_line "$WORK/cut/run.log" 'round-closed round=0' 60 $RUN
    STATUS=0
    kill -INT "$RUN"
    wait "$RUN" || STATUS=$?
    [ "$STATUS" -eq 130 ] || fail "Ctrl-C in an alignment gave status $STATUS"
    "$FEDMQ" run --resume --directory "$WORK/cut" >>"$WORK/cut.log" 2>&1 &
    RUN=$!
    STARTED+=("$RUN")
done
gone "$RUN" 60 "the resumed run"
grep -q 'ended round=1' "$WORK/cut/run.log" || fail "the run did not finish"
same_pair long cut
echo "aligned, restored, continued, released, stopped, merged, interrupted"
