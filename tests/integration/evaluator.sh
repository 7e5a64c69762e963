#!/usr/bin/env bash
# Evaluators attach to a run that is going on, are killed or interrupted, and attach again: each
# measures the newest state, the server writes its measurements, and the adapter is not changed.
set -euo pipefail
. "$2/tests/integration/lib.sh"
PORT=$(free_port)
HOST=tcp://127.0.0.1:$PORT
set -m
start attended "$FEDMQ" run --cfg $CFG --listen "$HOST" --directory "$WORK/attended" \
    federate.total_round_num 1000 eval.freq 1000
RUN=$PID
LOG=$WORK/attended/run.log

until_line "$LOG" 'round-closed round=0' 60 $RUN
start first "$FEDMQ" evaluator --attach "$HOST"
until_line "$WORK/first.log" '"source":"evaluator-[0-9a-f]+"' 60 "$PID"
killed "$PID"

start second "$FEDMQ" evaluator --attach "$HOST" --data configs/quickstart/data/heldout.jsonl
until_line "$WORK/second.log" '"test_avg_loss"' 60 "$PID"
kill -INT "$PID"
gone "$PID" 20 evaluator

status_of third "$FEDMQ" evaluator --attach "$HOST" --once --name third
[ $STATUS -eq 0 ] || fail "evaluator --once ended with status $STATUS"
[ "$(grep -c '"source":"evaluator-third"' "$WORK/third.log")" -eq 1 ] || fail "--once measured other than once"

start fourth "$FEDMQ" evaluator --attach "$HOST"
FOURTH=$PID
until_line "$WORK/fourth.log" '"source":"evaluator-[0-9a-f]+"' 60 "$FOURTH"
kill -INT "$RUN"
gone "$RUN" 20 run
until_line "$WORK/fourth.log" 'server-away' 20 "$FOURTH"
kill -INT "$FOURTH"
gone "$FOURTH" 20 "an evaluator that waits for its server"

for name in "evaluator-[0-9a-f]*" evaluator-third; do
    grep -q "\"source\":\"$name\"" "$WORK/attended/metrics.jsonl" || fail "no measurements of $name in metrics.jsonl"
done
ROUNDS=$(($(grep -c round-closed "$LOG") + 1))
"$FEDMQ" run --resume --directory "$WORK/attended" federate.total_round_num $ROUNDS >>"$WORK/attended.log" 2>&1 ||
    fail "the resume"
one quiet federate.total_round_num $ROUNDS eval.freq 1000
same quiet attended
status_of nobody "$FEDMQ" evaluator --attach "$HOST" --once
[ $STATUS -eq 9 ] || fail "attaching where no run is ended with status $STATUS, not 9"
echo "four evaluators came and went, the same adapter"
