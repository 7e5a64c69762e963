#!/usr/bin/env bash
# Evaluators of a FedBiOT run with eval_type full: one that holds no model measures emulator., one
# that has the full model plugin. too, one that has another model is not taken in; all measure the
# same.  The server needs no evaluator for either.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CFG=tests/integration/offsite.yaml
HOST=tcp://127.0.0.1:$(free_port)
start run "$FEDMQ" run --cfg $CFG --listen "$HOST" --directory "$WORK/run" --evaluator \
    llm.offsite_tuning.eval_type full federate.total_round_num 1000 eval.freq 1000
RUN=$PID
until_line "$WORK/run/run.log" 'round-closed round=0' 60 "$RUN"

bare bare "$FEDMQ" evaluator --attach "$HOST" --name bare --once
BARE=$PID
start known "$FEDMQ" evaluator --attach "$HOST" --name known --once fedmq.layer_cache "$WORK/cache"
KNOWN=$PID
"$FEDMQ" init --config configs/quickstart/model/config.json --tokenizer configs/quickstart/model \
    --out "$WORK/other" --seed 5 >"$WORK/init.log" 2>&1 || fail "init"
start other "$FEDMQ" evaluator --attach "$HOST" --name other --once --model "$WORK/other" fedmq.layer_cache "$WORK/cache"
OTHER=$PID
gone "$BARE" 60 "the evaluator without a model"
gone "$KNOWN" 60 "the evaluator with the model"
gone "$OTHER" 60 "the evaluator with another model"
kill -INT "$RUN"
gone "$RUN" 30 run

for name in bare known other; do
    grep -q '"emulator.test_avg_loss"' "$WORK/$name.log" || fail "$name did not measure the client's model"
done
grep -q 'no-plugin-metrics reason=.*configs/quickstart/model' "$WORK/bare.log" || fail "nothing is said about plugin. without a model"
grep -q "no-plugin-metrics reason=\"the model in '$WORK/other' is not the run's" "$WORK/other.log" || fail "another model was taken for the run's"
grep -q '"plugin.test_avg_loss"' "$WORK/known.log" || fail "the evaluator with the model did not plug in"
! grep -q '"plugin.test_avg_loss"' "$WORK/bare.log" "$WORK/other.log" || fail "plugin. was measured without the model"

# Each measured some round of the run; the run's own evaluator says what is right there.
for name in bare known; do
    ROUND=$(sed -nE 's/.*"round":([0-9]+),.*"emulator.test_avg_loss".*/\1/p' "$WORK/$name.log" | head -n 1)
    for metric in emulator plugin; do
        MINE=$(grep -o "\"$metric.test_avg_loss\":[^,}]*" "$WORK/$name.log" || true)
        THEIRS=$(grep "\"round\":$ROUND,\"source\":\"evaluator-1\"" "$WORK/run/metrics.jsonl" | grep -o "\"$metric.test_avg_loss\":[^,}]*" || true)
        [ -z "$THEIRS" ] || [ -z "$MINE" ] || [ "$MINE" = "$THEIRS" ] || fail "$name measured $MINE, not $THEIRS"
    done
done
echo "three evaluators, and plugin. from the one that can"
