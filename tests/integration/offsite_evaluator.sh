#!/usr/bin/env bash
# Evaluators of a FedBiOT run with eval_type full: one that holds no model measures emulator., one
# that has the full model plugin. too, one that has another model is not taken in; all measure the
# same.  The server needs no evaluator for either.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CFG=tests/integration/offsite.yaml
HOST=tcp://127.0.0.1:$(free_port)
ROUNDS=6
start run "$FEDMQ" run --cfg $CFG --listen "$HOST" --directory "$WORK/run" --evaluator \
    llm.offsite_tuning.eval_type full federate.total_round_num $ROUNDS \
    train.local_update_steps 20 eval.freq 1000
RUN=$PID
until_line "$WORK/run/run.log" 'round-closed round=0' 60 "$RUN"

bare bare "$FEDMQ" evaluator --attach "$HOST" --name bare
start known "$FEDMQ" evaluator --attach "$HOST" --name known fedmq.layer_cache "$WORK/cache"
"$FEDMQ" init --config configs/quickstart/model/config.json --tokenizer configs/quickstart/model \
    --out "$WORK/other" --seed 5 >"$WORK/init.log" 2>&1 || fail "init"
start other "$FEDMQ" evaluator --attach "$HOST" --name other --model "$WORK/other" fedmq.layer_cache "$WORK/cache"
gone "$RUN" 120 run
for pid in "${STARTED[@]}"; do gone "$pid" 30 "an evaluator"; done

for name in bare known other; do
    grep -q '"emulator.test_avg_loss"' "$WORK/$name.log" || fail "$name did not measure the client's model"
done
grep -q 'no-plugin-metrics reason=.*configs/quickstart/model' "$WORK/bare.log" || fail "nothing is said about plugin. without a model"
grep -q "no-plugin-metrics reason=\"the model in '$WORK/other' is not the run's" "$WORK/other.log" || fail "another model was taken for the run's"
grep -q '"plugin.test_avg_loss"' "$WORK/known.log" || fail "the evaluator with the model did not plug in"
! grep -q '"plugin.test_avg_loss"' "$WORK/bare.log" "$WORK/other.log" || fail "plugin. was measured without the model"

# Everybody measures the last state, and the same of it as the run's own evaluator.
measured() { grep -h "\"round\":$ROUNDS,\"source\":\"$1\"" "$2" | grep -o "\"$3.test_avg_loss\":[^,}]*"; }
for metric in emulator plugin; do
    RIGHT=$(measured evaluator-1 "$WORK/run/metrics.jsonl" $metric) || fail "the run did not measure $metric."
    for name in bare known other; do
        [ $metric = emulator ] || [ $name = known ] || continue
        MINE=$(measured "evaluator-$name" "$WORK/$name.log" $metric) || fail "$name did not measure $metric. in the last round"
        [ "$MINE" = "$RIGHT" ] || fail "$name measured $MINE, not $RIGHT"
    done
done
echo "four evaluators measured the same, and plugin. those that can"
